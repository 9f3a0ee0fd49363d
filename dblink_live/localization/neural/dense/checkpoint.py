"""Checkpoints of the dense localizer."""

from __future__ import annotations

from dblink_live.localization.neural.checkpoint import CheckpointFormat
from dblink_live.localization.neural.dense.network import DenseConfig, DenseNetwork
from dblink_live.localization.neural.weights import NetworkFacts


class DenseFacts(NetworkFacts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    config: DenseConfig


DENSE_CHECKPOINTS = CheckpointFormat(DenseNetwork.architecture, DenseNetwork, DenseFacts)
