"""Networks as safetensors files: weights, and one JSON document of facts in the file's metadata.

Nothing in such a file is executed. Who writes one decides on the facts; those that every file must have are `Facts`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from dblink_live.errors import ModelError
from dblink_live.files import replacing
from dblink_live.text.suggest import did_you_mean

SUFFIX = ".safetensors"


def find_weights(name_or_path: str | os.PathLike[str], zoo: Path, kind: str) -> Path:
    """Return the file of a network in the folder ``zoo`` by its name, or of any other by its path.

    Parameters
    ----------
    kind
        What the file is called in messages, such as ``"model"``.

    Raises
    ------
    ModelError
        There is no such file; the nearest name is suggested.
    """
    path = Path(name_or_path)
    shipped = sorted(file.stem for file in zoo.glob(f"*{SUFFIX}"))
    listed = ", ".join(shipped) or "none"
    if isinstance(name_or_path, str) and path.suffix != SUFFIX and path.name == name_or_path:
        if name_or_path in shipped:
            return zoo / f"{name_or_path}{SUFFIX}"
        hint = did_you_mean(name_or_path, shipped) or "; give a checkpoint of your own by its path"
        raise ModelError(f"unknown {kind} {name_or_path!r}; shipped: {listed}{hint}")
    if not path.is_file():
        raise ModelError(f"expected a {kind} at {path}, found no file; shipped: {listed}")
    return path


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What every file states of itself. Unknown fields are ignored; a changed meaning raises the version."""

    format_version: int
    weights_sha256: str
    """Of the tensors, see `digest`: safetensors itself would not notice a flipped bit."""


AnyFacts = TypeVar("AnyFacts", bound=Facts)


def detached(network: nn.Module) -> dict[str, Tensor]:
    """The weights of ``network`` as they are written."""
    return {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}


def write_weights(path: str | os.PathLike[str], tensors: dict[str, Tensor], facts: Facts, metadata_key: str) -> str:
    """Write a file and return its sha256. It appears whole or not at all.

    Raises
    ------
    ModelError
        The file cannot be written.
    """
    data = safetensors.torch.save(tensors, metadata={metadata_key: msgspec.json.encode(facts).decode()})
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as unfinished:
            unfinished.write_bytes(data)
    except OSError as error:
        raise ModelError(f"cannot write the checkpoint {target}: {error.strerror}; choose another place") from error
    return hashlib.sha256(data).hexdigest()


def read_weights(
    path: Path, facts: type[AnyFacts], metadata_key: str, newest: int
) -> tuple[AnyFacts, dict[str, Tensor], str]:
    """Facts, tensors and hash of one file; the three belong to the same bytes.

    Raises
    ------
    ModelError
        The file is missing, damaged, another program's, or of a format after ``newest``.
    """
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
    if metadata_key not in metadata:
        raise ModelError(f"expected a checkpoint of dblink-live, found {path} written by another program")
    document = metadata[metadata_key].encode()
    try:
        version = msgspec.json.decode(document, type=_Version).format_version
        if version > newest:
            raise ModelError(
                f"expected a checkpoint of format {newest} or older, found {path} of format {version}; "
                "update dblink-live"
            )
        header = msgspec.json.decode(document, type=facts)
    except msgspec.MsgspecError as error:
        raise ModelError(f"expected the facts of a dblink-live checkpoint in {path}, found: {error}") from error
    if digest(tensors) != header.weights_sha256:
        raise ModelError(f"expected the weights that {path} was written with, found changed ones; copy the file again")
    return header, tensors, hashlib.sha256(data).hexdigest()


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 over names, types, shapes and values, in the order of the names."""
    sha256 = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        sha256.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        # A number without an axis has no bytes to view; as a row of one it has.
        sha256.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def load_weights(network: nn.Module, tensors: dict[str, Tensor], path: Path, what: str) -> None:
    """Copy ``tensors`` into ``network``, or say in what they differ from what it needs; ``what`` names its kind.

    Raises
    ------
    ModelError
        Weights are missing, unknown, of another shape or not finite.
    """
    expected = network.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unexpected:
        raise ModelError(
            f"expected the weights of a {what!r} network in {path}, found {len(missing)} missing "
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
