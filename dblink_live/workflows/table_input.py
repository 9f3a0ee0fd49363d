"""Localization tables as every verb takes them: read, with what a user should know of them said."""

from __future__ import annotations

import os
from pathlib import Path

from dblink_live.config import CameraConfig
from dblink_live.errors import CalibrationError, ConfigError, SourceError
from dblink_live.pixel_sizes import UnusualPixelSize
from dblink_live.tables import (
    LocalizationTable,
    format_of,
    read_localizations,
    write_localizations,
    written_suffixes,
)
from dblink_live.workflows.progress import Progress


def read_table(
    path: str | os.PathLike[str],
    pixel_size_nm: float | None = None,
    *,
    channel: str | None = None,
    unit: str | None = None,
) -> LocalizationTable:
    """Read a table that has rows.

    Raises
    ------
    SourceError, CalibrationError
        As `dblink_live.tables.read_localizations`; or the table is empty.
    """
    table = read_localizations(path, pixel_size_nm, channel=channel, unit=unit)
    if not len(table):
        raise SourceError(f"expected localizations in {path}, found an empty table: no row below the column names")
    return table


def report_notes(table: LocalizationTable, path: str | os.PathLike[str], report: Progress) -> None:
    """Report what a user should know of the file that ``table`` was read from, once the table has been accepted."""
    for note in table.notes:
        report.note(f"{Path(path).name}: {note}")


def pixel_size_of(camera: CameraConfig) -> float | None:
    """Return the pixel size that the settings state, confirmed where they say so."""
    if camera.pixel_size_nm is None or not camera.unusual_pixel_size:
        return camera.pixel_size_nm
    return UnusualPixelSize(camera.pixel_size_nm)


def check_pixels_known(table: LocalizationTable, source: Path, target: Path) -> None:
    """Raise `CalibrationError` where ``target`` is to state camera pixels whose size nobody knows."""
    if format_of(target).is_in_pixels and not table.is_pixel_size_known:
        raise CalibrationError(
            f"expected --pixel-size-nm: {source} is in nanometres, and {target.name} states camera pixels"
        )


def write_table(path: Path, table: LocalizationTable) -> tuple[str, ...]:
    """Write ``table`` and return the columns of the file it came from that are not in the one written.

    Raises
    ------
    SourceError
        It cannot be written.
    """
    names = {"z_nm": "z", "lpz_nm": "precision in z"}
    return (*table.unused, *(names.get(name, name) for name in write_localizations(path, table)))


def check_new_table(path: Path, overwrite: bool) -> None:
    """Refuse, before any work is done, what could not be written after it.

    Raises
    ------
    ConfigError
        The extension names no format, the folder is missing, or the file exists and ``overwrite`` is False.
    SourceError
        The library is missing that the format needs.
    """
    if path.suffix.lower() not in written_suffixes():
        *first, last = written_suffixes()
        raise ConfigError(f"expected a table that ends in {', '.join(first)} or {last}, found {path}")
    format_of(path)
    if not path.parent.is_dir():
        raise ConfigError(f"expected a folder to write to, found none at {path.parent}")
    if path.exists() and not overwrite:
        raise ConfigError(f"expected a new table, but {path} exists; give another name, or --overwrite")


def _described(name: str) -> str:
    return {"z_nm": "z", "lpz_nm": "precision in z"}.get(name, name)
