"""Zarr stacks: a bare array along time, or an OME-Zarr image (0.1 to 0.5), of either Zarr format, chunked at will.

What an image says of itself follows https://ngff.openmicroscopy.org/0.5/: the axes with their units, and the scale of
the finest level. Before 0.3 the axes were t, c, z, y, x always, and 0.3 had their names alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.sources.files.stack_format import EVERYTHING, StackFormat, StackOptions
from dblink_live.types import FrameArray, Segment, Shape

if TYPE_CHECKING:
    import zarr

_OLD_AXES = ("t", "c", "z", "y", "x")
"""Of OME-Zarr 0.1 and 0.2, which do not state them."""
_NAMES = {
    "time": "t",
    "frame": "t",
    "frames": "t",
    "timepoint": "t",
    "channel": "c",
    "channels": "c",
    "row": "y",
    "height": "y",
    "column": "x",
    "width": "x",
    "plane": "z",
    "slice": "z",
}
"""Words for the axes in place of their letters."""
_NM = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "meter": 1e9}
_MS = {"nanosecond": 1e-6, "microsecond": 1e-3, "millisecond": 1.0, "second": 1e3, "minute": 6e4}
_MAX_BLOCK_BYTES = 2**28
"""A chunk holds many frames at times, and is decompressed whole: they are kept together, up to so much memory."""


@dataclass(frozen=True)
class _Axes:
    """Axes of an array."""

    names: tuple[str, ...]
    channels: tuple[str, ...] = ()
    """Names of the channels, where they are stated."""
    pixel_size_nm: float | None = None
    frame_interval_ms: float | None = None


class ZarrStack:
    """The frames of a Zarr array.

    Parameters
    ----------
    path
        The array, or the group of an OME-Zarr image, of which the finest level is taken.

    Raises
    ------
    SourceError
        No such array, or not one of grey frames of 8 to 16 bits along time alone.
    """

    def __init__(self, path: Path, options: StackOptions = EVERYTHING) -> None:
        self._path = path
        self._array, axes = _open(path)
        names, shape = axes.names, self._array.shape
        self._channel = _channel_index(options.channel, axes, shape, path)
        ours = ("t", "c") if options.channel is not None else ("t",)
        long = [f"{name}={n}" for name, n in zip(names[:-2], shape[:-2], strict=True) if name not in ours and n != 1]
        if names[-2:] != ("y", "x") or long:
            found = ", ".join(f"{name}={n}" for name, n in zip(names, shape, strict=True))
            raise SourceError(
                f"expected a stack along time alone (t, y, x) in {path}, found the axes {found}; "
                "choose a channel with ?channel=NUMBER, or export one channel, plane and position"
            )
        if self._array.dtype.kind != "u" or self._array.dtype.itemsize > 2:
            raise SourceError(
                f"expected camera counts of 8 or 16 bits (uint8, uint16) in {path}, found {self._array.dtype}; "
                "save the raw counts of the camera"
            )
        self._time = names.index("t") if "t" in names else None
        self._channel_axis = names.index("c") if "c" in names else None
        self.n_frames = shape[self._time] if self._time is not None else 1
        if not self.n_frames:
            raise SourceError(f"expected frames in {path}, found none: its shape is {shape}")
        dtype: Literal["uint8", "uint16"] = "uint8" if self._array.dtype.itemsize == 1 else "uint16"
        self.segment = Segment(
            index=0,
            shape=Shape(*shape[-2:]),
            dtype=dtype,
            frame_interval_ms=axes.frame_interval_ms,
            pixel_size_nm=axes.pixel_size_nm,
        )
        self._block = self._frames_together()
        self._cached_from, self._cache = 0, np.empty((0, *self.segment.shape), dtype)
        self.notes: tuple[str, ...] = ()
        self.numbers: tuple[int, ...] | None = None
        self._leave_out_what_was_never_stored()

    def frame(self, index: int) -> FrameArray:
        """Frame ``index`` [H, W] in native byte order.

        Raises
        ------
        SourceError
            It is not there, or its chunk is damaged; the message names it, counted from 1.
        """
        at = index - self._cached_from
        if not 0 <= at < len(self._cache):
            start = index - index % self._block
            self._cache = self._read(start, min(start + self._block, self.n_frames), index)
            self._cached_from, at = start, index - start
        frame = self._cache[at]
        return cast(FrameArray, frame.copy())

    def close(self) -> None:
        self._cache = self._cache[:0]

    def _leave_out_what_was_never_stored(self) -> None:
        """Chunks that are not stored are black by the format; behind the last stored one nothing was ever acquired."""
        if self._time is None or self._array.nchunks_initialized >= self._array.nchunks:
            return
        stored = _stored_frames(self._array, self._time)
        if stored is None:
            return
        n_lacking = self._array.nchunks - self._array.nchunks_initialized
        last = int(np.flatnonzero(stored)[-1]) + 1 if stored.any() else 0
        if not last:
            raise SourceError(
                f"expected frames in {self._path}, found no chunk stored: it was not written or copied whole"
            )
        last_frame = min(last * self._array.chunks[self._time], self.n_frames)
        if last_frame < self.n_frames:
            self.notes += (
                f"{last_frame} of {self.n_frames} frames are there: nothing is stored behind them, so the "
                "acquisition was "
                "stopped early, or the stack was not copied whole",
            )
            self.n_frames = last_frame
        n_black = int(np.count_nonzero(~stored[:last]))
        if n_black:
            self.notes += (
                f"{n_black} of {last} chunks along time are not stored, which means black frames (or a stack that "
                "was not "
                "copied whole)",
            )
        elif last_frame == self.n_frames and n_lacking and not self.notes:
            self.notes += (f"{n_lacking} chunks are not stored, which means black pixels",)

    def _frames_together(self) -> int:
        n_frames = self._array.chunks[self._time] if self._time is not None else 1
        frame_bytes = self.segment.shape.height * self.segment.shape.width * self._array.dtype.itemsize
        return n_frames if n_frames * frame_bytes <= _MAX_BLOCK_BYTES else 1

    def _read(self, start: int, stop: int, index: int) -> FrameArray:
        key = tuple(
            slice(start, stop)
            if axis == self._time
            else slice(None)
            if axis >= self._array.ndim - 2
            else self._channel
            if axis == self._channel_axis
            else 0
            for axis in range(self._array.ndim)
        )
        try:
            block = np.asarray(self._array[key], dtype=self.segment.dtype)
        except Exception as error:
            # Codecs and stores raise anything from OSError to RuntimeError on damaged chunks.
            raise SourceError(
                f"frame {index + 1} of {self.n_frames} in {self._path} cannot be read ({error}); "
                "the stack is damaged or was not copied whole: copy it again"
            ) from error
        return cast(FrameArray, block.reshape(stop - start, *self.segment.shape))


def _open(path: Path) -> tuple[zarr.Array[Any], _Axes]:
    if not path.exists():
        raise SourceError(f"expected a Zarr stack, found nothing at {path}; check the path")
    # Here: the process of a camera imports this module for its format, and is to be light.
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:
        # Depending on what lies there: FileNotFoundError, ValueError, KeyError, errors of its own.
        raise SourceError(f"expected a Zarr array or an OME-Zarr image at {path}, found neither: {error}") from error
    if isinstance(node, zarr.Array):
        return node, _axes_of_bare(node, path)
    image = _multiscale(node.attrs.asdict())
    if image is None:
        inner = ", ".join(sorted(node.keys())) or "nothing"
        raise SourceError(
            f"expected an array or an OME-Zarr image at {path}, found a group of {inner}; "
            f"name the one: zarr:{path}/NAME"
        )
    try:
        level = image["datasets"][0]
        array = node[level["path"]]
        axes = _axes_of_image(image, level, node.attrs.asdict(), array, path)
    except SourceError:
        raise
    except Exception as error:
        # Zarr and its decoders of JSON raise anything from KeyError to UnicodeDecodeError on damaged descriptions.
        raise SourceError(
            f"expected a whole OME-Zarr image at {path}, found its description or its finest level missing or damaged: "
            f"{error!r}"
        ) from error
    if not isinstance(array, zarr.Array) or len(axes.names) != array.ndim:
        raise SourceError(f"expected an array with the axes {', '.join(axes.names)} at {path}, found {array}")
    return array, axes


def _multiscale(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first image that the attributes of a group describe."""
    ome = attributes.get("ome", attributes)
    images = ome.get("multiscales") if isinstance(ome, Mapping) else None
    return images[0] if isinstance(images, Sequence) and images and isinstance(images[0], Mapping) else None


