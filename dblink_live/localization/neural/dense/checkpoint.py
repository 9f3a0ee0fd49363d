"""Checkpoints of the dense localizer: weights and the facts that a user must know, in one safetensors file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from dblink_live.localization.neural.dense.network import DenseConfig, DenseNetwork, fused
from dblink_live.localization.neural.weights import (
    METADATA_KEY,
    NetworkFacts,
    Range,
    card_of,
    find_network,
    read_network,
)
from dblink_live.weight_files import detached, digest, load_weights, write_weights


class LocalizerFacts(NetworkFacts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    config: DenseConfig


@dataclass(frozen=True)
class LocalizerModel:
    """A network, ready to run, and the facts of its checkpoint."""

    name: str
    network: DenseNetwork
    """For inference: its normalisations are folded in."""
    psf_sigma_px: Range
    facts: LocalizerFacts
    card: str
    """Markdown."""
    sha256: str
    """Of the file."""


def save_localizer(path: str | os.PathLike[str], network: DenseNetwork, facts: LocalizerFacts) -> str:
    """Write a checkpoint and return its sha256. The hash of the weights in ``facts`` is filled in.

    Raises
    ------
    ModelError
        The file cannot be written.
    """
    tensors = detached(network)
    whole = msgspec.structs.replace(facts, config=network.config, weights_sha256=digest(tensors))
    return write_weights(path, tensors, whole, METADATA_KEY)


def load_localizer(name_or_path: str | os.PathLike[str], device: torch.device) -> LocalizerModel:
    """Load a shipped localizer network by its name, or a checkpoint by its path.

    Raises
    ------
    ModelError
        No such network; or the file is damaged, another program's, or of another kind.
    """
    path = find_network(name_or_path)
    network, facts, sha256 = _read(path)
    return LocalizerModel(
        name=facts.name,
        network=fused(network).to(device),
        psf_sigma_px=facts.psf_sigma_px,
        facts=facts,
        card=card_of(path),
        sha256=sha256,
    )


def first_network(name_or_path: str | os.PathLike[str]) -> DenseNetwork:
    """The network of a checkpoint as it was trained, to train it further.

    Raises
    ------
    ModelError
        As `load_localizer`.
    """
    return _read(find_network(name_or_path))[0]


def _read(path: Path) -> tuple[DenseNetwork, LocalizerFacts, str]:
    """The network as it was trained, the facts, and the hash of the file."""
    facts, tensors, sha256 = read_network(path, LocalizerFacts, DenseNetwork.architecture)
    network = DenseNetwork(facts.config)
    load_weights(network, tensors, path, network.architecture)
    return network, facts, sha256
