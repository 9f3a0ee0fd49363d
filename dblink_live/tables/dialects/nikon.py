"""Nikon N-STORM's molecule lists, as NIS-Elements exports them: text, columns separated by tabs.

There is no published description of the columns. Positions are in nm: X and Y as localized, with c corrected for
drift, with w for chromatic warp, with both for both; the most corrected ones that the file has are taken. Frames count
from 1, and a molecule that was seen in several frames in a row (Length) is one row, with its first. Where positions
count from is not said: they are taken to start at the outer corner of the first pixel, so they may be half a pixel off.
Height, Area and BG are in counts of the camera.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dblink_live.tables.named import Quantity, parse_name
from dblink_live.tables.named_rows import read_named
from dblink_live.tables.table import LocalizationTable
from dblink_live.tables.table_format import TableFormat
from dblink_live.tables.text_lines import open_text

_QUANTITIES = (
    Quantity(("frame",), ("frame",)),
    Quantity(("xwc", "xc", "xw", "x"), ("x",), is_length=True),
    Quantity(("ywc", "yc", "yw", "y"), ("y",), is_length=True),
    Quantity(("zwc", "zc", "zw", "z"), ("z_nm",), is_length=True),
    Quantity(("photons",), ("photons",), is_photons=True),
    Quantity(("lateral localization accuracy",), ("lpx", "lpy"), is_length=True),
    Quantity(("axial localization accuracy",), ("lpz_nm",), is_length=True),
)


def read_nikon(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read an N-STORM molecule list; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, not numeric or not finite.
    """
    lines = open_text(path)
    table = read_named(lines, pixel_size_nm, unit, _QUANTITIES, default_unit="nm")
    found = [parse_name(name)[0] for name in lines.names]
    x = next(name for name in _QUANTITIES[1].names if name in found)
    corrected = {"xwc": "drift and warp", "xc": "drift", "xw": "warp", "x": "nothing"}[x]
    note = f"positions are {x.capitalize()} and {x.replace('x', 'y').capitalize()}, corrected for {corrected}"
    return dataclasses.replace(table, notes=(note, *table.notes))


FORMAT = TableFormat(
    name="Nikon N-STORM molecule list",
    read=read_nikon,
    suffixes=(".txt",),
    columns=("channel name", "x", "y", "xc", "yc", "frame"),
    positions="nm from the corner, as far as is known; Xwc and Ywc, corrected for drift and warp",
    first_frame="1",
    versions="NIS-Elements' text export in 2D and 3D",
    refused="the binary list (.bin): export text; rows of several channels (`--channel` selects)",
)