def _axes_of_bare(array: zarr.Array[Any], path: Path) -> _Axes:
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    if isinstance(named, Sequence) and named and all(named) and len(named) == array.ndim:
        return _Axes(tuple(_letter(str(name)) for name in named))
    if array.ndim != 3:
        raise SourceError(f"expected an array (t, y, x) at {path}, found {array.ndim} axes: {array.shape}")
    return _Axes(("t", "y", "x"))


def _axes_of_image(
    image: Mapping[str, Any], level: Mapping[str, Any], attributes: Mapping[str, Any], array: Any, path: Path
) -> _Axes:
    """The axes of 0.4 and later with names and units, of 0.3 with names alone, of 0.1 and 0.2 by their custom."""
    axes = image.get("axes")
    if axes is None:
        axes = _OLD_AXES
        if array.ndim != len(_OLD_AXES):
            raise SourceError(
                f"expected the axes t, c, z, y, x of OME-Zarr {image.get('version', '0.1 or 0.2')} in {path}, found "
                f"{array.ndim}: {array.shape}; write it as 0.4 or later"
            )
    stated = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    names = tuple(_letter(str(axis["name"])) for axis in stated)
    scale, is_scaled = np.ones(len(names)), False
    for transformation in [*level.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        if transformation.get("type") == "scale":
            scale, is_scaled = scale * np.asarray(transformation["scale"], dtype=float), True
    # A unit alone is no size: 1 is what stands in for a scale that nobody stated.
    sizes = dict(zip(names, scale.tolist(), strict=True)) if is_scaled else {}
    units = {name: str(axis.get("unit") or "") for name, axis in zip(names, stated, strict=True)}
    y, x = (_scaled(sizes.get(name), units.get(name), _NM) for name in ("y", "x"))
    if y is not None and x is not None and not math.isclose(y, x, rel_tol=1e-3):
        raise SourceError(f"expected square camera pixels in {path}, found {x:g} x {y:g} nm; correct the scale there")
    interval = _scaled(sizes.get("t"), units.get("t"), _MS)
    return _Axes(names, _channel_names(attributes), pixel_size_nm=x, frame_interval_ms=interval)


def _letter(name: str) -> str:
    lower = name.strip().lower()
    return _NAMES.get(lower, lower)


def _channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    ome = attributes.get("ome", attributes)
    omero = ome.get("omero") if isinstance(ome, Mapping) else None
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, Sequence):
        return ()
    return tuple(str(channel.get("label", "")) if isinstance(channel, Mapping) else "" for channel in channels)


