"""Comma-separated tables: ThunderSTORM's, plainer ones with a frame, x and y, and those that DBlink's own code reads.

Format: Ovesny et al., "ThunderSTORM: a comprehensive ImageJ plug-in for PALM and STORM data analysis and
super-resolution imaging", Bioinformatics 2014. Positions count from the outer corner of pixel (0, 0), the background
``offset`` is per pixel, and frames count from 1. Other writers leave units out (``frame,x,y``) or count frames from 0
(told by a frame 0). Picasso's own import and export of such tables leave out the half
pixel between corner and centre: what it exports lies half a pixel from what its HDF5 says.

DBlink's code (https://github.com/alonsaguy/DBlink, commit d7e1292, ``demo/Utils.py``) goes by place: frame from 1, x
and y in nanometres from the corner, then whatever there is; it passes over the first line unread. A table without
names is therefore read so where its numbers leave no doubt, and what we write has these three in front: ThunderSTORM
goes by name and does without its ``id``, which would stand before them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.files import replacing
from dblink_live.tables.named_rows import read_named
from dblink_live.tables.table import TABLE_DTYPE, LocalizationTable, is_unknown
from dblink_live.tables.table_format import TableFormat
from dblink_live.tables.text_lines import TextLines, open_text

ROWS_PER_BLOCK = 20_000
"""Rows formatted at once: enough to make Python's own cost per row small."""
_NUMBER = "%.5f"
"""To a hundredth of a picometre: below the step of float32 at most places of a camera field."""
_BY_PLACE = ("frame", "x [nm]", "y [nm]")


