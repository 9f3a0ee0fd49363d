"""Checkpoints of Deep-STORM: weights, and what was measured with them on simulated frames."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from dblink_live.errors import ModelError
from dblink_live.localization.neural.deepstorm.network import DeepStormConfig, DeepStormNetwork, fused
from dblink_live.localization.neural.weights import METADATA_KEY, NetworkFacts, card_of, find_network, read_network
from dblink_live.weight_files import detached, digest, load_weights, write_weights

Values = npt.NDArray[np.float64]


class Precision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The error to expect an axis, in widths of the point spread function: a power law, fitted to simulated frames.

    The network does not say how sure it is of a place. What it was wrong by, where it drew a molecule of that height
    and brightness among so many others, is all that is known.
    """

    scale: float
    """Of a molecule of height 1, of one photon in units of the background's noise within a width, among one other
    molecule a square width."""
    by_brightness: float
    """Exponent of the photons in those units."""
    by_height: float
    """Exponent of the height of the heat map."""
    by_crowding: float = 0.0
    """Exponent of the crowding: where many were found, more were not told apart."""

    def of(self, brightness: Values, height: Values, crowding: Values) -> Values:
        """[K] of molecules of ``brightness`` and ``height``, and of ``crowding`` about them [K]."""
        law = brightness**self.by_brightness * height**self.by_height * crowding**self.by_crowding
        found: Values = self.scale * law
        return found


class DeepStormFacts(NetworkFacts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    config: DeepStormConfig
    min_height: float = msgspec.field(name="least_height")  # the name in files since version 0.1
    """Of the heat map at a molecule: what gave the highest Jaccard index on simulated frames."""
    precision: Precision


@dataclass(frozen=True)
class DeepStormModel:
    """A network, ready to run, and the facts of its checkpoint."""

    network: DeepStormNetwork
    """For inference: its normalisations are folded in."""
    facts: DeepStormFacts
    card: str
    """Markdown."""
    sha256: str
    """Of the file."""


def save_deepstorm(path: str | os.PathLike[str], network: DeepStormNetwork, facts: DeepStormFacts) -> str:
    """Write a checkpoint and return its sha256. The hash of the weights in ``facts`` is filled in.

    Raises
    ------
    ModelError
        The file cannot be written.
    """
    tensors = detached(network)
    whole = msgspec.structs.replace(facts, config=network.config, weights_sha256=digest(tensors))
    return write_weights(path, tensors, whole, METADATA_KEY)


def load_deepstorm(name_or_path: str | os.PathLike[str], device: torch.device) -> DeepStormModel:
    """Load a shipped network by its name, or a checkpoint by its path.

    Raises
    ------
    ModelError
        No such network; or the file is damaged, another program's, or of another kind.
    """
    path = find_network(name_or_path)
    network, facts, sha256 = _read(path)
    return DeepStormModel(fused(network).to(device), facts, card_of(path), sha256)


def first_deepstorm(name_or_path: str | os.PathLike[str]) -> DeepStormNetwork:
    """The network of a checkpoint as it was trained, to train it further.

    Raises
    ------
    ModelError
        As `load_deepstorm`.
    """
    return _read(find_network(name_or_path))[0]


def _read(path: Path) -> tuple[DeepStormNetwork, DeepStormFacts, str]:
    facts, tensors, sha256 = read_network(path, DeepStormFacts, DeepStormNetwork.architecture)
    if not (facts.min_height > 0 and math.isfinite(facts.min_height) and facts.precision.scale > 0):
        raise ModelError(
            f"expected a min_height and a precision above 0 in {path}, found {facts.min_height} and "
            f"{facts.precision.scale}; train again"
        )
    network = DeepStormNetwork(facts.config)
    load_weights(network, tensors, path, network.architecture)
    return network, facts, sha256
