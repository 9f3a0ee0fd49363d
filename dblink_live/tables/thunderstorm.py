"""Comma-separated tables in nanometres: ThunderSTORM's, and plainer ones with a frame, x and y.

Format: Ovesny et al., "ThunderSTORM: a comprehensive ImageJ plug-in for PALM and STORM data analysis and
super-resolution imaging", Bioinformatics 2014. Positions count from the outer corner of pixel (0, 0), the background
``offset`` is per pixel, and frames count from 1. Other writers leave units out (``frame,x,y``; then nanometres are
meant) or count frames from 0 (told by a frame 0). Picasso's own import and export of such tables leave out the half
pixel between corner and centre: what it exports lies half a pixel from what its HDF5 says.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.files import replacing
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, SUPPORTED, TABLE_DTYPE, LocalizationTable, sorted_by_frame

MAX_HEADER = 100_000
"""Characters after which a first line without an end is not one of column names."""
ROWS_A_BLOCK = 20_000
"""Rows formatted at once: enough to make Python's own cost a row small."""
_HEADER = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]","uncertainty_xy [nm]"\n'
_ROW = "%d,%d,%.5f,%.5f,%.5f,%.5f,%.5f,%.5f\n"
"""To a hundredth of a picometre: below the step of float32 at most places of a camera field."""


@dataclass(frozen=True)
class _Column:
    """A column of the file and the fields that it fills."""

    names: tuple[str, ...]
    """In lower case, the customary one first."""
    fields: tuple[str, ...]
    is_length: bool = False
    """True when it is in nanometres and ours is in pixels."""


_REQUIRED = (
    _Column(("frame",), ("frame",)),
    _Column(("x [nm]", "x (nm)", "x_nm", "x"), ("x",), is_length=True),
    _Column(("y [nm]", "y (nm)", "y_nm", "y"), ("y",), is_length=True),
)
_OPTIONAL = (
    _Column(("sigma [nm]",), ("sx", "sy"), is_length=True),
    _Column(("sigma1 [nm]",), ("sx",), is_length=True),
    _Column(("sigma2 [nm]",), ("sy",), is_length=True),
    _Column(("intensity [photon]", "photons"), ("photons",)),
    _Column(("offset [photon]", "background"), ("bg",)),
    _Column(("uncertainty [nm]", "uncertainty_xy [nm]"), ("lpx", "lpy"), is_length=True),
)


