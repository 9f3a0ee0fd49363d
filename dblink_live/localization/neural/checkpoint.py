"""Checkpoints of localizer networks: weights and the facts that a user must know, in one safetensors file."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import torch
from torch import nn

from dblink_live.localization.neural.blocks import fuse
from dblink_live.localization.neural.weights import METADATA_KEY, NetworkFacts, card_of, find_network, read_network
from dblink_live.weight_files import detached, digest, load_weights, write_weights

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)
AnyFacts = TypeVar("AnyFacts", bound=NetworkFacts)


@dataclass(frozen=True)
class LocalizerModel(Generic[AnyNetwork, AnyFacts]):
    """A network, ready to run, and the facts of its checkpoint."""

    network: AnyNetwork
    """For inference: its normalisations are folded in."""
    facts: AnyFacts
    card: str
    """Markdown."""
    sha256: str
    """Of the file."""


@dataclass(frozen=True)
class CheckpointFormat(Generic[AnyNetwork, AnyFacts]):
    """How one kind of localizer network is saved and loaded."""

    architecture: str
    network: type[AnyNetwork]
    """Built from ``config`` in the facts."""
    facts: type[AnyFacts]

    def save(self, path: str | os.PathLike[str], network: AnyNetwork, facts: AnyFacts) -> str:
        """Write a checkpoint and return its sha256. The hash of the weights in ``facts`` is filled in.

        Raises
        ------
        ModelError
            The file cannot be written.
        """
        tensors = detached(network)
        changes: dict[str, Any] = {"config": network.config, "weights_sha256": digest(tensors)}
        return write_weights(path, tensors, msgspec.structs.replace(facts, **changes), METADATA_KEY)

    def load(self, name_or_path: str | os.PathLike[str], device: torch.device) -> LocalizerModel[AnyNetwork, AnyFacts]:
        """Load a shipped network by its name, or a checkpoint by its path.

        Raises
        ------
        ModelError
            No such network; or the file is damaged, another program's, or of another kind.
        """
        path = find_network(name_or_path)
        network, facts, sha256 = self._read(path)
        return LocalizerModel(fuse(copy.deepcopy(network)).to(device), facts, card_of(path), sha256)

    def load_trained(self, name_or_path: str | os.PathLike[str]) -> AnyNetwork:
        """Load the network as it was trained, to train it further.

        Raises
        ------
        ModelError
            As `load`.
        """
        return self._read(find_network(name_or_path))[0]

    def _read(self, path: Path) -> tuple[AnyNetwork, AnyFacts, str]:
        facts, tensors, sha256 = read_network(path, self.facts, self.architecture)
        facts.check(path)
        network = self.network(facts.config)  # type: ignore[attr-defined]  # each kind of facts states its own
        load_weights(network, tensors, path, self.architecture)
        return network, facts, sha256
