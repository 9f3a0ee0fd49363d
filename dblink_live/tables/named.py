"""Columns by the names and units that tables give them: which are ours, and what turns them into our units.

Names are ThunderSTORM's (``x [nm]``) with its units (``MoleculeDescriptor.Units``: nm, um, px, photon, ADU), and those
of plainer tables: ``x (nm)``, ``x_nm``, or a bare ``x``, by which nanometres are meant.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables.table import SUPPORTED

_NAME = re.compile(r"(?P<name>.*?)(?:\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]|_(?P<suffix>nm|um|px))?")
_TO_NM: Mapping[str, float] = {"nm": 1.0, "": 1.0, "um": 1e3, "µm": 1e3, "\u03bcm": 1e3}
"""In the order in which they are preferred, should a table state a length in several."""
_PIXELS = ("px", "pixel", "pixels")
_LENGTHS = (*_TO_NM, *_PIXELS)
_PHOTONS = ("photon", "photons")
_IN_PIXELS_BY_NAME = ("sx", "sy", "lpx", "lpy")
"""Picasso's names. Beside them, x and y without a unit are pixels, counted from the first one's centre."""


@dataclass(frozen=True)
class Quantity:
    """What fills some of our columns, and the names it has, in lower case."""

    names: tuple[str, ...]
    fields: tuple[str, ...]
    is_length: bool = False
    is_photons: bool = False
    """Then it counts only where photons are stated to be its unit, or by its name: it may be in counts of a camera."""


FRAME = Quantity(("frame",), ("frame",))
REQUIRED = (FRAME, Quantity(("x",), ("x",), is_length=True), Quantity(("y",), ("y",), is_length=True))
_OPTIONAL = (
    Quantity(("sigma",), ("sx", "sy"), is_length=True),
    Quantity(("sigma1",), ("sx",), is_length=True),
    Quantity(("sigma2",), ("sy",), is_length=True),
    Quantity(("intensity", "photons"), ("photons",), is_photons=True),
    Quantity(("offset", "background"), ("bg",), is_photons=True),
    Quantity(("uncertainty", "uncertainty_xy"), ("lpx", "lpy"), is_length=True),
    Quantity(("uncertainty_x",), ("lpx",), is_length=True),
    Quantity(("uncertainty_y",), ("lpy",), is_length=True),
)
_PHOTONS_BY_NAME = ("photons", "background")


@dataclass(frozen=True)
class UsedColumn:
    """A column of the file that fills some of ours."""

    index: int
    """Its place in the file."""
    label: str
    """As the file has it."""
    fields: tuple[str, ...]
    unit: str
    nm_per_unit: float | None
    """None where it is no length."""


def used_columns(labels: Sequence[str], pixel_size_nm: float | None, path: Path) -> tuple[UsedColumn, ...]:
    """The columns that we take, frame, x and y first.

    Parameters
    ----------
    labels
        Names of all columns, as they stand in the file.
    pixel_size_nm
        What a length in pixels is multiplied by.
    path
        Named in errors.

    Raises
    ------
    SourceError
        A column that is needed is missing, is there twice, or is in a unit of no length; x and y are in different
        units, or in pixels that are not said to be.
    CalibrationError
        A length is in pixels and ``pixel_size_nm`` is None.
    """
    parsed = [_parsed(label) for label in labels]
    used = []
    for quantity in (*REQUIRED, *_OPTIONAL):
        index = _find(quantity, parsed, labels, path)
        if index is None and quantity in REQUIRED:
            raise SourceError(
                f"expected a column {_customary(quantity)!r} in {path}, found {_listed(labels)}; "
                f"supported are {SUPPORTED}"
            )
        if index is not None:
            nm = _nm_per_unit(labels[index], parsed[index][1], pixel_size_nm, path) if quantity.is_length else None
            used.append(UsedColumn(index, labels[index], quantity.fields, parsed[index][1], nm))
    _check_positions(used[1], used[2], {name for name, _ in parsed}, path)
    return tuple(used)


def _parsed(label: str) -> tuple[str, str]:
    """Name and unit, both in lower case."""
    found = _NAME.fullmatch(label.strip().lower())
    if found is None:
        return label.strip().lower(), ""
    return found["name"].strip(), found["unit"] or found["suffix"] or ""


def _find(quantity: Quantity, parsed: Sequence[tuple[str, str]], labels: Sequence[str], path: Path) -> int | None:
    """Where the quantity is, in its preferred unit; one that we can do without counts as absent in an unknown unit."""
    is_needed = quantity in REQUIRED
    for name in quantity.names:
        found = {i: unit for i, (theirs, unit) in enumerate(parsed) if theirs == name}
        if quantity.is_photons:
            found = {
                i: unit for i, unit in found.items() if unit in _PHOTONS or (not unit and name in _PHOTONS_BY_NAME)
            }
        elif not is_needed:
            found = {i: unit for i, unit in found.items() if unit in _LENGTHS}
        if len(set(found.values())) < len(found):
            twice = ", ".join(labels[i] for i in found)
            raise SourceError(
                f"expected one column {_customary(quantity)!r} in {path}, found {twice}; remove the others"
            )
        if found:
            return min(found, key=lambda i: _LENGTHS.index(found[i]) if found[i] in _LENGTHS else len(_LENGTHS))
    return None


def _nm_per_unit(label: str, unit: str, pixel_size_nm: float | None, path: Path) -> float:
    if unit in _PIXELS:
        if pixel_size_nm is None:
            raise CalibrationError(
                f"expected the size of the camera pixels in which {label!r} of {path} is stated, found none; "
                "give --pixel-size-nm"
            )
        return pixel_size_nm
    if unit not in _TO_NM:
        raise SourceError(f"expected a length in nm, um or px in {path}, found {label!r}; export it in nm")
    return _TO_NM[unit]


def _check_positions(x: UsedColumn, y: UsedColumn, names: set[str], path: Path) -> None:
    if x.nm_per_unit != y.nm_per_unit or bool(x.unit) != bool(y.unit):
        raise SourceError(
            f"expected x and y of {path} in one unit, found {x.label!r} and {y.label!r}; export both in nm"
        )
    beside = [name for name in _IN_PIXELS_BY_NAME if name in names]
    if not x.unit and beside:
        raise SourceError(
            f"expected the unit of x and y in {path}, found none, and {', '.join(beside)} beside them, which Picasso "
            "has in pixels; give Picasso's .hdf5, or name the columns 'x [nm]' and 'y [nm]'"
        )


def _customary(quantity: Quantity) -> str:
    return f"{quantity.names[0]} [nm]" if quantity.is_length else quantity.names[0]


def _listed(labels: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(labels), 200) or "nothing"
