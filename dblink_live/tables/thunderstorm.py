"""Comma-separated tables: ThunderSTORM's, plainer ones with a frame, x and y, and those that DBlink's own code reads.

Format: Ovesny et al., "ThunderSTORM: a comprehensive ImageJ plug-in for PALM and STORM data analysis and
super-resolution imaging", Bioinformatics 2014. Positions count from the outer corner of pixel (0, 0), the background
``offset`` is per pixel, and frames count from 1. Other writers leave units out (``frame,x,y``; then nanometres are
meant) or count frames from 0 (told by a frame 0). Picasso's own import and export of such tables leave out the half
pixel between corner and centre: what it exports lies half a pixel from what its HDF5 says.

DBlink's code (https://github.com/alonsaguy/DBlink, commit d7e1292, ``demo/Utils.py``) goes by place: frame from 1, x
and y in nanometres from the corner, then whatever there is; it passes over the first line unread. A table without
names is therefore read so, and what we write has these three in front: ThunderSTORM goes by name and does without its
``id``, which would stand before them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.csv_lines import CsvLines, open_csv
from dblink_live.tables.files import replacing
from dblink_live.tables.named import UsedColumn, used_columns
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, TABLE_DTYPE, LocalizationTable, sorted_by_frame

ROWS_A_BLOCK = 20_000
"""Rows formatted at once: enough to make Python's own cost a row small."""
_HEADER = '"frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]","uncertainty_xy [nm]"\n'
_ROW = "%d,%.5f,%.5f,%.5f,%.5f,%.5f,%.5f\n"
"""To a hundredth of a picometre: below the step of float32 at most places of a camera field."""
_BY_PLACE = ("frame", "x [nm]", "y [nm]")


def read_csv(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted, or are.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, is not numeric, or has a position or frame that is not finite.
    CalibrationError
        Positions are in pixels whose size is not given.
    """
    lines = open_csv(path)
    used = used_columns(lines.first if lines.has_names else _by_place(lines), pixel_size_nm, path)
    values = lines.values(tuple(column.index for column in used))
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    frames = _frames(values[:, 0], lines, used[0])
    for index, column in enumerate(used[1:3], start=1):
        _check_finite(values[:, index], column.label, lines)
    localizations = np.zeros(len(values), TABLE_DTYPE)
    for index, column in enumerate(used):
        for name in column.fields:
            localizations[name] = values[:, index] * ((column.nm_per_unit or table_nm) / table_nm)
    localizations["frame"] = frames
    for axis in ("x", "y"):
        # The file counts from the corner of pixel (0, 0), we from its centre.
        localizations[axis] -= 0.5
    return LocalizationTable(sorted_by_frame(localizations), table_nm, is_pixel_size_known=pixel_size_nm is not None)


def write_csv(path: Path, table: LocalizationTable) -> None:
    """Write ThunderSTORM's columns, frames from 1; sigma and uncertainty are root mean squares of their x and y."""
    localizations, pixel_size_nm = table.localizations, table.pixel_size_nm
    n = len(localizations)
    doubles = {name: localizations[name].astype(np.float64) for name in TABLE_DTYPE.names or ()}
    columns: list[npt.NDArray[np.int64] | npt.NDArray[np.float64]] = [
        localizations["frame"] + 1,
        (doubles["x"] + 0.5) * pixel_size_nm,
        (doubles["y"] + 0.5) * pixel_size_nm,
        np.sqrt((doubles["sx"] ** 2 + doubles["sy"] ** 2) / 2) * pixel_size_nm,
        doubles["photons"],
        doubles["bg"],
        np.sqrt((doubles["lpx"] ** 2 + doubles["lpy"] ** 2) / 2) * pixel_size_nm,
    ]
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        file.write(_HEADER)
        for start in range(0, n, ROWS_A_BLOCK):
            block = [column[start : start + ROWS_A_BLOCK].tolist() for column in columns]
            rows = zip(*block, strict=True)
            file.write(_ROW * len(block[0]) % tuple(value for row in rows for value in row))


def _by_place(lines: CsvLines) -> tuple[str, ...]:
    """Names for a table that has none."""
    unnamed = len(lines.first) - len(_BY_PLACE)
    if unnamed < 0:
        raise SourceError(
            f"expected frame, x and y in the first three columns of {lines.path}, which names none, found "
            f"{len(lines.first)}; export it with its column names"
        )
    if unnamed and _is_numbering(lines):
        raise SourceError(
            f"expected frame, x and y in the first three columns of {lines.path}, which names none, found row numbers "
            "in the first; export it with its column names, or without that column"
        )
    return (*_BY_PLACE, *("" for _ in range(unnamed)))


def _is_numbering(lines: CsvLines) -> bool:
    """Whether the first column counts rows, and the second, of whole numbers that never fall, is the frame."""
    first, second = lines.values((0, 1)).T
    counts_rows = len(first) > 2 and bool(np.all(np.diff(first) == 1))
    return counts_rows and bool(np.all(second == np.floor(second)) and np.all(np.diff(second) >= 0))


def _frames(values: npt.NDArray[np.float64], lines: CsvLines, column: UsedColumn) -> npt.NDArray[np.int64]:
    """Frames from 0."""
    _check_finite(values, column.label, lines)
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)) | (values >= 2**53))
    if len(wrong):
        raise SourceError(
            f"expected whole frame numbers of 0 or more in {lines.path}, found {values[wrong[0]]:g} in line "
            f"{int(lines.numbers[wrong[0]])}; correct the table"
        )
    first = 0 if len(values) and values.min() == 0 else 1
    return values.astype(np.int64) - first


def _check_finite(values: npt.NDArray[np.float64], label: str, lines: CsvLines) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        at = int(wrong[0])
        raise SourceError(
            f"expected a finite {label} in every row of {lines.path}, found {values[at]} in line "
            f"{int(lines.numbers[at])}; filter such rows out and export the table again"
        )
