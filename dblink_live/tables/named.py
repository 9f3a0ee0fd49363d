"""Columns by the names and units that tables give them: which are ours, and what turns them into our units.

Names are ThunderSTORM's (``x [nm]``) with its units (``MoleculeDescriptor.Units``: nm, um, px, photon, ADU), those of
the Nanoimager (``X (nm)``), of SMAP's text (``xnm``), and of plainer tables: ``x_nm``, or a bare ``x``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables.units import is_photons, is_pixels, nm_per

_NAME = re.compile(
    r"(?P<name>.*?)(?:\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]|[_ ](?P<suffix>nm|um|mm|px|pix|pixel|pixels))?"
)
_JOINED: Mapping[str, tuple[str, str]] = {
    "xnm": ("x", "nm"),
    "ynm": ("y", "nm"),
    "znm": ("z", "nm"),
    "psfxnm": ("sigma1", "nm"),
    "psfynm": ("sigma2", "nm"),
    "locprecnm": ("uncertainty", "nm"),
    "locprecznm": ("uncertainty z", "nm"),
    "xnmerr": ("uncertainty x", "nm"),
    "ynmerr": ("uncertainty y", "nm"),
    "znmerr": ("uncertainty z", "nm"),
    "phot": ("photons", ""),
}
"""SMAP's names, which hold their unit."""
_IN_PIXELS_BY_NAME = ("sx", "sy", "lpx", "lpy")
"""Picasso's names. Beside them, x and y without a unit are pixels, counted from the first one's centre."""
LABELS = frozenset(
    (
        *("channel", "channel name", "channel index", "channel id", "channel number", "channelindex", "ch", "chan"),
        *("color", "colour", "color channel", "wavelength", "lambda", "laser", "excitation", "emission", "filter"),
        *("dye", "fluorophore", "probe", "species", "camera", "camera id", "detector", "cycle", "round"),
        *("file", "filenumber", "file number", "file id", "file name", "filename", "movie", "dataset", "datasetnum"),
        *("position", "position name", "stage position", "pos", "fov", "field", "field of view", "series", "site"),
        *(
            "acquisition",
            "acquisition id",
            "well",
            "plate",
            "tile",
            "run",
            "sample",
            "condition",
            "replicate",
            "repeat",
        ),
        *("z slice", "zslice", "plane", "time point", "timepoint"),
    )
)
"""Names, in lower case, of columns whose rows do not belong together where their values differ."""


@dataclass(frozen=True)
class Quantity:
    """What fills some of our columns, and the names it has, in lower case, the preferred one first."""

    names: tuple[str, ...]
    fields: tuple[str, ...]
    is_length: bool = False
    is_photons: bool = False
    """Then it counts only where photons are stated to be its unit, or by its name: it may be in counts of a camera."""


FRAME = Quantity(
    (
        *("frame", "frames", "frame number", "frame index", "frame ix", "frame id", "frameid", "framenumber"),
        *("first frame", "image number", "imagenumber"),
    ),
    ("frame",),
)
REQUIRED = (
    FRAME,
    Quantity(("x", "position x", "x position", "x pos", "xpos", "x coord", "x coordinate"), ("x",), is_length=True),
    Quantity(("y", "position y", "y position", "y pos", "ypos", "y coord", "y coordinate"), ("y",), is_length=True),
)
_OPTIONAL = (
    Quantity(("z", "position z", "z position", "z pos", "zpos", "z coord", "z coordinate"), ("z_nm",), is_length=True),
    Quantity(("sigma",), ("sx", "sy"), is_length=True),
    Quantity(("sigma1", "sigma x", "x sigma"), ("sx",), is_length=True),
    Quantity(("sigma2", "sigma y", "y sigma"), ("sy",), is_length=True),
    Quantity(("intensity", "photons", "photon count", "number photons", "n photons"), ("photons",), is_photons=True),
    Quantity(("offset", "background", "bg"), ("bg",), is_photons=True),
    Quantity(
        ("uncertainty", "uncertainty xy", "precision", "localization precision", "lateral localization accuracy"),
        ("lpx", "lpy"),
        is_length=True,
    ),
    Quantity(("uncertainty x", "x precision", "precision x", "x uncertainty"), ("lpx",), is_length=True),
    Quantity(("uncertainty y", "y precision", "precision y", "y uncertainty"), ("lpy",), is_length=True),
    Quantity(("uncertainty z", "z precision", "precision z", "z uncertainty"), ("lpz_nm",), is_length=True),
)
_PHOTONS_BY_NAME = ("photons", "photon count", "number photons", "n photons", "background", "bg")