def read_csv(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a table of nanometres; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, is not numeric, or has a position or frame that is not finite.
    """
    is_known = pixel_size_nm is not None
    pixel_size_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    header = _read_header(path)
    columns = _find_columns(header, path)
    lines = _check_lines(path, len(header))
    values = _parse(path, tuple(columns), lines)
    used = tuple(columns.values())
    frames = _frames(values[:, used.index(_REQUIRED[0])], lines, path)
    for column in _REQUIRED[1:]:
        _check_finite(values[:, used.index(column)], column.names[0], lines, path)
    localizations = np.zeros(len(values), TABLE_DTYPE)
    for index, column in enumerate(used):
        for name in column.fields:
            localizations[name] = values[:, index] / pixel_size_nm if column.is_length else values[:, index]
    localizations["frame"] = frames
    for axis in ("x", "y"):
        # The file counts from the corner of pixel (0, 0), we from its centre.
        localizations[axis] -= 0.5
    return LocalizationTable(sorted_by_frame(localizations), pixel_size_nm, is_pixel_size_known=is_known)


def write_csv(path: Path, table: LocalizationTable) -> None:
    """Write ThunderSTORM's columns, frames from 1; sigma and uncertainty are root mean squares of their x and y."""
    localizations, pixel_size_nm = table.localizations, table.pixel_size_nm
    n = len(localizations)
    doubles = {name: localizations[name].astype(np.float64) for name in TABLE_DTYPE.names or ()}
    columns: list[npt.NDArray[np.int64] | npt.NDArray[np.float64]] = [
        np.arange(1, n + 1),
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


def _read_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(MAX_HEADER)
    try:
        names = next(csv.reader([line]), [])
        # A spreadsheet that took the header for text quotes it once more, as a whole.
        if len(names) == 1 and "," in names[0]:
            names = next(csv.reader(names))
    except csv.Error as error:
        raise SourceError(f"expected a line of column names in {path}, found {line[:80]!r}: {error}") from error
    return [name.strip().lower() for name in names]


def _find_columns(header: Sequence[str], path: Path) -> dict[int, _Column]:
    """The columns that the file has, by their index in it."""
    found = {}
    for column in (*_REQUIRED, *_OPTIONAL):
        name = next((name for name in column.names if name in header), None)
        if name is not None:
            found[header.index(name)] = column
        elif column in _REQUIRED:
            listed = textwrap.shorten(", ".join(header), 200) or "nothing"
            raise SourceError(
                f"expected a column {column.names[0]!r} in the first line of {path}, found {listed}; "
                f"supported are {SUPPORTED}"
            )
    return found


def _check_lines(path: Path, n_columns: int) -> npt.NDArray[np.int64]:
    """Line numbers (from 1) of the data rows; every one must have as many fields as the header."""
    content = np.fromfile(path, np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    if content.size and content[-1] != ord("\n"):
        ends = np.append(ends, content.size)
    starts = np.concatenate([[0], ends[:-1] + 1])
    # A line that holds a carriage return and nothing else is empty, too.
    is_row = (ends - starts > 1) | ((ends > starts) & (content[np.minimum(starts, content.size - 1)] != ord("\r")))
    is_row[0] = False
    commas = np.flatnonzero(content == ord(","))
    n_fields = np.searchsorted(commas, ends) - np.searchsorted(commas, starts) + 1
    wrong = np.flatnonzero(is_row & (n_fields != n_columns))
    if len(wrong):
        at = int(wrong[0])
        raise SourceError(
            f"expected {n_columns} values a row in {path}, found {int(n_fields[at])} in line {at + 1}; "
            "the file was cut short or damaged: export it again"
        )
    return np.flatnonzero(is_row) + 1


def _parse(path: Path, indices: tuple[int, ...], lines: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    if not len(lines):
        return np.zeros((0, len(indices)))
    try:
        return np.loadtxt(
            path, delimiter=",", skiprows=1, usecols=indices, comments=None, ndmin=2, encoding="utf-8-sig"
        )
    except ValueError as error:
        raise _not_a_number(path, indices, error) from error


def _not_a_number(path: Path, indices: tuple[int, ...], error: ValueError) -> SourceError:
    """Find the line that NumPy stumbled over."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 or not line.strip():
                continue
            fields = line.split(",")
            for index in indices:
                try:
                    float(fields[index])
                except ValueError:
                    return SourceError(
                        f"expected a number in line {number}, column {index + 1} of {path}, found "
                        f"{fields[index].strip()!r}; export the table again, with decimal points"
                    )
    return SourceError(f"expected numbers in {path}, found something else: {error}")


def _frames(values: npt.NDArray[np.float64], lines: npt.NDArray[np.int64], path: Path) -> npt.NDArray[np.int64]:
    """Frames from 0."""
    _check_finite(values, "frame", lines, path)
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)) | (values >= 2**53))
    if len(wrong):
        raise SourceError(
            f"expected whole frame numbers of 0 or more in {path}, found {values[wrong[0]]:g} in line "
            f"{int(lines[wrong[0]])}; correct the table"
        )
    first = 0 if len(values) and values.min() == 0 else 1
    return values.astype(np.int64) - first


def _check_finite(values: npt.NDArray[np.float64], name: str, lines: npt.NDArray[np.int64], path: Path) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        at = int(wrong[0])
        raise SourceError(
            f"expected a finite {name} in every row of {path}, found {values[at]} in line {int(lines[at])}; "
            "filter such rows out and export the table again"
        )