def read_csv(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read a table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted, or are.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, is not numeric, or has a position or frame that is not finite; columns
        have no names, or lengths no unit, and their numbers leave doubt of what they are.
    CalibrationError
        Positions are in pixels whose size is not given.
    """
    lines = open_text(path)
    if lines.has_names:
        return read_named(lines, pixel_size_nm, unit)
    return _read_by_place(lines, pixel_size_nm, unit)


def write_csv(path: Path, table: LocalizationTable) -> None:
    """Write ThunderSTORM's columns, frames from 1, leaving out those that are unknown.

    Widths are ``sigma`` in two dimensions, ``sigma1`` and ``sigma2`` in three, which is what Picasso asks for. Where x
    and y differ in two dimensions, ``sigma`` is their root mean square, and the other two stand behind it. The
    precision is the root mean square of both axes.
    """
    columns = _columns(table)
    names = ",".join(f'"{name}"' for name in columns)
    row = ",".join("%s" if values.dtype.kind in "iU" else _NUMBER for values in columns.values()) + "\n"
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        file.write(names + "\n")
        for start in range(0, len(table), ROWS_PER_BLOCK):
            block = [values[start : start + ROWS_PER_BLOCK].tolist() for values in columns.values()]
            rows = zip(*block, strict=True)
            file.write(row * len(block[0]) % tuple(value for row_values in rows for value in row_values))


def _columns(table: LocalizationTable) -> dict[str, npt.NDArray[np.generic]]:
    nm = table.pixel_size_nm
    ours = {name: table[name].astype(np.float64) for name in TABLE_DTYPE.names or ()}
    columns: dict[str, npt.NDArray[np.generic]] = {
        "frame": table["frame"] + 1,
        "x [nm]": (ours["x"] + 0.5) * nm,
        "y [nm]": (ours["y"] + 0.5) * nm,
    }
    if "z_nm" in table.extra:
        columns["z [nm]"] = table["z_nm"]
    is_round = np.array_equal(ours["sx"], ours["sy"], equal_nan=True)
    is_flat = "z_nm" not in table.extra
    if is_flat:
        columns["sigma [nm]"] = (ours["sx"] if is_round else _root_mean_square(ours["sx"], ours["sy"])) * nm
    if not (is_flat and is_round):
        columns |= {"sigma1 [nm]": ours["sx"] * nm, "sigma2 [nm]": ours["sy"] * nm}
    columns |= {
        "intensity [photon]": ours["photons"],
        "offset [photon]": ours["bg"],
        "uncertainty_xy [nm]": _root_mean_square(ours["lpx"], ours["lpy"]) * nm,
    }
    if "lpz_nm" in table.extra:
        columns["uncertainty_z [nm]"] = table["lpz_nm"]
    if "channel" in table.extra:
        columns["channel"] = _whole_or_text(table["channel"])
    return {name: values for name, values in columns.items() if not is_unknown(values)}


def _root_mean_square(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of both axes, or the one that is known."""
    x, y = np.where(np.isnan(x), y, x), np.where(np.isnan(y), x, y)
    found: npt.NDArray[np.float64] = np.sqrt((x**2 + y**2) / 2)
    return found


def _whole_or_text(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Channel numbers without a decimal point; text is quoted where it has to be."""
    if values.dtype.kind == "f":
        return values.astype(np.int64) if np.all(values == np.floor(values)) else values
    quoted = ['"' + text.replace('"', '""') + '"' if set(text) & set(',"') else text for text in values.tolist()]
    return np.array(quoted, np.str_)


def _read_by_place(lines: TextLines, pixel_size_nm: float | None, unit: str | None) -> LocalizationTable:
    """Take the first three columns for frame, x and y, where nothing else is possible."""
    n = len(lines.names)
    if n < len(_BY_PLACE):
        raise SourceError(
            f"expected frame, x and y in the first three columns of {lines.path}, which names none, found {n}; "
            "export it with its column names"
        )
    _check_places(lines)
    named = dataclasses.replace(lines, names=(*_BY_PLACE, *("" for _ in range(n - len(_BY_PLACE)))))
    table = read_named(named, pixel_size_nm, unit)
    note = f"no column names: taken as frame, x and y in nm by place, {n - len(_BY_PLACE)} further columns unused"
    return dataclasses.replace(table, notes=(note, *table.notes))


def _check_places(lines: TextLines) -> None:
    """Refuse columns in which frame, x and y cannot be told from each other, or from halves of decimal commas."""
    n = len(lines.names)
    places = range(len(_BY_PLACE))
    first_three, words, numbers = lines.read(places, range(len(_BY_PLACE), n), places)
    # A column of text can be no frame.
    further = [column for column in words if column.dtype.kind == "f"]
    values = np.column_stack([first_three, *further])
    wanted = "name the columns in a first line: frame,x [nm],y [nm]"
    if not len(values):
        return
    is_whole = np.all(np.isnan(values) | (values == np.floor(values)), axis=0)
    half = np.flatnonzero(values[:, 0] != np.floor(values[:, 0]))
    if len(half):
        raise SourceError(
            f"expected whole frame numbers in the first column of {lines.path}, which names none, found "
            f"{values[half[0], 0]:g} in line {int(numbers[half[0]])}; {wanted}"
        )
    if is_whole[1] or is_whole[2]:
        raise SourceError(
            f"expected frame, x and y in the first three columns of {lines.path}, which names none, found whole "
            f"numbers in more than the first: the frame may be another column, or numbers have decimal commas; {wanted}"
        )
    rises = np.all(np.diff(values, axis=0) >= 0, axis=0) if len(values) > 1 else np.ones(values.shape[1], bool)
    differs = np.ptp(values, axis=0) > 0
    rivals = [i for i in range(3, values.shape[1]) if is_whole[i] and rises[i] and (differs[i] or len(values) == 1)]
    if rivals or not rises[0]:
        found = "another column that may be the frame, too" if rivals else "no frames in order in the first"
        raise SourceError(
            f"expected frame, x and y in the first three columns of {lines.path}, which names none, found {found}; "
            f"{wanted}"
        )


FORMAT = TableFormat(
    name="ThunderSTORM CSV and other text tables with named columns",
    read=read_csv,
    suffixes=(".csv", ".txt", ".tsv"),
    is_default_of="text",
    positions="nm, um or px, as named, from the outer corner of the first pixel",
    first_frame="1; 0 where the file has a frame 0",
    versions="ThunderSTORM 1.x in 2D and 3D, Nanoimager (ONI), SMAP's text, and any table with frame, x and y; "
    "separated by commas, semicolons, tabs, bars or spaces, with `sep=`, `#` lines, decimal commas, empty cells, "
    "trailing "
    "delimiters; UTF-8, UTF-16, UTF-32 or Windows 1252; any line ends. Without names: frame, x, y by place, as "
    "DBlink's own code reads them, where no other column can be the frame",
    refused="x and y without a unit below 2400 (nm, um or px: `--unit` says); without names, whole numbers in more "
    "than the first column; numbers that may have thousands separators; rows of several channels, files or positions "
    "(`--channel` selects); Picasso's column names, whose pixels count from the centre",
    write=write_csv,
    written_suffix=".csv",
    written_as="ThunderSTORM's columns",
    holds=frozenset((*(TABLE_DTYPE.names or ()), "z_nm", "lpz_nm", "channel")),
)
