"""Files of localizer networks, whatever their kind: shipped ones by name, own ones by path.

Shipped ones lie in ``localization/zoo/``, each with its card, a Markdown file of the same name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec
from torch import Tensor

from dblink_live.errors import ModelError
from dblink_live.interfaces import Localizer
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera
from dblink_live.weight_files import SUFFIX, Facts, find_weights, read_weights

FORMAT_VERSION = 1
METADATA_KEY = "dblink_live_localizer"

_MEASURED = ("running_mean", "running_var", "num_batches_tracked")
"""Of the normalisations, what is measured and not trained."""

Range = tuple[float, float]

_LOCALIZERS = ("deepstorm", "dense")


class NetworkFacts(Facts, frozen=True, kw_only=True):
    """Metadata in the file of any localizer network."""

    name: str
    architecture: str = "dense"
    """The localizer that the network is of."""
    psf_sigma_px: Range
    """Widths of the point spread function that the network was trained for, in camera pixels."""
    envelope: dict[str, Range] = msgspec.field(default_factory=dict)
    """Further conditions of the training, as (low, high), by the name of the setting."""
    training: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    """Provenance of the weights: settings, figures, versions."""

    def check(self, path: Path) -> None:
        """Raise ModelError unless the facts make sense beyond their types; ``path`` is named in the message."""


AnyFacts = TypeVar("AnyFacts", bound=NetworkFacts)


def read_network(path: Path, facts: type[AnyFacts], architecture: str) -> tuple[AnyFacts, dict[str, Tensor], str]:
    """Facts, tensors and hash of one file.

    Raises
    ------
    ModelError
        The file is damaged, another program's, or of another localizer than ``architecture``.
    """
    found = architecture_of(path)
    if found != architecture:
        raise ModelError(
            f"expected a network of the localizer {architecture!r}, found {path} of {found!r}; give the file itself as "
            "the localizer, which takes either"
        )
    return read_weights(path, facts, METADATA_KEY, FORMAT_VERSION)


def architecture_of(path: Path) -> str:
    """The localizer that the network in ``path`` is of.

    Raises
    ------
    ModelError
        The file is damaged or another program's.
    """
    return read_weights(path, NetworkFacts, METADATA_KEY, FORMAT_VERSION)[0].architecture


def list_localizer_networks() -> list[str]:
    """Names of the shipped networks."""
    zoo = _zoo()
    return sorted(path.stem for path in zoo.glob(f"*{SUFFIX}")) if zoo.is_dir() else []


def find_network(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a shipped network by its name, or of an own one by its path.

    Raises
    ------
    ModelError
        There is none.
    """
    return find_weights(name_or_path, _zoo(), "localizer network")


def localizer_of_weights(camera: Camera, *, weights: str | os.PathLike[str], **options: object) -> Localizer:
    """Return the localizer that the checkpoint ``weights`` names in its metadata; ``options`` are its own.

    Raises
    ------
    ConfigError
        What the localizer refuses.
    ModelError
        No such file, a damaged one, or one of a localizer that this version does not have.
    """
    path = find_network(weights)
    architecture = architecture_of(path)
    if architecture not in _LOCALIZERS:
        raise ModelError(
            f"expected a network of the localizers {', '.join(_LOCALIZERS)}, found {path} of {architecture!r}; "
            "update dblink-live"
        )
    return get_localizer_factory(architecture)(camera, weights=path, **options)


@dataclass(frozen=True)
class NetworkCard:
    """Facts of a network that need no run."""

    facts: NetworkFacts
    n_weights: int
    """Trained ones."""
    card: str
    """Markdown."""
    sha256: str
    """Of the file."""


def network_card(name_or_path: str | os.PathLike[str]) -> NetworkCard:
    """Facts and card of a network of any kind.

    Raises
    ------
    ModelError
        No such network; or the file is damaged or another program's.
    """
    path = find_network(name_or_path)
    facts, tensors, sha256 = read_weights(path, NetworkFacts, METADATA_KEY, FORMAT_VERSION)
    n_weights = sum(tensor.numel() for key, tensor in tensors.items() if not key.endswith(_MEASURED))
    return NetworkCard(facts, n_weights, card_of(path), sha256)


def card_of(path: Path) -> str:
    """The card beside a network, Markdown; empty where there is none."""
    card = path.with_suffix(".md")
    return card.read_text(encoding="utf-8") if card.is_file() else ""


def _zoo() -> Path:
    # The package is installed unpacked (its weights are read by path), so the resource is a real folder.
    return Path(str(resources.files("dblink_live.localization"))) / "zoo"