def _channel_index(wanted: str | None, axes: _Axes, shape: tuple[int, ...], path: Path) -> int:
    if wanted is None:
        return 0
    if "c" not in axes.names:
        raise SourceError(f"expected no channel for {path}, which has no such axis; leave ?channel= out")
    n = shape[axes.names.index("c")]
    names = [axes.channels[index] if index < len(axes.channels) else "" for index in range(n)]
    for index, name in enumerate(names):
        if wanted in (str(index), name):
            return index
    listed = ", ".join(f"{index} {name}".strip() for index, name in enumerate(names))
    raise SourceError(f"expected the channel {wanted!r} in {path}, found {listed}")


def _stored_frames(array: zarr.Array[Any], time: int) -> npt.NDArray[np.bool_] | None:
    """Of each chunk along time, whether anything of it is stored; None where that cannot be told."""
    import zarr

    n_chunks = -(-array.shape[time] // (array.shards or array.chunks)[time])
    stored = np.zeros(n_chunks, bool)
    root = (
        Path(str(array.store_path.store.root)) / array.store_path.path
        if hasattr(array.store_path.store, "root")
        else None
    )
    if root is None or array.shards is not None:
        return None
    is_v3 = isinstance(array.metadata, zarr.core.metadata.v3.ArrayV3Metadata)
    for file in root.rglob("*"):
        parts = [part for part in re.split(r"[/\\.]", file.relative_to(root).as_posix()) if part]
        numbers = [part for part in (parts[1:] if is_v3 and parts[:1] == ["c"] else parts) if part.isdigit()]
        if file.is_file() and len(numbers) == array.ndim and int(numbers[time]) < n_chunks:
            stored[int(numbers[time])] = True
    return stored


def _scaled(size: float | None, unit: str | None, units: Mapping[str, float]) -> float | None:
    """``size`` in nm or ms; None where the unit is not stated, so that a bare 1.0 is not taken for a size."""
    factor = units.get(unit or "")
    if size is None or factor is None or not (math.isfinite(size) and size > 0):
        return None
    return round(size * factor, 6)


FORMAT = StackFormat(
    scheme="zarr",
    name="Zarr and OME-Zarr",
    suffixes=(".zarr",),
    open=ZarrStack,
    contents=("zarr.json", ".zarray", ".zgroup"),
    options=("channel",),
    versions="Zarr 2 and 3, sharded or not; bare arrays (t, y, x) or with named dimensions; OME-Zarr 0.1 to 0.5. "
    "Chunks "
    "that are not stored are black frames; behind the last stored one the stack ends",
    refused="several slices or positions; several channels unless `channel=` selects one; other types than uint8 and "
    "uint16",
    example="stack.ome.zarr",
)
