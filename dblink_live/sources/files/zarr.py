"""Zarr stacks: a bare array along time, or an OME-Zarr image (0.4 and 0.5), of either Zarr format, chunked at will.

What an image says of itself follows https://ngff.openmicroscopy.org/0.5/: the axes with their units, and the scale of
the finest level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import zarr

from dblink_live.errors import SourceError
from dblink_live.types import FrameArray, Segment, Shape

_NM = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "meter": 1e9}
_MS = {"nanosecond": 1e-6, "microsecond": 1e-3, "millisecond": 1.0, "second": 1e3, "minute": 6e4}
_MAX_BLOCK_BYTES = 2**28
"""A chunk holds many frames at times, and is decompressed whole: they are kept together, up to so much memory."""


@dataclass(frozen=True)
class _Axes:
    """What is known of an array's axes."""

    names: tuple[str, ...]
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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._array, axes = _open(path)
        names, shape = axes.names, self._array.shape
        long = [f"{name}={n}" for name, n in zip(names[:-2], shape[:-2], strict=True) if name != "t" and n != 1]
        if names[-2:] != ("y", "x") or long:
            found = ", ".join(f"{name}={n}" for name, n in zip(names, shape, strict=True))
            raise SourceError(
                f"expected a stack along time alone (t, y, x) in {path}, found the axes {found}; "
                "export one channel, plane and position"
            )
        if self._array.dtype.kind != "u" or self._array.dtype.itemsize > 2:
            raise SourceError(
                f"expected camera counts of 8 or 16 bits (uint8, uint16) in {path}, found {self._array.dtype}; "
                "save the raw counts of the camera"
            )
        self._time = names.index("t") if "t" in names else None
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
        # Of a chunk that is not there Zarr says that it holds the fill value: a black frame, for all one can see.
        self._lacks_chunks = self._array.nchunks_initialized < self._array.nchunks

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
        if self._lacks_chunks and bool(np.all(frame == self._array.fill_value)):
            rescue = f"; replay the {index} frames before it with frames={index}" if index else ""
            raise SourceError(
                f"frame {index + 1} of {self.n_frames} in {self._path} is not there: its chunk is missing: the stack "
                f"was not written or copied whole{rescue}"
            )
        return cast(FrameArray, frame.copy())

    def close(self) -> None:
        self._cache = self._cache[:0]

    def _frames_together(self) -> int:
        n_frames = self._array.chunks[self._time] if self._time is not None else 1
        frame_bytes = self.segment.shape.height * self.segment.shape.width * self._array.dtype.itemsize
        return n_frames if n_frames * frame_bytes <= _MAX_BLOCK_BYTES else 1

    def _read(self, start: int, stop: int, index: int) -> FrameArray:
        key = tuple(
            slice(start, stop) if axis == self._time else slice(None) if axis >= self._array.ndim - 2 else 0
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
        axes = _axes_of_image(image, level, path)
    except (KeyError, IndexError, TypeError) as error:
        raise SourceError(
            f"expected a whole OME-Zarr image at {path}, found its description or its finest level missing: {error!r}"
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
    named = getattr(array.metadata, "dimension_names", None)
    if named and all(named):
        return _Axes(tuple(str(name) for name in named))
    if array.ndim != 3:
        raise SourceError(f"expected an array (t, y, x) at {path}, found {array.ndim} axes: {array.shape}")
    return _Axes(("t", "y", "x"))


def _axes_of_image(image: Mapping[str, Any], level: Mapping[str, Any], path: Path) -> _Axes:
    axes = image["axes"]
    names = tuple(str(axis["name"]) for axis in axes)
    scale = np.ones(len(names))
    for transformation in [*level.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]:
        if transformation.get("type") == "scale":
            scale = scale * np.asarray(transformation["scale"], dtype=float)
    sizes = dict(zip(names, scale.tolist(), strict=True))
    units = {name: str(axis.get("unit", "")) for name, axis in zip(names, axes, strict=True)}
    y, x = (_scaled(sizes.get(name), units.get(name), _NM) for name in ("y", "x"))
    if y is not None and x is not None and not math.isclose(y, x, rel_tol=1e-3):
        raise SourceError(f"expected square camera pixels in {path}, found {x:g} x {y:g} nm; correct the scale there")
    return _Axes(names, pixel_size_nm=x, frame_interval_ms=_scaled(sizes.get("t"), units.get("t"), _MS))


def _scaled(size: float | None, unit: str | None, units: Mapping[str, float]) -> float | None:
    """``size`` in nm or ms; None where the unit is not stated, so that a bare 1.0 is not taken for a size."""
    factor = units.get(unit or "")
    if size is None or factor is None or not (math.isfinite(size) and size > 0):
        return None
    return round(size * factor, 6)
