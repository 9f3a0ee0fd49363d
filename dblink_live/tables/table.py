"""A localization table in memory, whatever its file was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError
from dblink_live.types import LOCALIZATION_DTYPE, Localizations, Shape

TABLE_DTYPE = np.dtype([(name, np.int64 if name == "frame" else np.float64) for name in LOCALIZATION_DTYPE.names or ()])
"""`LOCALIZATION_DTYPE` in double precision: files state a picometre in a field of 30 um, which float32 cannot hold."""

NOMINAL_PIXEL_SIZE_NM = 100.0
"""Camera pixel in which a table in nanometres is expressed when nobody names one. Any value gives the same
nanometres back."""

SUPPORTED = (
    "ThunderSTORM's .csv (or any with columns frame, x [nm], y [nm]), Picasso's .hdf5 with its .yaml, "
    "rapidSTORM's .txt, SMAP's .mat, DECODE's .h5, Elyra's .txt, .smlm and .parquet"
)


@dataclass(frozen=True)
class LocalizationTable:
    """What `read_localizations` found in a file; it can be indexed and passed on like its ``localizations``."""

    localizations: Localizations
    """Rows of `TABLE_DTYPE`, sorted by frame; frames count from 0, positions in camera pixels. Columns that the file
    lacks are 0. ``.astype(LOCALIZATION_DTYPE)`` gives what a live run stores."""
    pixel_size_nm: float
    """Of the pixels in which the positions are given."""
    shape: Shape | None = None
    """Camera field (H, W) in pixels; None where the file does not state it."""
    n_frames: int | None = None
    """Frames of the recording; None where the file does not state it."""
    is_pixel_size_known: bool = True
    """False when the table was in nanometres and nobody named the camera's pixel: then `NOMINAL_PIXEL_SIZE_NM`."""

    def __len__(self) -> int:
        return len(self.localizations)

    def __getitem__(self, key: Any) -> Any:
        """A column by its name, or rows."""
        return self.localizations[key]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Localizations:
        return np.array(self.localizations, dtype=dtype, copy=copy)

    def field(self) -> Shape:
        """The camera field: as stated, or else the smallest from the origin that holds every localization.

        Examples
        --------
        >>> rows = np.zeros(1, TABLE_DTYPE)
        >>> rows["x"], rows["y"] = 6.2, 2.5
        >>> LocalizationTable(rows, 100.0).field()
        Shape(height=4, width=7)
        """
        if self.shape is not None:
            return self.shape
        if not len(self.localizations):
            return Shape(1, 1)
        # Pixel j covers [j - 0.5, j + 0.5).
        height, width = (max(1, math.floor(self.localizations[axis].max() + 0.5) + 1) for axis in ("y", "x"))
        return Shape(height, width)


def check_pixel_size(pixel_size_nm: float) -> float:
    """Return ``pixel_size_nm``, or raise `CalibrationError` when no pixel can have it."""
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise CalibrationError(f"expected a camera pixel size above 0 nm, found {pixel_size_nm}; give --pixel-size-nm")
    return pixel_size_nm


def sorted_by_frame(localizations: Localizations) -> Localizations:
    """Rows in order of their frames; those of one frame keep theirs."""
    frames = localizations["frame"]
    if np.all(frames[1:] >= frames[:-1]):
        return localizations
    return localizations[np.argsort(frames, kind="stable")]
