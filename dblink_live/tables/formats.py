"""Which format a table is in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import decode, elyra, parquet, picasso, rapidstorm, smap, smlm, thunderstorm
from dblink_live.tables.hdf5 import opened
from dblink_live.tables.table import SUPPORTED, LocalizationTable, check_pixel_size, sorted_by_frame
from dblink_live.types import Localizations, Shape

Reader = Callable[[Path, float | None], LocalizationTable]


@dataclass(frozen=True)
class WrittenFormat:
    """A format that can be written."""

    write: Callable[[Path, LocalizationTable], None]
    is_in_pixels: bool
    """Whether the file states positions or its origin in camera pixels, whose size must then be known."""
    check_installed: Callable[[], None] | None = None
    """Raises `SourceError` where the library is missing that the format needs."""


_WRITTEN: Mapping[str, WrittenFormat] = {
    ".csv": WrittenFormat(thunderstorm.write_csv, is_in_pixels=False),
    ".hdf5": WrittenFormat(picasso.write_picasso, is_in_pixels=True),
    ".txt": WrittenFormat(rapidstorm.write_rapidstorm, is_in_pixels=False),
    ".mat": WrittenFormat(smap.write_smap, is_in_pixels=True),
    ".h5": WrittenFormat(decode.write_decode, is_in_pixels=True),
    ".smlm": WrittenFormat(smlm.write_smlm, is_in_pixels=False),
    ".parquet": WrittenFormat(parquet.write_parquet, is_in_pixels=False, check_installed=parquet.check_installed),
}
WRITTEN_SUFFIXES = tuple(_WRITTEN)
"""Extensions that name a format to write."""

_BY_GROUP: Mapping[str, Reader] = {smap.ROOT: smap.read_smap, "data": decode.read_decode}
"""HDF5 files by a group at their root; any other is Picasso's."""
_BY_START: Mapping[bytes, Reader] = {
    rapidstorm.START: rapidstorm.read_rapidstorm,
    elyra.START: elyra.read_elyra,
    smap.OLD_START: smap.read_smap,
    smlm.START: smlm.read_smlm,
    parquet.START: parquet.read_parquet,
}
_TEXT_SUFFIXES = (".csv", ".txt")
_BINARY_SUFFIXES = {".hdf5": "an HDF5", ".h5": "an HDF5", ".mat": "a MATLAB", ".smlm": "a zip", ".parquet": "a Parquet"}


def read_localizations(path: str | os.PathLike[str], pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a localization table.

    Parameters
    ----------
    path
        A ``.csv`` (ThunderSTORM's, or plain with frame, x and y in nm), a Picasso ``.hdf5`` beside its ``.yaml``,
        rapidSTORM's ``.txt``, SMAP's ``.mat``, DECODE's ``.h5``, Elyra's ``.txt``, a ``.smlm`` or a ``.parquet``.
        What is in the file decides, not its name.
    pixel_size_nm
        Side of a camera pixel. A table in nanometres is expressed in pixels of this size, 100 nm without one: that
        changes numbers in pixels only, never in nanometres. For Picasso's, SMAP's and DECODE's tables, whose positions
        or origin are in pixels, it is needed where the file does not state it.

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
    return _reader_of(path)(path, pixel_size_nm)


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
        ``.csv`` writes ThunderSTORM's columns, ``.hdf5`` Picasso's with the ``.yaml`` beside it, ``.txt`` rapidSTORM's,
        ``.mat`` SMAP's, ``.h5`` DECODE's, ``.smlm`` the SMLM file format's and ``.parquet`` ThunderSTORM's columns in
        binary.
    localizations
        Structured array with the columns of `LOCALIZATION_DTYPE`, or a table, whose own facts then stand in for what
        is left out here. Rows are written in the order of their frames.
    shape
        Camera field (H, W) in pixels; None takes the smallest that holds every localization.
    pixel_size_nm
        Side of a camera pixel; needed for a plain array.
    n_frames
        Frames of the recording, which Picasso's and SMAP's formats state; None, or fewer than the table needs, takes
        the last frame that has a localization.

    Raises
    ------
    SourceError
        The extension names no known format, the library is missing that it needs, or the file cannot be written.
    CalibrationError
        The pixel size is impossible, or missing.
    """
    path = Path(path)
    is_known = True
    if isinstance(localizations, LocalizationTable):
        is_known = localizations.is_pixel_size_known or pixel_size_nm is not None
        pixel_size_nm = localizations.pixel_size_nm if pixel_size_nm is None else pixel_size_nm
        shape, n_frames = shape or localizations.shape, n_frames or localizations.n_frames
        localizations = localizations.localizations
    if pixel_size_nm is None:
        raise CalibrationError("expected the camera's pixel size in nm beside plain localizations, found none")
    check_pixel_size(pixel_size_nm)
    # Picasso, for one, takes for granted that rows are in order.
    table = LocalizationTable(sorted_by_frame(localizations), pixel_size_nm, None, n_frames, is_known)
    format_of(path).write(path, dataclasses.replace(table, shape=Shape(*shape) if shape else table.field()))


def format_of(path: Path) -> WrittenFormat:
    """The format that the extension of ``path`` names.

    Raises
    ------
    SourceError
        It names none; the message lists what is supported. Or the library is missing that the format needs.
    """
    try:
        found = _WRITTEN[path.suffix.lower()]
    except KeyError:
        raise _unsupported(path) from None
    if found.check_installed is not None:
        found.check_installed()
    return found


def _reader_of(path: Path) -> Reader:
    if h5py.is_hdf5(path):
        with opened(path) as file:
            found = {name for name in file if isinstance(file[name], h5py.Group)}
        return next((reader for name, reader in _BY_GROUP.items() if name in found), picasso.read_picasso)
    with path.open("rb") as file:
        head = file.read(max(len(start) for start in _BY_START))
    for start, reader in _BY_START.items():
        if head.startswith(start):
            return reader
    suffix = path.suffix.lower()
    if suffix in _TEXT_SUFFIXES:
        return thunderstorm.read_csv
    if suffix in _BINARY_SUFFIXES:
        raise SourceError(
            f"expected {_BINARY_SUFFIXES[suffix]} file, but {path} is none or was cut short; copy it again"
        )
    raise _unsupported(path)


def _unsupported(path: Path) -> SourceError:
    return SourceError(f"expected a localization table, found {path.name}; supported are {SUPPORTED}")
