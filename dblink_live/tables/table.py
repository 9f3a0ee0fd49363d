"""A localization table in memory, whatever its file was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.localizations import facts_of, map_of
from dblink_live.text.html import show_facts
from dblink_live.types import LOCALIZATION_DTYPE, Localizations, Shape

TABLE_DTYPE = np.dtype([(name, np.int64 if name == "frame" else np.float64) for name in LOCALIZATION_DTYPE.names or ()])
"""`LOCALIZATION_DTYPE` in double precision: files state a picometre in a field of 30 um, which float32 cannot hold."""

NOMINAL_PIXEL_SIZE_NM = 100.0
"""Camera pixel in which a table in nanometres is expressed when none is stated. Any value gives the same
nanometres back."""

NEVER_ZERO = ("photons", "sx", "sy", "lpx", "lpy")
"""Columns in which 0 throughout means unknown: no molecule has a width, a precision or a brightness of 0."""
DEPTH = ("z_nm", "lpz_nm")
"""Names in `LocalizationTable.extra` of the third coordinate and its precision, both in nm."""


@dataclass(frozen=True)
class LocalizationTable:
    """What `read_localizations` found in a file; it can be indexed and passed on like its ``localizations``.

    Raises
    ------
    SourceError
        A further column has another number of rows.

    Examples
    --------
    >>> molecules = np.zeros(3, TABLE_DTYPE)
    >>> molecules["x"] = 0, 4, 9
    >>> table = LocalizationTable(molecules, pixel_size_nm=108.0)
    >>> len(table), table.field()
    (3, Shape(height=1, width=10))
    """

    localizations: Localizations
    """Rows of `TABLE_DTYPE`, sorted by frame; frames count from 0, positions in camera pixels. Columns that the file
    lacks are NaN. ``.astype(LOCALIZATION_DTYPE)`` gives what a live run stores."""
    pixel_size_nm: float
    """Of the pixels in which the positions are given."""
    shape: Shape | None = None
    """Camera field (H, W) in pixels; None where the file does not state it."""
    n_frames: int | None = None
    """Frames of the recording; None where the file does not state it."""
    is_pixel_size_known: bool = True
    """False when the table was in nanometres and no camera pixel size was stated: then `NOMINAL_PIXEL_SIZE_NM`."""
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Further columns, a value per row: ``z_nm`` and ``lpz_nm`` of a table in three dimensions; what keeps channels,
    files or positions apart (numbers or text), under the name that the file has for it, ``channel`` once selected."""
    notes: tuple[str, ...] = ()
    """What was taken for what, and what a user should know of the file, a sentence each."""
    unused: tuple[str, ...] = ()
    """Columns of the file that are no part of the table, as the file names them."""

    def __post_init__(self) -> None:
        wrong = {name: len(values) for name, values in self.extra.items() if len(values) != len(self.localizations)}
        if wrong:
            raise SourceError(
                f"expected {len(self.localizations)} values in each further column, found {wrong}; "
                "select rows with LocalizationTable.take"
            )

    def __repr__(self) -> str:
        return f"LocalizationTable({', '.join(f'{name} {value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        return show_facts("Localization table", self._facts(), map_of(self.localizations))

    def _facts(self) -> dict[str, str]:
        field = self.field()
        assumed = "" if self.is_pixel_size_known else ", assumed"
        return {
            **facts_of(self.localizations),
            "field": f"{field.width} x {field.height} px of {self.pixel_size_nm:g} nm{assumed}",
            "columns": " ".join(self.known_columns()),
        }

    def __len__(self) -> int:
        return len(self.localizations)

    def __getitem__(self, key: Any) -> Any:
        """A column by its name, or rows."""
        if isinstance(key, str) and key in self.extra:
            return self.extra[key]
        return self.localizations[key]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Localizations:
        return np.array(self.localizations, dtype=dtype, copy=copy)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice) -> LocalizationTable:
        """Return the table of the chosen rows, with their further columns.

        Parameters
        ----------
        rows
            Mask [N], numbers of rows, or a slice.

        Raises
        ------
        IndexError
            The mask has another length than the table, or a number lies outside it.

        Examples
        --------
        >>> table = LocalizationTable(unknown_rows(3), 100.0, extra={"z_nm": np.array([-90.0, 10.0, 250.0])})
        >>> table.take(table["z_nm"] > 0)["z_nm"].tolist()
        [10.0, 250.0]
        """
        extra = {name: values[rows] for name, values in self.extra.items()}
        return replace(self, localizations=self.localizations[rows], extra=extra)

    def known_columns(self) -> tuple[str, ...]:
        """Return the columns that hold something, further ones included: those that are not NaN in every row.

        Examples
        --------
        >>> rows = unknown_rows(2)
        >>> rows["frame"], rows["x"], rows["y"] = [0, 1], 1.0, 2.0
        >>> LocalizationTable(rows, 100.0).known_columns()
        ('frame', 'x', 'y')
        """
        names = self.localizations.dtype.names or ()
        return (*(name for name in names if not is_unknown(self.localizations[name])), *self.extra)

    def field(self) -> Shape:
        """Return the camera field in pixels: as stated, or else the smallest from the origin that holds every row.

        Examples
        --------
        >>> rows = unknown_rows(1)
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


def unknown_rows(n: int) -> Localizations:
    """Return ``n`` rows of `TABLE_DTYPE` in frame 0 with NaN in every other column."""
    rows = np.zeros(n, TABLE_DTYPE)
    for name in TABLE_DTYPE.names[1:] if TABLE_DTYPE.names else ():
        rows[name] = np.nan
    return rows


def is_unknown(column: npt.NDArray[Any]) -> bool:
    """Return whether a column holds nothing but NaN; one without rows counts as known."""
    return column.dtype.kind == "f" and bool(len(column)) and bool(np.isnan(column).all())


def frame_order(frames: npt.NDArray[np.int64]) -> npt.NDArray[np.intp] | None:
    """Return the order of the rows by frame, those of one frame as they come; None where they are in order."""
    if np.all(frames[1:] >= frames[:-1]):
        return None
    return np.argsort(frames, kind="stable")
