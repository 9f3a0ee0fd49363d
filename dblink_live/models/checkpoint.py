"""Checkpoints: weights, architecture and the facts that a user must know, in one safetensors file.

The file's metadata holds one JSON document, `Header`. Nothing in a checkpoint is executed. Shipped models lie in
``zoo/`` beside this file, each with its card, a Markdown file of the same name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
import torch

from dblink_live.device import resolve_device
from dblink_live.errors import ModelError
from dblink_live.models.dblink import DblinkConfig, DblinkNetwork
from dblink_live.models.gated import GatedConfig, GatedNetwork
from dblink_live.models.light import LightConfig, LightNetwork
from dblink_live.models.network import BidirectionalNetwork
from dblink_live.text.html import show_facts
from dblink_live.weight_files import SUFFIX, Facts, detached, digest, find_weights, read_weights, write_weights
from dblink_live.weight_files import load_weights as copy_weights

FORMAT_VERSION = 1
METADATA_KEY = "dblink_live"

Range = tuple[float, float]
TrainingFacts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Envelope:
    """The conditions that a model was trained on, as (low, high); None where a range is unknown."""

    density: Range | None = None
    """Localizations a square micrometre and camera frame, averaged over the field."""
    speed: Range | None = None
    """Motion of the structure in nanometres a window."""
    noise: Range | None = None
    """Localizations a square micrometre and camera frame that belong to no structure."""
    precision: Range | None = None
    """Localization precision in nanometres."""
    pitch: Range | None = None
    """Pitch of the fine grid in nanometres."""


class Header(Facts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    name: str
    architecture: str
    config: msgspec.Raw
    """Of the network; its type is decided by the architecture."""
    pixel_size_nm: Annotated[float, msgspec.Meta(gt=0.0)]
    threshold: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    envelope: Envelope = msgspec.field(default_factory=Envelope)
    training: TrainingFacts = msgspec.field(default_factory=dict)
    """How the weights came about: settings, data, figures, versions."""


@dataclass(frozen=True)
class Model:
    """A network, ready to run, and the facts of its checkpoint. Made by `load_model`.

    Examples
    --------
    >>> model = load_model("filaments", device="cpu")
    >>> model.name, model.pixel_size_nm
    ('filaments', 40.0)
    """

    name: str
    network: BidirectionalNetwork
    """In evaluation mode, on `device`."""
    pixel_size_nm: float
    """Pitch of the grid that the network was trained on."""
    threshold: float
    """Probability above which a pixel counts as structure: the calibrated operating point."""
    envelope: Envelope
    card: str
    """Markdown."""
    sha256: str
    """Of the checkpoint file; empty for a network that was never saved."""
    device: torch.device
    training: TrainingFacts = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """Kind of the network: "gated", "light" or "dblink"."""
        return self.network.architecture

    def __repr__(self) -> str:
        return f"Model({', '.join(f'{name}: {value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        return show_facts(f"Model {self.name}", {**self._facts(), "card": self.card})

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.name,
            "network": self.architecture,
            "grid": f"{self.pixel_size_nm:g} nm",
            "threshold": f"{self.threshold:g}",
            "weights": f"{sum(weights.numel() for weights in self.network.parameters()):,}",
            "device": str(self.device),
        }

    @classmethod
    def untrained(cls, network: BidirectionalNetwork, pixel_size_nm: float = 40.0) -> Model:
        """Return a network without a checkpoint, as tests and benchmarks need it; its threshold is 0.5.

        Parameters
        ----------
        network
            Taken as it is and set to evaluation mode.
        pixel_size_nm
            Pitch of the grid that its maps and pictures have.
        """
        return cls(
            name="untrained",
            network=network.eval(),
            pixel_size_nm=pixel_size_nm,
            threshold=0.5,
            envelope=Envelope(),
            card="An untrained network: its pictures mean nothing.\n",
            sha256="",
            device=next(network.parameters()).device,
        )


def build_network(architecture: str, config: bytes | msgspec.Raw = b"{}") -> BidirectionalNetwork:
    """A network with fresh weights, from its name ("gated", "light" or "dblink") and its configuration as JSON.

    Raises
    ------
    ModelError
        The architecture is unknown, or the configuration has unknown or impossible values.
    """
    try:
        if architecture == GatedNetwork.architecture:
            return GatedNetwork(msgspec.json.decode(config, type=GatedConfig))
        if architecture == LightNetwork.architecture:
            return LightNetwork(msgspec.json.decode(config, type=LightConfig))
        if architecture == DblinkNetwork.architecture:
            return DblinkNetwork(msgspec.json.decode(config, type=DblinkConfig))
    except msgspec.MsgspecError as error:
        raise ModelError(f"expected a configuration of a {architecture!r} network, found one with: {error}") from error
    raise ModelError(
        f"expected a network 'gated', 'light' or 'dblink', found {architecture!r}; a newer dblink-live may know it"
    )


def save_checkpoint(
    path: str | os.PathLike[str],
    network: BidirectionalNetwork,
    *,
    name: str,
    pixel_size_nm: float,
    threshold: float,
    envelope: Envelope | None = None,
    training: TrainingFacts | None = None,
) -> str:
    """Write a checkpoint and return its sha256.

    The file appears whole or not at all: it is written beside its place, synced, and moved there.

    Raises
    ------
    ModelError
        The file cannot be written.
    """
    tensors = detached(network)
    header = Header(
        format_version=FORMAT_VERSION,
        weights_sha256=digest(tensors),
        name=name,
        architecture=network.architecture,
        config=msgspec.Raw(msgspec.json.encode(network.config)),
        pixel_size_nm=pixel_size_nm,
        threshold=threshold,
        envelope=envelope or Envelope(),
        training=training or {},
    )
    return write_weights(path, tensors, header, METADATA_KEY)


def load_model(name_or_path: str | os.PathLike[str], device: str | torch.device | None = None) -> Model:
    """Load a shipped model by its name, or a checkpoint by its path.

    Parameters
    ----------
    name_or_path
        A name of `list_models`, or a path (anything with a separator or ending in ``.safetensors``).
    device
        "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    ModelError
        No such model or device; or the file is damaged, another program's or of an unknown architecture.

    Examples
    --------
    >>> 0 < load_model("mitochondria", device="cpu").threshold < 1
    True
    """
    resolved = resolve_device(device)
    path = _find(name_or_path)
    header, tensors, sha256 = read_weights(path, Header, METADATA_KEY, FORMAT_VERSION)
    network = build_network(header.architecture, header.config)
    load_weights(network, tensors, path)
    card = path.with_suffix(".md")
    return Model(
        name=header.name,
        network=network.eval().requires_grad_(False).to(resolved),
        pixel_size_nm=header.pixel_size_nm,
        threshold=header.threshold,
        envelope=header.envelope,
        card=card.read_text(encoding="utf-8") if card.is_file() else _describe(header),
        sha256=sha256,
        device=resolved,
        training=header.training,
    )


def list_models() -> list[str]:
    """Names of the shipped models."""
    zoo = _zoo()
    return sorted(path.stem for path in zoo.glob(f"*{SUFFIX}")) if zoo.is_dir() else []


def list_untrained() -> dict[str, str]:
    """The cards, by name, of networks that are described but ship without weights."""
    zoo = _zoo()
    cards = sorted(zoo.glob("*.md")) if zoo.is_dir() else []
    return {path.stem: path.read_text(encoding="utf-8") for path in cards if not path.with_suffix(SUFFIX).is_file()}


def _zoo() -> Path:
    # The package is installed unpacked (its weights are read by path), so the resource is a real folder.
    return Path(str(resources.files("dblink_live.models"))) / "zoo"


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    if name_or_path in list_untrained():
        raise ModelError(
            f"expected a model with weights, found {name_or_path!r}, which ships untrained; "
            f"`dblink-live models {name_or_path}` says how to come by weights. Shipped: {', '.join(list_models())}"
        )
    return find_weights(name_or_path, _zoo(), "model")


def load_weights(network: BidirectionalNetwork, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy ``tensors`` into ``network``, or say in what they differ from what it needs."""
    copy_weights(network, tensors, path, network.architecture)


def _describe(header: Header) -> str:
    """A card for a checkpoint that has none beside it."""
    lines = [
        f"# {header.name}",
        "",
        f"- network: {header.architecture}",
        f"- grid: {header.pixel_size_nm:g} nm",
        f"- threshold: {header.threshold:g}",
    ]
    lines += [f"- trained on {key}: {low:g} to {high:g}" for key, (low, high) in _known_ranges(header.envelope)]
    lines += [f"- {key}: {value}" for key, value in header.training.items()]
    return "\n".join(lines) + "\n"


def _known_ranges(envelope: Envelope) -> list[tuple[str, Range]]:
    ranges = ((item.name, getattr(envelope, item.name)) for item in fields(envelope))
    return [(name, found) for name, found in ranges if found is not None]
