"""rapidSTORM's text tables: one line that describes the columns, then numbers apart by spaces.

Format: Wolter et al., "rapidSTORM: accurate, fast open-source software for localization microscopy", Nature Methods
2012. The first line is a comment that holds XML with one element a column. Frames count from 0. Positions count from
the centre of pixel (0, 0): the largest that a file states is a whole number of pixels, (N - 1) times their size for N
pixels, as in both files of this format that the tests read.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.files import replacing
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, TABLE_DTYPE, LocalizationTable, sorted_by_frame
from dblink_live.types import Shape

START = b"# <localizations"
"""What the files of this format begin with."""
MAX_HEADER = 100_000
_X, _Y, _FRAME, _AMPLITUDE = "Position-0-0", "Position-1-0", "ImageNumber-0-0", "Amplitude-0-0"
_TO_NM = {"nanometer": 1.0, "nm": 1.0, "micrometer": 1e3, "um": 1e3, "meter": 1e9, "m": 1e9}
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
        if unit not in _TO_NM:
            raise SourceError(f"expected {identifier} of {path} in nanometer, found the unit {unit!r}; export it so")
        return _TO_NM[unit]


def read_rapidstorm(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a rapidSTORM table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Its amplitudes are in counts of the camera and not in photons: unless the file says otherwise, ``photons`` stays 0.

    Raises
    ------
    SourceError
        A column is missing or in another unit; a row is cut short, not numeric or not finite.
    """
    header = _read_header(path)
    columns = [header.index(name, path) for name in (_X, _Y, _FRAME)]
    is_photons = _AMPLITUDE in header.identifiers and header.units[header.identifiers.index(_AMPLITUDE)] == "photon"
    if is_photons:
        columns.append(header.index(_AMPLITUDE, path))
    values = _read_values(path, len(header.identifiers))
    wrong = np.flatnonzero(~np.isfinite(values[:, columns]).all(axis=1))
    if len(wrong):
        raise SourceError(f"expected finite numbers in {path}, found none in row {wrong[0] + 1}; filter such rows out")
    frames = values[:, columns[2]]
    wrong = np.flatnonzero((frames < 0) | (frames != np.floor(frames)) | (frames >= 2**53))
    if len(wrong):
        raise SourceError(
            f"expected whole frame numbers of 0 or more in {path}, found {frames[wrong[0]]:g} in row {wrong[0] + 1}"
        )
    shape = None if pixel_size_nm is None else _field(header, pixel_size_nm)
    is_known = pixel_size_nm is not None
    pixel_size_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    localizations = np.zeros(len(values), TABLE_DTYPE)
    for axis, name, column in (("x", _X, columns[0]), ("y", _Y, columns[1])):
        localizations[axis] = values[:, column] * header.nm_per_unit(name, path) / pixel_size_nm
    localizations["frame"] = frames
    if is_photons:
        localizations["photons"] = values[:, columns[3]]
    return LocalizationTable(sorted_by_frame(localizations), pixel_size_nm, shape, is_pixel_size_known=is_known)


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
    ElementTree.SubElement(
        root, "field", identifier=_AMPLITUDE, syntax=number, semantic="emission strength", unit="photon"
    )
    values = np.stack([localizations[name].astype(np.float64) for name in ("x", "y", "frame", "photons")], axis=1)
    values[:, :2] *= pixel_size_nm
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        file.write("# " + ElementTree.tostring(root, encoding="unicode") + "\n")
        np.savetxt(file, values, fmt=("%.5f", "%.5f", "%d", "%.5f"))


def _read_header(path: Path) -> _Header:
    with path.open(encoding="utf-8", errors="replace") as file:
        line = file.readline(MAX_HEADER)
    try:
        root = ElementTree.fromstring(line.lstrip("# ").strip())
    except ElementTree.ParseError as error:
        raise SourceError(f"expected rapidSTORM's description of columns in {path}, found {error}") from error
    if root.find("localizations") is not None:
        raise SourceError(
            f"expected one localization a row in {path}, found tracks, of several localizations each; "
            "export the localizations from before they were tracked"
        )
    fields = list(root.iter("field"))
    return _Header(*(tuple(field.get(key, "") for field in fields) for key in ("identifier", "unit", "max")))


def _read_values(path: Path, n_columns: int) -> npt.NDArray[np.float64]:
    content = path.read_bytes()
    if content.count(b"\n") < 2 and not content.partition(b"\n")[2].strip():
        return np.zeros((0, n_columns))
    try:
        values = np.loadtxt(path, comments="#", ndmin=2, encoding="utf-8")
    except ValueError as error:
        raise SourceError(
            f"expected {n_columns} numbers a row in {path}, found something else: {error}; "
            "the file was cut short or damaged: export it again"
        ) from error
    if values.shape[1] != n_columns:
        raise SourceError(
            f"expected {n_columns} numbers a row in {path}, as its first line says, found {values.shape[1]}; "
            "export it again"
        )
    return values


def _field(header: _Header, pixel_size_nm: float) -> Shape | None:
    """The camera field (H, W), where the stated extents are a whole number of pixels."""
    sides = []
    for identifier in (_Y, _X):
        value, _, unit = header.extents[header.identifiers.index(identifier)].partition(" ")
        try:
            pixels = float(value) * _TO_NM[unit] / pixel_size_nm
        except (ValueError, KeyError):
            return None
        if abs(pixels - round(pixels)) > _WHOLE_PIXELS:
            return None
        sides.append(round(pixels) + 1)
    return Shape(*sides)
