"""Columns as tables hold them: found by name, checked, and made into rows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.table import TABLE_DTYPE, frame_order, unknown_rows
from dblink_live.types import Localizations

Column = npt.NDArray[np.float64]


def check_present(required: Iterable[str], found: Iterable[str], path: Path) -> None:
    """Raise `SourceError` that names every required column that is not there."""
    found = [str(name) for name in found]
    missing = [name for name in required if name not in found]
    if missing:
        listed = textwrap.shorten(", ".join(found), 200) or "none"
        raise SourceError(f"expected a column {', '.join(missing)} in {path}, found {listed}; export it with the table")


def as_column(values: npt.ArrayLike, name: str, path: Path) -> Column:
    """Return one number per row, whichever way the column lay in the file."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.size != max((*array.shape, 0 if array.ndim else 1)):
        raise SourceError(
            f"expected one number per row in {name} of {path}, found {array.dtype} of shape {array.shape}; "
            "export the table again"
        )
    return array.astype(np.float64).reshape(-1)


def make_rows(
    path: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    is_counted_from_1: bool,
    place: Callable[[int], str] = lambda row: f"row {row + 1}",
) -> tuple[Localizations, dict[str, npt.NDArray[Any]]]:
    """Return rows sorted by frame, and the further columns in the same order.

    Parameters
    ----------
    path
        Named in errors.
    columns
        By names of `TABLE_DTYPE`, with frame, x and y among them: frames as in the file, the rest in our units. Other
        names are further columns, of numbers or text. What is not among them is NaN.
    is_counted_from_1
        Whether the format counts frames from 1. A frame 0 tells that this file's writer did not.
    place
        What to call a row, counted from 0, in errors.

    Raises
    ------
    SourceError
        Columns differ in length, a position is not finite, or a frame is no whole number of 0 or more.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SourceError(f"expected columns of one length in {path}, found {listed}; export the table again")
    for name in ("frame", "x", "y"):
        wrong = np.flatnonzero(~np.isfinite(columns[name]))
        if len(wrong):
            raise SourceError(
                f"expected a finite {name} in every row of {path}, found {columns[name][wrong[0]]} in "
                f"{place(int(wrong[0]))}; filter such rows out and export the table again"
            )
    frames = columns["frame"]
    wrong = np.flatnonzero((frames < 0) | (frames != np.floor(frames)) | (frames >= 2**53))
    if len(wrong):
        raise SourceError(
            f"expected whole frame numbers of 0 or more in {path}, found {frames[wrong[0]]:g} in "
            f"{place(int(wrong[0]))}; correct the table"
        )
    rows = unknown_rows(len(frames))
    for name in TABLE_DTYPE.names or ():
        if name in columns:
            rows[name] = columns[name]
    if is_counted_from_1 and len(frames) and frames.min() > 0:
        rows["frame"] -= 1
    extra = {name: values for name, values in columns.items() if name not in (TABLE_DTYPE.names or ())}
    order = frame_order(rows["frame"])
    if order is None:
        return rows, extra
    return rows[order], {name: values[order] for name, values in extra.items()}
