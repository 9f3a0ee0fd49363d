"""A localization table from columns with names: what text tables, Parquet files and their dialects share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables.columns import Column, make_rows
from dblink_live.tables.named import Columns, Quantity, find_columns
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, LocalizationTable
from dblink_live.tables.units import is_pixels, nm_per

UNITS = ("nm", "um", "px")
"""What ``unit`` may say of positions whose unit the file does not state."""
_MAX_SENSOR_PX = 2400
"""Positions without a unit that stay below may be pixels of a large sensor, micrometres, or a small field in nm."""
_MAX_LABELS = 64
"""More values than this, and not whole numbers: a measured quantity and no name of a channel."""
_SMALL_FIELD_NM = 500.0


class ColumnSource(Protocol):
    """Columns of a file, which are only read when they are asked for."""

    @property
    def path(self) -> Path: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def read(
        self, numbers: Sequence[int], texts: Sequence[int] = (), required: Sequence[int] = ()
    ) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Return columns of numbers [rows, n], columns of numbers or text, and what rows are called in errors."""
        ...


def read_named(
    source: ColumnSource,
    pixel_size_nm: float | None,
    unit: str | None,
    quantities: Sequence[Quantity] = (),
    default_unit: str | None = None,
    row_name: str = "line",
    origin_px: float = 0.5,
) -> LocalizationTable:
    """Read the columns of ``source`` that are ours.

    Parameters
    ----------
    source
        The file.
    pixel_size_nm
        Camera pixel in which positions are wanted, or are.
    unit
        nm, um or px: that of lengths whose unit is not stated.
    quantities
        What columns may be, as in `find_columns`.
    default_unit
        Unit of the format where none is stated; None asks for ``unit`` where positions may be in several.
    row_name
        What a row is called in errors.
    origin_px
        Where the centre of pixel (0, 0) lies in the file, in pixels.

    Raises
    ------
    SourceError
        A column is missing, a cell is no number, a position or frame is not finite, or the unit is needed.
    CalibrationError
        Positions are in pixels whose size is not given.
    """
    columns = find_columns(source.names, pixel_size_nm, source.path, quantities)
    places = [column.index for column in columns.used]
    values, words, lines = source.read(places, [index for index, _ in columns.labels], places[:3])
    notes: list[str] = []
    bare_nm = _nm_of_bare_lengths(source, columns, values, pixel_size_nm, unit or default_unit, notes)
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    ours: dict[str, npt.NDArray[Any]] = {}
    for column, found in zip(columns.used, values.T, strict=True):
        scale = 1.0
        if column.is_length:
            scale = column.nm_per_unit or bare_nm
        ours |= {name: found * _in_table(name, scale, column.is_length, table_nm) for name in column.fields}
    for axis in ("x", "y"):
        # The file counts from the corner of pixel (0, 0), we from its centre.
        ours[axis] = ours[axis] - origin_px
    unused = list(columns.unused)
    _drop_flat_depth(ours, notes, source.path)
    for (_, name), found in zip(columns.labels, words, strict=True):
        if _is_measured(found):
            unused.append(name)
        else:
            ours[name] = found
    rows, extra = make_rows(
        source.path, ours, is_counted_from_1=True, place=lambda row: f"{row_name} {int(lines[row])}"
    )
    if columns.has_unit and len(rows) > 1 and _extent_nm(rows, table_nm) < _SMALL_FIELD_NM:
        notes.append(
            f"every position lies within {_extent_nm(rows, table_nm):.3g} nm of the corner, a field of a few camera "
            f"pixels: is {columns.used[1].label!r} really its unit?"
        )
    return LocalizationTable(
        rows,
        table_nm,
        is_pixel_size_known=pixel_size_nm is not None,
        extra=extra,
        notes=tuple(notes),
        unused=tuple(unused),
    )


def _in_table(name: str, nm_per_unit: float, is_length: bool, table_nm: float) -> float:
    """What a column is multiplied by: lengths become pixels of the table, but for z, which stays in nm."""
    if not is_length:
        return 1.0
    return nm_per_unit if name.endswith("_nm") else nm_per_unit / table_nm


def _nm_of_bare_lengths(
    source: ColumnSource,
    columns: Columns,
    values: npt.NDArray[np.float64],
    pixel_size_nm: float | None,
    unit: str | None,
    notes: list[str],
) -> float:
    """What lengths without a unit are multiplied by, once the unit is clear."""
    if unit is not None:
        if is_pixels(unit):
            if pixel_size_nm is None:
                raise CalibrationError(
                    f"expected the size of the camera pixels in which {source.path} is stated, found none; "
                    "give --pixel-size-nm"
                )
            return pixel_size_nm
        nm = nm_per(unit)
        if nm is None:
            raise SourceError(f"expected a unit of {', '.join(UNITS)}, found {unit!r}; correct --unit")
        return nm
    if columns.has_unit or not len(values):
        return 1.0
    largest = float(np.nanmax(np.abs(values[:, 1:3]), initial=0.0))
    if largest < _MAX_SENSOR_PX:
        raise SourceError(
            f"expected the unit of {columns.used[1].label!r} and {columns.used[2].label!r} in {source.path}, found "
            f"none, and no position beyond {largest:.6g}, which may be nm, um or camera pixels; give --unit nm, um "
            "or px, or "
            "name the columns 'x [nm]' and 'y [nm]'"
        )
    notes.append(
        f"{columns.used[1].label!r} and {columns.used[2].label!r} have no unit and reach {largest:.6g}: taken as nm"
    )
    return 1.0


def _drop_flat_depth(ours: dict[str, npt.NDArray[Any]], notes: list[str], path: Path) -> None:
    """Two-dimensional tables have a z that is 0 throughout, or empty."""
    z: Column | None = ours.get("z_nm")
    if z is not None and not np.any(np.nan_to_num(z)):
        del ours["z_nm"]
        ours.pop("lpz_nm", None)
    if z is None:
        ours.pop("lpz_nm", None)


def _is_measured(values: npt.NDArray[Any]) -> bool:
    if values.dtype.kind != "f":
        return False
    finite = values[np.isfinite(values)]
    return len(np.unique(finite)) > _MAX_LABELS and bool(np.any(finite != np.floor(finite)))


def _extent_nm(rows: npt.NDArray[Any], table_nm: float) -> float:
    return float(max(np.abs(rows[axis] + 0.5).max() for axis in ("x", "y")) * table_nm)
