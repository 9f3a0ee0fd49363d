"""rapidSTORM's text tables: one line that describes the columns, then numbers apart by spaces.

Format: Wolter et al., "rapidSTORM: accurate, fast open-source software for localization microscopy", Nature Methods
2012. The first line is a comment that holds XML with one element a column. Frames count from 0. Positions count from
the centre of pixel (0, 0): the largest that a file states is a whole number of pixels, (N - 1) times their size for N
pixels, as in both files of this format that the tests read.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.columns import make_rows
from dblink_live.tables.encoding import encoding_of, iter_lines
from dblink_live.tables.files import replacing
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, LocalizationTable, is_unknown
from dblink_live.tables.table_format import TableFormat
from dblink_live.tables.units import nm_per
from dblink_live.types import Shape

START = b"# <localizations"
"""What the files of this format begin with."""
_X, _Y, _Z = "Position-0-0", "Position-1-0", "Position-2-0"
_FRAME, _AMPLITUDE = "ImageNumber-0-0", "Amplitude-0-0"
_WHOLE_PIXELS = 0.02
"""How far a stated extent may be from a whole number of pixels and still be one, rounded."""


@dataclass(frozen=True)
class _Header:
    """The columns, in their order."""

    identifiers: tuple[str, ...]
    units: tuple[str, ...]
    extents: tuple[str, ...]
    """The largest value that each column may have, with its unit, where it is stated."""

    def index(self, identifier: str, path: Path) -> int:
        if identifier not in self.identifiers:
            listed = textwrap.shorten(", ".join(self.identifiers), 200) or "none"
            raise SourceError(f"expected a column {identifier} in {path}, found {listed}; export all columns")
        return self.identifiers.index(identifier)

    def nm_per_unit(self, identifier: str, path: Path) -> float:
        unit = self.units[self.index(identifier, path)]
        nm = nm_per(unit)
        if nm is None:
            raise SourceError(f"expected {identifier} of {path} in nanometer, found the unit {unit!r}; export it so")
        return nm


def read_rapidstorm(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read a rapidSTORM table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Its amplitudes are in counts of the camera and not in photons: unless the file says otherwise, photons are unknown.

    Raises
    ------
    SourceError
        A column is missing or in another unit; a row is cut short, not numeric or not finite.
    """
    header = _read_header(path)
    values = _read_values(path, len(header.identifiers))
    shape = None if pixel_size_nm is None else _field(header, pixel_size_nm, path)
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    columns = {"frame": values[:, header.index(_FRAME, path)]}
    for axis, name in (("x", _X), ("y", _Y)):
        columns[axis] = values[:, header.index(name, path)] * header.nm_per_unit(name, path) / table_nm
    used = {_X, _Y, _FRAME}
    if _Z in header.identifiers:
        columns["z_nm"] = values[:, header.index(_Z, path)] * header.nm_per_unit(_Z, path)
        used.add(_Z)
    if _AMPLITUDE in header.identifiers and header.units[header.index(_AMPLITUDE, path)] == "photon":
        columns["photons"] = values[:, header.index(_AMPLITUDE, path)]
        used.add(_AMPLITUDE)
    rows, extra = make_rows(path, columns, is_counted_from_1=False)
    return LocalizationTable(
        rows,
        table_nm,
        shape,
        is_pixel_size_known=pixel_size_nm is not None,
        extra=extra,
        unused=tuple(name for name in header.identifiers if name not in used),
    )


