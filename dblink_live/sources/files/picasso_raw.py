"""Picasso's raw movies: a ``.raw`` file of bare pixels beside a ``.yaml`` that describes it.

Format: Schnitzbauer et al., "Super-resolution microscopy with DNA-PAINT", Nature Protocols 2017, and
https://picassosr.readthedocs.io/en/latest/files.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.sources.files.stack_format import StackFormat
from dblink_live.text.picasso_yaml import find, positive_number, read_steps, whole_number
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
        facts, origin = _read_description(path)
        height, width, self.n_frames = (
            whole_number(facts.get(key), key, origin, minimum=1) for key in ("Height", "Width", "Frames")
        )
        dtype = _dtype(facts, origin)
        self._dtype = dtype
        self._frame_bytes = height * width * dtype.itemsize
        n_expected, n_found = self.n_frames * self._frame_bytes, path.stat().st_size
        if n_found != n_expected:
            raise SourceError(
                f"expected {n_expected} bytes in {path} (its .yaml says {self.n_frames} frames of {height} x {width} "
                f"{facts['Data Type']}), found {n_found}, which is {n_found / self._frame_bytes:g} frames; "
                "copy the file again, or correct the description"
            )
        self.numbers: tuple[int, ...] | None = None
        self.notes: tuple[str, ...] = ()
        name: Literal["uint8", "uint16"] = "uint8" if dtype.itemsize == 1 else "uint16"
        self.segment = Segment(
            index=0,
            shape=Shape(height, width),
            dtype=name,
            exposure_ms=positive_number(find([facts], _INTEGRATION_KEYS)),
            pixel_size_nm=positive_number(find([facts], _PIXEL_SIZE_KEYS)),
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


def _read_description(path: Path) -> tuple[Mapping[str, object], Path]:
    """The description of the movie, and where it stands."""
    beside = path.with_suffix(".yaml")
    if not beside.is_file():
        raise SourceError(
            f"expected the description {beside} beside {path.name}, found none; "
            "Picasso writes it with the movie. It states Byte Order, Data Type, Frames, Height and Width"
        )
    # One document per processing step; the first describes the movie.
    return read_steps(beside.read_bytes(), beside)[0], beside


def _dtype(facts: Mapping[str, object], origin: Path) -> np.dtype[np.unsignedinteger]:
    name, stated = facts.get("Data Type"), facts.get("Byte Order")
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind != "u" or dtype.itemsize > 2:
        raise SourceError(
            f"expected camera counts of 8 or 16 bits (uint8, uint16) as Data Type of {origin}, found {name!r}; "
            "save the raw counts of the camera"
        )
    order = {"little": "<", "big": ">"}.get(str(stated), stated)
    own = str(name)[0] if str(name)[0] in "<>" else None
    if order not in ("<", ">", "=", None) or (own is not None and order in ("<", ">") and own != order):
        raise SourceError(f"expected Byte Order < or > in {origin}, found {stated!r}; correct it there")
    unsigned: np.dtype[np.unsignedinteger] = np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)
    return unsigned.newbyteorder(">" if (own or order) == ">" else "<" if (own or order) == "<" else "=")


FORMAT = StackFormat(
    scheme="raw",
    name="Picasso raw movie with its .yaml",
    suffixes=(".raw",),
    open=lambda path, options: RawStack(path),
    options=(),
    versions="Picasso 0.2 to 0.11: uint8 and uint16, either byte order; descriptions in UTF-8 or Windows 1252, with "
    "NumPy "
    "values, Frames as 12.0",
    refused="a missing description; a size that contradicts it; other types than uint8 and uint16",
    example="stack.raw",
)
