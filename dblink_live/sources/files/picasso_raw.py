"""Picasso's raw movies: a ``.raw`` file of bare pixels beside a ``.yaml`` that describes it.

Format: Schnitzbauer et al., "Super-resolution microscopy with DNA-PAINT", Nature Protocols 2017, and
https://picassosr.readthedocs.io/en/latest/files.html
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import numpy as np
import yaml

from dblink_live.errors import SourceError
from dblink_live.types import FrameArray, Segment, Shape

_PIXEL_SIZE_KEYS = ("Pixelsize", "Camera.Pixelsize", "Pixel Size", "Camera.Pixel Size")
_INTEGRATION_KEYS = ("Camera.Integration Time", "Integration Time")


class RawStack:
    """The frames of a Picasso raw movie.

    Parameters
    ----------
    path
        The ``.raw`` file; its description is expected beside it, with the suffix ``.yaml``.

    Raises
    ------
    SourceError
        Either file is missing, the description is incomplete or contradicts the file's size, or its pixels are
        not unsigned integers of 8 or 16 bits.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise SourceError(f"expected a Picasso movie, found no file {path}; check the path")
        self._path = path
        facts = _read_description(path)
        height, width = (_whole(facts, key, path) for key in ("Height", "Width"))
        self.n_frames = _whole(facts, "Frames", path)
        dtype = _dtype(facts, path)
        self._dtype = dtype
        self._frame_bytes = height * width * dtype.itemsize
        n_expected, n_found = self.n_frames * self._frame_bytes, path.stat().st_size
        if n_found != n_expected:
            raise SourceError(
                f"expected {n_expected} bytes in {path} (its .yaml says {self.n_frames} frames of {height} x {width} "
                f"{facts['Data Type']}), found {n_found}, which is {n_found / self._frame_bytes:g} frames; "
                "copy the file again, or correct the description"
            )
        name: Literal["uint8", "uint16"] = "uint8" if dtype.itemsize == 1 else "uint16"
        self.segment = Segment(
            index=0,
            shape=Shape(height, width),
            dtype=name,
            exposure_ms=_positive(facts, _INTEGRATION_KEYS),
            pixel_size_nm=_positive(facts, _PIXEL_SIZE_KEYS),
        )
        # Unbuffered: frames are read whole and once.
        self._file = path.open("rb", buffering=0)

    def frame(self, index: int) -> FrameArray:
        """Frame ``index`` [H, W] in native byte order."""
        self._file.seek(index * self._frame_bytes)
        content = bytearray(self._frame_bytes)
        view, n_read = memoryview(content), 0
        while n_read < len(content):
            n = self._file.readinto(view[n_read:])
            if not n:
                raise SourceError(
                    f"frame {index + 1} of {self.n_frames} in {self._path} cannot be read: the file has become shorter"
                )
            n_read += n
        frame = np.frombuffer(content, self._dtype).reshape(self.segment.shape)
        return cast(FrameArray, frame.astype(self.segment.dtype, copy=False))

    def close(self) -> None:
        self._file.close()


def _read_description(path: Path) -> Mapping[str, object]:
    described_in = path.with_suffix(".yaml")
    if not described_in.is_file():
        raise SourceError(
            f"expected the description {described_in} beside {path.name}, found none; "
            "Picasso writes it with the movie. It states Byte Order, Data Type, Frames, Height and Width"
        )
    try:
        # One document a processing step; the first describes the movie.
        first = next(iter(yaml.safe_load_all(described_in.read_text(encoding="utf-8"))), None)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"expected YAML in {described_in}, found something else: {error}") from error
    if not isinstance(first, Mapping):
        raise SourceError(f"expected keys and values in {described_in}, found {type(first).__name__}")
    return first


def _whole(facts: Mapping[str, object], key: str, path: Path) -> int:
    value = facts.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SourceError(
            f"expected {key} as a whole number above 0 in {path.with_suffix('.yaml')}, found {value!r}; "
            "correct it there"
        )
    return value


def _dtype(facts: Mapping[str, object], path: Path) -> np.dtype[np.unsignedinteger]:
    name, order = facts.get("Data Type"), facts.get("Byte Order", "<" if sys.byteorder == "little" else ">")
    if name not in ("uint8", "uint16"):
        raise SourceError(
            f"expected camera counts of 8 or 16 bits (uint8, uint16) as Data Type of {path.with_suffix('.yaml')}, "
            f"found {name!r}; save the raw counts of the camera"
        )
    if order not in ("<", ">"):
        raise SourceError(
            f"expected Byte Order < or > in {path.with_suffix('.yaml')}, found {order!r}; correct it there"
        )
    return np.dtype(name).newbyteorder(order)


def _positive(facts: Mapping[str, object], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        value = facts.get(key)
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
            return float(value)
    return None
