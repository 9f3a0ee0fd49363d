"""Checkpoints: weights, architecture and the facts that a user must know, in one safetensors file.

The file's metadata holds one JSON document, `Header`. Nothing in a checkpoint is executed. Shipped models lie in
``zoo/`` beside this file, each with its card, a Markdown file of the same name.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
import safetensors
import safetensors.torch
import torch

from dblink_live.errors import ModelError
from dblink_live.models.dblink import DblinkConfig, DblinkNetwork
from dblink_live.models.device import resolve_device
from dblink_live.models.light import LightConfig, LightNetwork
from dblink_live.models.network import BidirectionalNetwork

SUFFIX = ".safetensors"
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


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a checkpoint. Unknown fields are ignored; a changed meaning raises the version."""

    format_version: int = FORMAT_VERSION
    name: str
    architecture: str
    config: msgspec.Raw
    """Of the network; its type is decided by the architecture."""
    pixel_size_nm: Annotated[float, msgspec.Meta(gt=0.0)]
    threshold: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    weights_sha256: str
    """Of the tensors, see `_digest`: safetensors itself would not notice a flipped bit."""
    envelope: Envelope = msgspec.field(default_factory=Envelope)
    training: TrainingFacts = {}
    """How the weights came about: settings, data, figures, versions."""


@dataclass(frozen=True)
class Model:
    """A network, ready to run, and the facts of its checkpoint."""

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
        """ "light" or "dblink"."""
        return self.network.architecture

    @classmethod
    def untrained(cls, network: BidirectionalNetwork, pixel_size_nm: float = 40.0) -> Model:
        """A network without a checkpoint, as tests and benchmarks need it."""
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
    """A network with fresh weights, from its name ("light" or "dblink") and its configuration as JSON.

    Raises
    ------
    ModelError
        The architecture is unknown, or the configuration has unknown or impossible values.
    """
    try:
        if architecture == LightNetwork.architecture:
            return LightNetwork(msgspec.json.decode(config, type=LightConfig))
        if architecture == DblinkNetwork.architecture:
            return DblinkNetwork(msgspec.json.decode(config, type=DblinkConfig))
    except msgspec.MsgspecError as error:
        raise ModelError(f"expected a configuration of a {architecture!r} network, found one with: {error}") from error
    raise ModelError(f"expected a network 'light' or 'dblink', found {architecture!r}; a newer dblink-live may know it")


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
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    header = Header(
        name=name,
        architecture=network.architecture,
        config=msgspec.Raw(msgspec.json.encode(network.config)),
        pixel_size_nm=pixel_size_nm,
        threshold=threshold,
        weights_sha256=_digest(tensors),
        envelope=envelope or Envelope(),
        training=training or {},
    )
    data = safetensors.torch.save(tensors, metadata={METADATA_KEY: msgspec.json.encode(header).decode()})
    target = Path(path)
    try:
        _write_atomically(target, data)
    except OSError as error:
        raise ModelError(f"cannot write the checkpoint {target}: {error.strerror}; choose another place") from error
    return hashlib.sha256(data).hexdigest()


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
    """
    resolved = resolve_device(device)
    path = _find(name_or_path)
    header, tensors, sha256 = _read(path)
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


def _zoo() -> Path:
    # The package is installed unpacked (its weights are read by path), so the resource is a real folder.
    return Path(str(resources.files("dblink_live.models"))) / "zoo"


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != SUFFIX and path.name == name_or_path:
        shipped = list_models()
        if name_or_path in shipped:
            return _zoo() / f"{name_or_path}{SUFFIX}"
        nearest = difflib.get_close_matches(name_or_path, shipped, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "; a checkpoint of yours is given by its path"
        raise ModelError(f"unknown model {name_or_path!r}; shipped: {', '.join(shipped) or 'none'}{hint}")
    if not path.is_file():
        raise ModelError(
            f"expected a checkpoint at {path}, found no file; shipped models: {', '.join(list_models()) or 'none'}"
        )
    return path


def _read(path: Path) -> tuple[Header, dict[str, torch.Tensor], str]:
    """Header, tensors and hash of one file; the three belong to the same bytes."""
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        metadata = _metadata(data)
    except OSError as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"expected a whole safetensors file, found {path} damaged, truncated or of another kind ({error}); "
            "copy it again (the authors' .pt or .pth weights are read by import_released_weights)"
        ) from error
    if METADATA_KEY not in metadata:
        raise ModelError(f"expected a checkpoint of dblink-live, found {path} written by another program")
    document = metadata[METADATA_KEY].encode()
    try:
        version = msgspec.json.decode(document, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise ModelError(
                f"expected a checkpoint of format {FORMAT_VERSION} or older, found {path} of format {version}; "
                "update dblink-live"
            )
        header = msgspec.json.decode(document, type=Header)
    except msgspec.MsgspecError as error:
        raise ModelError(f"expected the facts of a dblink-live checkpoint in {path}, found: {error}") from error
    if _digest(tensors) != header.weights_sha256:
        raise ModelError(f"expected the weights that {path} was written with, found changed ones; copy the file again")
    return header, tensors, hashlib.sha256(data).hexdigest()


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        digest.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Version(msgspec.Struct, frozen=True):
    """Read first, so that a newer format is reported as such and not by its first unknown field."""

    format_version: int


def _metadata(data: bytes) -> dict[str, str]:
    """The string metadata of a safetensors file: 8 bytes length, little endian, and a JSON header of that length."""
    length = int.from_bytes(data[:8], "little")
    header = msgspec.json.decode(data[8 : 8 + length], type=_TensorFileHeader)
    return header.metadata


class _TensorFileHeader(msgspec.Struct, frozen=True):
    metadata: dict[str, str] = msgspec.field(default_factory=dict, name="__metadata__")


def load_weights(network: BidirectionalNetwork, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy ``tensors`` into ``network``, or say in what they differ from what it needs."""
    expected = network.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unexpected:
        raise ModelError(
            f"expected the weights of a {network.architecture!r} network in {path}, found {len(missing)} missing "
            f"({', '.join(missing[:3])}) and {len(unexpected)} unknown ({', '.join(unexpected[:3])})"
        )
    for key, value in tensors.items():
        if value.shape != expected[key].shape:
            raise ModelError(
                f"expected weight {key} of shape {list(expected[key].shape)} in {path}, found {list(value.shape)}"
            )
        if not value.isfinite().all():
            raise ModelError(f"expected finite weights in {path}, found NaN or infinite ones in {key}; train again")
    network.load_state_dict(tensors)


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


def _write_atomically(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private; a checkpoint is for whoever may read the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
