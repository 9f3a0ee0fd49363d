"""The frames and the field that a table spans, and rows so far away that they can only be errors."""

from __future__ import annotations

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.tables.table import LocalizationTable
from dblink_live.types import Grid

MAX_GRID_PIXELS = 8192**2
"""A field larger than this (a third of a millimetre square at 40 nm) comes from a stray row of the table."""
_MAX_EMPTY_FRAMES = 100_000
_FAR_FRAMES = 10_000
"""A stretch without localizations that counts as empty."""
_FAR_NM = 100_000.0
_FAR_RATIO = 4.0
_FAR_SHARE = 1e-3


def span_frames(table: LocalizationTable, window_frames: int, name: str) -> tuple[int, int]:
    """Return the first frame and one past the last of the windows that hold the table.

    The first window is the one of the first localization: windows begin at multiples of ``window_frames``, so a table
    that begins late has no empty windows before it.

    Raises
    ------
    SourceError
        The table is empty, or most of its span is without localizations, as one far frame number makes it.
    """
    frames = table["frame"]
    if not len(frames):
        raise SourceError(f"expected localizations in {name}, found an empty table")
    first, stop = int(frames[0]), int(frames[-1]) + 1
    gaps = np.diff(np.unique(frames))
    n_empty = int(gaps[gaps > _FAR_FRAMES].sum())
    if n_empty > _MAX_EMPTY_FRAMES and n_empty > 10 * (stop - first - n_empty):
        at = int(np.argmax(np.diff(frames)))
        before, after = int(frames[at]), int(frames[at + 1])
        raise SourceError(
            f"expected frames that follow each other in {name}, found none between {before} and {after} (counted from "
            f"0), and {len(frames) - at - 1} of {len(frames)} rows from there on; remove the outliers, or split "
            "the table"
        )
    begin = first - first % window_frames
    if table.n_frames is not None:
        stop = max(stop, table.n_frames)
    return begin, stop


def covering_grid(table: LocalizationTable, pitch_nm: float, name: str) -> Grid:
    """Return the grid of ``pitch_nm`` over the table's field.

    Raises
    ------
    SourceError
        The field is impossibly large, or reaches far beyond all rows but a few.
    """
    shape = table.field()
    grid = Grid.covering(shape, table.pixel_size_nm, pitch_nm)
    if table.shape is None:
        _check_far(table, name)
    if grid.shape.height * grid.shape.width > MAX_GRID_PIXELS:
        raise SourceError(
            f"expected a field of at most {MAX_GRID_PIXELS / 1e6:.0f} million pixels of {grid.pitch_nm:g} nm in "
            f"{name}, found {grid.shape.height} x {grid.shape.width}: {_farthest(table)}; remove far outliers, check "
            "the "
            "unit, or "
            "cut the table into regions"
        )
    return grid


def first_frame_note(first: int, window_frames: int) -> str | None:
    """Return what to say of a table that begins late; None where it begins at once."""
    if first < window_frames:
        return None
    n_windows = first // window_frames
    return f"the first localization lies in frame {first} or soon after: {n_windows} windows before it are left out"


def _check_far(table: LocalizationTable, name: str) -> None:
    n = len(table)
    if n < 3:
        return
    for axis in ("x", "y"):
        values = np.sort(table[axis]) * table.pixel_size_nm
        core = values[n - 1 - max(1, int(n * _FAR_SHARE))]
        if values[-1] > _FAR_NM and values[-1] > _FAR_RATIO * max(core, 1.0):
            raise SourceError(
                f"expected positions within one field in {name}, found {_farthest(table)}, while all but a few rows "
                f"lie within {core / 1e3:.4g} um in {axis}; remove the outliers"
            )


def _farthest(table: LocalizationTable) -> str:
    at = int(np.argmax(np.maximum(table["x"], table["y"])))
    x, y = ((float(table[axis][at]) + 0.5) * table.pixel_size_nm / 1e3 for axis in ("x", "y"))
    return f"a row at x {x:.6g} um, y {y:.6g} um in frame {int(table['frame'][at])} (from 0)"
