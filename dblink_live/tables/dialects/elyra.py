"""Zeiss Elyra's text tables, as ZEN exports them: columns separated by tabs, then facts of the rendered picture.

There is no published description. What is used is named with its unit in the file itself; frames count from 1, and a
molecule that was seen in several frames in a row is one row, with its first. Where positions count from is not said:
they are taken to start at the outer corner of the first pixel, as in ThunderSTORM's tables, so they may be half a pixel
off. "PSF half width" is left out: of what it is the half is not said either.
"""

from __future__ import annotations

from pathlib import Path

from dblink_live.tables.named import Quantity
from dblink_live.tables.named_rows import read_named
from dblink_live.tables.table import LocalizationTable
from dblink_live.tables.table_format import TableFormat
from dblink_live.tables.text_lines import open_text

_QUANTITIES = (
    Quantity(("first frame",), ("frame",)),
    Quantity(("position x",), ("x",), is_length=True),
    Quantity(("position y",), ("y",), is_length=True),
    Quantity(("position z",), ("z_nm",), is_length=True),
    Quantity(("precision",), ("lpx", "lpy"), is_length=True),
    Quantity(("precision x",), ("lpx",), is_length=True),
    Quantity(("precision y",), ("lpy",), is_length=True),
    Quantity(("precision z",), ("lpz_nm",), is_length=True),
    Quantity(("number photons",), ("photons",), is_photons=True),
)


def read_elyra(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read ZEN's table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Raises
    ------
    SourceError
        A column is missing; a row is cut short, not numeric or not finite.
    """
    return read_named(open_text(path), pixel_size_nm, unit, _QUANTITIES, default_unit="nm")


FORMAT = TableFormat(
    name="Zeiss Elyra (ZEN) text",
    read=read_elyra,
    suffixes=(".txt",),
    columns=("first frame", "position x", "position y"),
    positions="nm from the corner, as far as is known",
    first_frame="1",
    versions="ZEN's export in 2D and 3D, with or without its footer, a byte order mark, decimal commas or quotes",
    refused="rows of several channels or Z slices (`--channel` selects)",
)
