"""Which format a table is in."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables.picasso import read_picasso, write_picasso
from dblink_live.tables.rapidstorm import START, read_rapidstorm, write_rapidstorm
from dblink_live.tables.table import SUPPORTED, LocalizationTable, check_pixel_size
from dblink_live.tables.thunderstorm import read_csv, write_csv
from dblink_live.types import Localizations, Shape

WRITTEN_SUFFIXES = (".csv", ".hdf5", ".txt")
"""Extensions that name a format to write."""
_TEXT_SUFFIXES = (".csv", ".txt")
_HDF5_SUFFIXES = (".hdf5", ".h5")


def read_localizations(path: str | os.PathLike[str], pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a localization table.

    Parameters
    ----------
    path
        A ``.csv`` (ThunderSTORM's, or plain with frame, x and y in nm), a Picasso ``.hdf5`` beside its ``.yaml``, or
        rapidSTORM's ``.txt``. What is in the file decides, not its name.
    pixel_size_nm
        Side of a camera pixel. A table in nanometres is expressed in pixels of this size, 100 nm without one: that
        changes numbers in pixels only, never in nanometres. For Picasso's tables, which are in pixels, it is needed
        where the description does not state it.

    Raises
    ------
    SourceError
        The file is missing, in another format, incomplete or damaged.
    CalibrationError
        The pixel size is needed and unknown, impossible, or contradicts the file.
    """
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm)
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"expected a localization table, found no file {path}; check the path")
    suffix = path.suffix.lower()
    if h5py.is_hdf5(path):
        return read_picasso(path, pixel_size_nm)
    if _begins_with(path, START):
        return read_rapidstorm(path, pixel_size_nm)
    if suffix in _TEXT_SUFFIXES:
        return read_csv(path, pixel_size_nm)
    if suffix in _HDF5_SUFFIXES:
        raise SourceError(f"expected an HDF5 file, but {path} is none or was cut short; copy it again")
    raise _unsupported(path)


def write_localizations(
    path: str | os.PathLike[str],
    localizations: Localizations | LocalizationTable,
    shape: Shape | tuple[int, int] | None = None,
    pixel_size_nm: float | None = None,
    n_frames: int | None = None,
) -> None:
    """Write a localization table in the format that the extension of ``path`` names, in place of one that is there.

    Parameters
    ----------
    path
        ``.csv`` writes ThunderSTORM's columns, ``.hdf5`` Picasso's with the ``.yaml`` beside it, ``.txt`` rapidSTORM's.
    localizations
        Structured array with the columns of `LOCALIZATION_DTYPE`, or a table, whose own facts then stand in for what
        is left out here.
    shape
        Camera field (H, W) in pixels; None takes the smallest that holds every localization.
    pixel_size_nm
        Side of a camera pixel; needed for a plain array.
    n_frames
        Frames of the recording, which only Picasso's format states; None, or fewer than the table needs, takes the last
        frame that has a localization.

    Raises
    ------
    SourceError
        The extension names no known format, or the file cannot be written.
    CalibrationError
        The pixel size is impossible, or missing.
    """
    path = Path(path)
    if isinstance(localizations, LocalizationTable):
        pixel_size_nm = pixel_size_nm or localizations.pixel_size_nm
        shape, n_frames = shape or localizations.shape, n_frames or localizations.n_frames
        localizations = localizations.localizations
    if pixel_size_nm is None:
        raise CalibrationError("expected the camera's pixel size in nm beside plain localizations, found none")
    check_pixel_size(pixel_size_nm)
    field = Shape(*shape) if shape is not None else LocalizationTable(localizations, pixel_size_nm).field()
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_csv(path, localizations, pixel_size_nm)
    elif suffix == ".hdf5":
        write_picasso(path, localizations, field, pixel_size_nm, n_frames)
    elif suffix == ".txt":
        write_rapidstorm(path, localizations, field, pixel_size_nm)
    else:
        raise _unsupported(path)


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _unsupported(path: Path) -> SourceError:
    return SourceError(f"expected a localization table, found {path.name}; supported are {SUPPORTED}")