def write_rapidstorm(path: Path, table: LocalizationTable) -> None:
    """Write positions, frames and photons; the format has no customary place for widths and precisions."""
    localizations, shape, pixel_size_nm = table.localizations, table.field(), table.pixel_size_nm
    extents_m = [(side - 1) * pixel_size_nm * 1e-9 for side in (shape.width, shape.height)]
    root = ElementTree.Element("localizations", insequence="true", repetitions="variable")
    number = "floating point with . for decimals and optional scientific e-notation"
    for identifier, extent_m in zip((_X, _Y), extents_m, strict=True):
        ElementTree.SubElement(
            root,
            "field",
            identifier=identifier,
            syntax=number,
            semantic=f"position in sample space in {'X' if identifier == _X else 'Y'}",
            unit="nanometer",
            min="0 m",
            max=f"{extent_m:.9g} m",
        )
    ElementTree.SubElement(
        root, "field", identifier=_FRAME, syntax="integer", semantic="frame number", unit="frame", min="0 fr"
    )
    columns = [localizations["x"] * pixel_size_nm, localizations["y"] * pixel_size_nm, localizations["frame"]]
    formats = ["%.5f", "%.5f", "%d"]
    if not is_unknown(localizations["photons"]):
        ElementTree.SubElement(
            root, "field", identifier=_AMPLITUDE, syntax=number, semantic="emission strength", unit="photon"
        )
        columns.append(localizations["photons"])
        formats.append("%.5f")
    if "z_nm" in table.extra:
        # Where it begins and ends is not known, so no extent is stated.
        ElementTree.SubElement(
            root, "field", identifier=_Z, syntax=number, semantic="position in sample space in Z", unit="nanometer"
        )
        columns.append(table["z_nm"])
        formats.append("%.5f")
    values = np.stack([column.astype(np.float64) for column in columns], axis=1)
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        file.write("# " + ElementTree.tostring(root, encoding="unicode") + "\n")
        np.savetxt(file, values, fmt=formats)


def _read_header(path: Path) -> _Header:
    _, line = next(iter_lines(path, encoding_of(path)), (1, ""))
    try:
        root = ElementTree.fromstring(line.lstrip("\ufeff# ").strip())
    except ElementTree.ParseError as error:
        raise SourceError(f"expected rapidSTORM's description of columns in {path}, found {error}") from error
    if root.find("localizations") is not None:
        raise SourceError(
            f"expected one localization per row in {path}, found tracks, of several localizations each; "
            "export the localizations from before they were tracked"
        )
    fields = list(root.iter("field"))
    return _Header(*(tuple(field.get(key, "") for field in fields) for key in ("identifier", "unit", "max")))


def _read_values(path: Path, n_columns: int) -> npt.NDArray[np.float64]:
    rows = [line for _, line in iter_lines(path, encoding_of(path)) if line.strip() and not line.startswith("#")]
    if not rows:
        return np.zeros((0, n_columns))
    try:
        values = np.loadtxt(rows, comments=None, ndmin=2)
    except ValueError as error:
        raise SourceError(
            f"expected {n_columns} numbers per row in {path}, found something else: {error}; "
            "the file was cut short or damaged: export it again"
        ) from error
    if values.shape[1] != n_columns:
        raise SourceError(
            f"expected {n_columns} numbers per row in {path}, as its first line says, found {values.shape[1]}; "
            "export it again"
        )
    return values


def _field(header: _Header, pixel_size_nm: float, path: Path) -> Shape | None:
    """The camera field (H, W), where the stated extents are a whole number of pixels."""
    sides = []
    for identifier in (_Y, _X):
        value, _, unit = header.extents[header.index(identifier, path)].partition(" ")
        try:
            pixels = float(value) * (nm_per(unit) or math.nan) / pixel_size_nm
        except ValueError:
            return None
        if not math.isfinite(pixels):
            return None
        if abs(pixels - round(pixels)) > _WHOLE_PIXELS:
            return None
        sides.append(round(pixels) + 1)
    return Shape(*sides)


FORMAT = TableFormat(
    name="rapidSTORM text",
    read=read_rapidstorm,
    suffixes=(".txt",),
    starts=(START,),
    positions="nm from the centre of the first pixel",
    first_frame="0",
    versions="rapidSTORM 3 in 2D and 3D, any unit of length",
    refused="tracks, of several localizations each",
    write=write_rapidstorm,
    written_suffix=".txt",
    written_as="rapidSTORM's",
    holds=frozenset(("frame", "x", "y", "photons", "z_nm")),
)