@dataclass(frozen=True)
class UsedColumn:
    """A column of the file that fills some of ours."""

    index: int
    """Its place in the file."""
    label: str
    """As the file has it."""
    fields: tuple[str, ...]
    nm_per_unit: float | None
    """None where it is no length, or one without a stated unit."""
    is_length: bool = False


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are taken for what."""

    used: tuple[UsedColumn, ...]
    """Frame, x and y first."""
    labels: tuple[tuple[int, str], ...]
    """Places and names of those that tell channels, files or positions apart."""
    unused: tuple[str, ...]
    """Names of the others."""

    @property
    def has_unit(self) -> bool:
        """Return whether the unit of x and y is stated."""
        return self.used[1].nm_per_unit is not None


def find_columns(
    labels: Sequence[str], pixel_size_nm: float | None, path: Path, quantities: Sequence[Quantity] = ()
) -> Columns:
    """Return which columns are ours.

    Parameters
    ----------
    labels
        Names of all columns, as they stand in the file.
    pixel_size_nm
        What a length in pixels is multiplied by.
    path
        Named in errors.
    quantities
        What the columns may be, the required ones (frame, x and y) first; by default every name that is known.

    Raises
    ------
    SourceError
        A column that is needed is missing, is there twice, or is in a unit of no length; x and y are in different
        units, or in pixels that are not said to be.
    CalibrationError
        A length is in pixels and ``pixel_size_nm`` is None.
    """
    quantities = quantities or (*REQUIRED, *_OPTIONAL)
    parsed = [parse_name(label) for label in labels]
    used: list[UsedColumn] = []
    for place, quantity in enumerate(quantities):
        index = _find(quantity, parsed, labels, path, is_needed=place < len(REQUIRED))
        if index is None and place < len(REQUIRED):
            raise SourceError(
                f"expected a column {_customary(quantity)!r} in {path}, found {_listed(labels)}; "
                "export it with the table"
            )
        if index is not None:
            nm = _nm_per_unit(labels[index], parsed[index][1], pixel_size_nm, path) if quantity.is_length else None
            used.append(UsedColumn(index, labels[index], quantity.fields, nm, quantity.is_length))
    _check_positions(used[1], used[2], {name for name, _ in parsed}, path)
    taken = {column.index for column in used}
    apart = tuple((i, labels[i]) for i, (name, _) in enumerate(parsed) if name in LABELS and i not in taken)
    rest = (label for i, label in enumerate(labels) if i not in taken and i not in {place for place, _ in apart})
    return Columns(tuple(used), apart, tuple(label for label in rest if label))


def parse_name(label: str) -> tuple[str, str]:
    """Return name and unit of a column, both in lower case, the words of the name separated by spaces.

    Examples
    --------
    >>> parse_name("Uncertainty_XY [nm]"), parse_name("x_nm"), parse_name("xnm"), parse_name("X (um)")
    (('uncertainty xy', 'nm'), ('x', 'nm'), ('x', 'nm'), ('x', 'um'))
    """
    text = label.strip().lower()
    if text in _JOINED:
        return _JOINED[text]
    found = _NAME.fullmatch(text)
    if found is None:
        return text, ""
    return " ".join(re.split(r"[\s_-]+", found["name"].strip())), found["unit"] or found["suffix"] or ""


def _find(
    quantity: Quantity, parsed: Sequence[tuple[str, str]], labels: Sequence[str], path: Path, is_needed: bool
) -> int | None:
    """Where the quantity is, in its preferred unit; one that is not needed counts as absent in an unknown unit."""
    for name in quantity.names:
        found = {i: unit for i, (theirs, unit) in enumerate(parsed) if theirs == name}
        if quantity.is_photons:
            found = {
                i: unit for i, unit in found.items() if is_photons(unit) or (not unit and name in _PHOTONS_BY_NAME)
            }
        elif quantity.is_length and not is_needed:
            found = {i: unit for i, unit in found.items() if not unit or is_pixels(unit) or nm_per(unit) is not None}
        if len(set(found.values())) < len(found):
            twice = ", ".join(labels[i] for i in found)
            raise SourceError(
                f"expected one column {_customary(quantity)!r} in {path}, found {twice}; remove the others"
            )
        if found:
            return min(found, key=lambda i: _preference(found[i]))
    return None


def _preference(unit: str) -> float:
    """Nanometres before other stated lengths, these before none, pixels after them, what is no length last."""
    nm = nm_per(unit)
    if nm is not None:
        return 0.0 if nm == 1.0 else 1.0
    return 2.0 if not unit else 3.0 if is_pixels(unit) else 4.0


def _nm_per_unit(label: str, unit: str, pixel_size_nm: float | None, path: Path) -> float | None:
    if not unit:
        return None
    if is_pixels(unit):
        if pixel_size_nm is None:
            raise CalibrationError(
                f"expected the size of the camera pixels in which {label!r} of {path} is stated, found none; "
                "give --pixel-size-nm"
            )
        return pixel_size_nm
    nm = nm_per(unit)
    if nm is None:
        raise SourceError(f"expected a length in nm, um or px in {path}, found {label!r}; export it in nm")
    return nm


def _check_positions(x: UsedColumn, y: UsedColumn, names: set[str], path: Path) -> None:
    if x.nm_per_unit != y.nm_per_unit:
        raise SourceError(
            f"expected x and y of {path} in one unit, found {x.label!r} and {y.label!r}; export both in nm"
        )
    beside = [name for name in _IN_PIXELS_BY_NAME if name in names]
    if x.nm_per_unit is None and beside:
        raise SourceError(
            f"expected the unit of x and y in {path}, found none, and {', '.join(beside)} beside them, which Picasso "
            "has in pixels; give Picasso's .hdf5, or name the columns 'x [nm]' and 'y [nm]'"
        )


def _customary(quantity: Quantity) -> str:
    return f"{quantity.names[0]} [nm]" if quantity.is_length else quantity.names[0]


def _listed(labels: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(labels), 200) or "nothing"
