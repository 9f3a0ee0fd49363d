"""Localization tables as every verb takes them: read, with what a user should know of them said."""

from __future__ import annotations

import os
from pathlib import Path

from dblink_live.config import CameraConfig
from dblink_live.errors import CalibrationError, ConfigError, SourceError
from dblink_live.pixel_sizes import UnusualPixelSize
from dblink_live.tables import (
    TABLE_DTYPE,
    LocalizationTable,
    format_of,
    read_localizations,
    write_localizations,
    written_suffixes,
)
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM
from dblink_live.workflows.progress import Progress

JOURNAL = "journal.sqlite"


def read_table(
    path: str | os.PathLike[str],
    pixel_size_nm: float | None = None,
    *,
    channel: str | None = None,
    unit: str | None = None,
) -> LocalizationTable:
    """Read a table that has rows; of a run folder, the localizations of its longest segment.

    Raises
    ------
    SourceError, CalibrationError
        As `dblink_live.tables.read_localizations`; or the table is empty.
    ConfigError
        A run beside ``channel`` or ``unit``, which say nothing of it.
    """
    if (Path(path) / JOURNAL).is_file():
        return _table_of_run(Path(path), pixel_size_nm, {"channel": channel, "unit": unit})
    table = read_localizations(path, pixel_size_nm, channel=channel, unit=unit)
    if not len(table):
        raise SourceError(f"expected localizations in {path}, found an empty table: no row below the column names")
    return table


def _table_of_run(path: Path, pixel_size_nm: float | None, options: dict[str, str | None]) -> LocalizationTable:
    from dblink_live.store import open_run
    from dblink_live.workflows.inputs.run_excerpt import choose_excerpt

    for name, value in {"pixel-size-nm": pixel_size_nm, **options}.items():
        if value is not None:
            raise ConfigError(f"expected no --{name} beside the run folder {path}, which states its own")
    with open_run(path) as run:
        excerpt = choose_excerpt(run)
        known_nm = excerpt.stored.pixel_size_nm
        n_segments = len(run.segments)
        index = excerpt.stored.segment.index
        table = LocalizationTable(
            excerpt.localizations().astype(TABLE_DTYPE),
            NOMINAL_PIXEL_SIZE_NM if known_nm is None else known_nm,
            excerpt.stored.segment.shape,
            excerpt.n_frames,
            is_pixel_size_known=known_nm is not None,
            notes=(f"segment {index} of {n_segments}, the longest; `dblink-live export --segment` writes another",)
            if n_segments > 1
            else (),
        )
    if not len(table):
        raise SourceError(f"expected localizations in the run {path}, found none")
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
