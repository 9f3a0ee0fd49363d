"""Zeiss Elyra's text tables, as ZEN exports them: columns apart by tabs, then a NUL and facts of the rendered picture.

There is no published description. What is used is named with its unit in the file itself; frames count from 1, and a
molecule that was seen in several frames in a row is one row, with its first. Where positions count from is not said:
they are taken to start at the outer corner of the first pixel, as in ThunderSTORM's tables, so they may be half a pixel
off. "PSF half width" is left out: of what it is the half is not said either.

Read only: ZEN imports no tables.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.tables.columns import make_rows
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, LocalizationTable

START = b"Index\tFirst Frame\t"
"""What the files of this format begin with."""
_REQUIRED = {"frame": "First Frame", "x": "Position X [nm]", "y": "Position Y [nm]"}
_PRECISION, _PHOTONS = "Precision [nm]", "Number Photons"


def read_elyra(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read ZEN's table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, not numeric or not finite.
    """
    lines = path.read_bytes().partition(b"\0")[0].decode("latin-1").splitlines()
    names = lines[0].split("\t")
    missing = [name for name in _REQUIRED.values() if name not in names]
    if missing:
        listed = textwrap.shorten(", ".join(names), 200)
        raise SourceError(
            f"expected a column {', '.join(missing)} in {path}, found {listed}; export all columns, in nm"
        )
    rows = [line for line in lines[1:] if line.strip()]
    wrong = next((number for number, line in enumerate(rows, start=1) if line.count("\t") != len(names) - 1), None)
    if wrong is not None:
        raise SourceError(
            f"expected {len(names)} values a row in {path}, found {rows[wrong - 1].count(chr(9)) + 1} in row {wrong}; "
            "the file was cut short or damaged: export it again"
        )
    try:
        values = np.loadtxt(rows, delimiter="\t", ndmin=2, comments=None) if rows else np.zeros((0, len(names)))
    except ValueError as error:
        raise SourceError(f"expected numbers in {path}, found something else: {error}; export it again") from error
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    columns = {ours: values[:, names.index(theirs)] for ours, theirs in _REQUIRED.items()}
    # The file counts from the corner of pixel (0, 0), we from its centre.
    columns |= {axis: columns[axis] / table_nm - 0.5 for axis in ("x", "y")}
    if _PRECISION in names:
        columns |= dict.fromkeys(("lpx", "lpy"), values[:, names.index(_PRECISION)] / table_nm)
    if _PHOTONS in names:
        columns["photons"] = values[:, names.index(_PHOTONS)]
    return LocalizationTable(
        make_rows(path, columns, is_counted_from_1=True), table_nm, is_pixel_size_known=pixel_size_nm is not None
    )
