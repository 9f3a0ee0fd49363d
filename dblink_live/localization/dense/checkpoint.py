"""Checkpoints of the dense localizer: weights and the facts that a user must know, in one safetensors file.

Shipped ones lie in ``localization/zoo/``, each with its card, a Markdown file of the same name.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec
import torch

from dblink_live.errors import ModelError
from dblink_live.localization.dense.network import DenseConfig, DenseNetwork, fused
from dblink_live.weight_files import SUFFIX, Facts, detached, digest, load_weights, read_weights, write_weights

FORMAT_VERSION = 1
METADATA_KEY = "dblink_live_localizer"

Range = tuple[float, float]


class LocalizerFacts(Facts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    name: str
    config: DenseConfig
    psf_sigma_px: Range
    """Widths of the point spread function that the network was trained for, in camera pixels."""
    envelope: dict[str, Range] = msgspec.field(default_factory=dict)
    """Further conditions of the training, as (low, high), by the name of the setting."""
    training: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    """How the weights came about: settings, figures, versions."""


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
    path = _find(name_or_path)
    network, facts, sha256 = _read(path)
    card = path.with_suffix(".md")
    return LocalizerModel(
        name=facts.name,
        network=fused(network).to(device),
        psf_sigma_px=facts.psf_sigma_px,
        facts=facts,
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        sha256=sha256,
    )


def first_network(name_or_path: str | os.PathLike[str]) -> DenseNetwork:
    """The network of a checkpoint as it was trained, to train it further.

    Raises
    ------
    ModelError
        As `load_localizer`.
    """
    return _read(_find(name_or_path))[0]


def _read(path: Path) -> tuple[DenseNetwork, LocalizerFacts, str]:
    """The network as it was trained, the facts, and the hash of the file."""
    facts, tensors, sha256 = read_weights(path, LocalizerFacts, METADATA_KEY, FORMAT_VERSION)
    network = DenseNetwork(facts.config)
    load_weights(network, tensors, path, network.architecture)
    return network, facts, sha256


def list_localizer_networks() -> list[str]:
    """Names of the shipped networks."""
    zoo = _zoo()
    return sorted(path.stem for path in zoo.glob(f"*{SUFFIX}")) if zoo.is_dir() else []


def _zoo() -> Path:
    # The package is installed unpacked (its weights are read by path), so the resource is a real folder.
    return Path(str(resources.files("dblink_live.localization"))) / "zoo"


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != SUFFIX and path.name == name_or_path:
        shipped = list_localizer_networks()
        if name_or_path in shipped:
            return _zoo() / f"{name_or_path}{SUFFIX}"
        nearest = difflib.get_close_matches(name_or_path, shipped, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "; a checkpoint of yours is given by its path"
        raise ModelError(f"unknown localizer network {name_or_path!r}; shipped: {', '.join(shipped) or 'none'}{hint}")
    if not path.is_file():
        raise ModelError(
            f"expected a localizer network at {path}, found no file; "
            f"shipped ones: {', '.join(list_localizer_networks()) or 'none'}"
        )
    return path
