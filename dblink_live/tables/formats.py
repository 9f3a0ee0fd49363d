"""The formats of localization tables: found in this package and among plug-ins, told by content, read and written."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path

import h5py
import numpy as np

from dblink_live.errors import CalibrationError, PluginError, SourceError
from dblink_live.pixel_sizes import check_pixel_size
from dblink_live.tables.channels import select_channel
from dblink_live.tables.hdf5 import opened
from dblink_live.tables.named import parse_name
from dblink_live.tables.table import NEVER_ZERO, TABLE_DTYPE, LocalizationTable, frame_order, is_unknown
from dblink_live.tables.table_format import NotATableError, TableFormat
from dblink_live.tables.text_lines import open_text
from dblink_live.types import Localizations, Shape

TABLE_FORMATS = "dblink_live.table_formats"
"""Group of entry points under which a package registers a `TableFormat`."""


_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"\x28\xb5\x2f\xfd": "zstd"}
"""What packed files begin with."""


@functools.cache
def table_formats() -> tuple[TableFormat, ...]:
    """Return every format: those of this package, by name, then those of plug-ins.

    Raises
    ------
    PluginError
        A plug-in cannot be imported, or registers something else.
    """
    package = importlib.import_module("dblink_live.tables.dialects")
    modules = (
        importlib.import_module(f"{package.__name__}.{item.name}") for item in pkgutil.iter_modules(package.__path__)
    )
    own = [module.FORMAT for module in modules if isinstance(getattr(module, "FORMAT", None), TableFormat)]
    return (*sorted(own, key=lambda found: found.name), *_registered())


def written_suffixes() -> tuple[str, ...]:
    """Return the extensions that select a format to write."""
    return tuple(found.written_suffix for found in table_formats() if found.write is not None)


def describe_read() -> str:
    """Return what can be read, for help texts and errors."""
    return ", ".join(f"{found.name} ({'/'.join(found.suffixes)})" for found in table_formats())


def describe_written() -> str:
    """Return what can be written, for help texts and errors."""
    return ", ".join(f"{found.written_suffix} writes {found.written_as}" for found in table_formats() if found.write)


def read_localizations(
    path: str | os.PathLike[str],
    pixel_size_nm: float | None = None,
    *,
    channel: str | None = None,
    unit: str | None = None,
) -> LocalizationTable:
    """Read a localization table.

    Parameters
    ----------
    path
        A file in one of the formats of docs/reference/formats.md. What is in the file decides, not its name.
    pixel_size_nm
        Side of a camera pixel. A table in nanometres is expressed in pixels of this size, 100 nm without one: that
        changes numbers in pixels only, never in nanometres. For tables whose positions or origin are in pixels, it is
        needed where the file does not state it.
    channel
        Which rows to take where the table holds those of several channels, files or positions: a value, or
        ``COLUMN=VALUE``; ``all`` keeps them together.
    unit
        nm, um or px: that of lengths whose unit the file does not state.

    Raises
    ------
    SourceError
        The file is missing, in another format, incomplete or damaged; or it holds the rows of several channels and
        ``channel`` is None.
    CalibrationError
        The pixel size is needed and unknown, implausible, or contradicts the file.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "storm.csv"
    >>> _ = path.write_text('"frame","x [nm]","y [nm]"\\n1,108.0,54.0\\n')
    >>> table = read_localizations(path, pixel_size_nm=108)
    >>> int(table["frame"][0]), float(table["x"][0]), float(table["y"][0])  # from frame 0, centre of a pixel at 0
    (0, 0.5, 0.0)
    """
    if pixel_size_nm is not None:
        pixel_size_nm = check_pixel_size(pixel_size_nm)
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"expected a localization table, found no file {path}; check the path")
    try:
        table = format_of_content(path).read(path, pixel_size_nm, unit)
    except NotATableError as error:
        raise SourceError(f"{error}; supported are {describe_read()}") from error
    return select_channel(_without_impossible(table), path, channel)


def write_localizations(
    path: str | os.PathLike[str],
    localizations: Localizations | LocalizationTable,
    shape: Shape | tuple[int, int] | None = None,
    pixel_size_nm: float | None = None,
    n_frames: int | None = None,
) -> tuple[str, ...]:
    """Write a localization table in the format that the extension of ``path`` names, in place of one that is there.

    Parameters
    ----------
    path
        Its extension selects the format: ``.csv``, ``.hdf5``, ``.txt``, ``.mat``, ``.h5``, ``.smlm`` or ``.parquet``.
    localizations
        Structured array with the columns of `LOCALIZATION_DTYPE`, or a table, whose own facts then stand in for what
        is left out here. Rows are written in the order of their frames. A column that is NaN throughout is unknown, as
        are widths, precisions and photons that are 0 throughout: it is left out, or NaN where the format needs it.
    shape
        Camera field (H, W) in pixels; None takes the smallest that holds every localization.
    pixel_size_nm
        Side of a camera pixel; needed for a plain array.
    n_frames
        Frames of the recording, which Picasso's and SMAP's formats state; None, or fewer than the table needs, takes
        the last frame that has a localization.

    Returns
    -------
    tuple of str
        Names of known columns that the format has no place for.

    Raises
    ------
    SourceError
        The extension names no known format, the library is missing that it needs, or the file cannot be written.
    CalibrationError
        The pixel size is implausible, or missing.

    Examples
    --------
    >>> import numpy as np
    >>> from dblink_live.types import LOCALIZATION_DTYPE
    >>> molecules = np.zeros(3, LOCALIZATION_DTYPE)
    >>> molecules["photons"] = 500
    >>> path = getfixture("tmp_path") / "three.csv"
    >>> _ = write_localizations(path, molecules, pixel_size_nm=108)
    >>> len(read_localizations(path, pixel_size_nm=108))
    3
    """
    path = Path(path)
    if isinstance(localizations, LocalizationTable):
        table = localizations
        if pixel_size_nm is not None:
            table = dataclasses.replace(table, pixel_size_nm=check_pixel_size(pixel_size_nm), is_pixel_size_known=True)
    elif pixel_size_nm is None:
        raise CalibrationError("expected the camera's pixel size in nm beside plain localizations, found none")
    else:
        table = LocalizationTable(localizations, check_pixel_size(pixel_size_nm))
    # Picasso, for one, takes for granted that rows are in order.
    order = frame_order(table["frame"])
    table = _unknown_as_nan(table if order is None else table.take(order))
    written = format_of(path)
    field = Shape(*shape) if shape else table.field()
    table = dataclasses.replace(table, shape=field, n_frames=n_frames or table.n_frames)
    if written.write is None:
        raise unsupported_to_write(path)
    written.write(path, table)
    return tuple(name for name in table.known_columns() if name not in written.holds)


def format_of(path: Path) -> TableFormat:
    """Return the format that the extension of ``path`` selects to write.

    Raises
    ------
    SourceError
        It names none; the message lists what can be written. Or the library is missing that the format needs.
    """
    suffix = path.suffix.lower()
    found = next((each for each in table_formats() if each.write is not None and each.written_suffix == suffix), None)
    if found is None:
        raise unsupported_to_write(path)
    if found.check_installed is not None:
        found.check_installed()
    return found


def format_of_content(path: Path) -> TableFormat:
    """Return the format that a file is in, whatever its name.

    Raises
    ------
    SourceError
        It is in none that is known.
    """
    formats = table_formats()
    with path.open("rb") as file:
        head = file.read(max(len(start) for found in formats for start in found.starts))
    for found in formats:
        if head.startswith(found.starts):
            return found
    packed = next((name for start, name in _PACKED.items() if head.startswith(start)), None)
    if packed is not None:
        raise SourceError(f"expected a localization table, found {path}, which is packed by {packed}; unpack it")
    if h5py.is_hdf5(path):
        with opened(path) as file:
            groups = {name for name in file if isinstance(file[name], h5py.Group)}
        return next((each for each in formats if groups & set(each.groups)), _default_of("hdf5"))
    suffix = path.suffix.lower()
    container = next((each.container for each in formats if suffix in each.suffixes and each.container), None)
    if container is not None and not any(suffix in each.suffixes for each in formats if not each.container):
        raise SourceError(f"expected {container} file, but {path} is none or was cut short; copy it again")
    if suffix not in {suffix for each in formats for suffix in each.suffixes if not each.container}:
        raise _unsupported(path)
    names = {parse_name(name)[0] for name in open_text(path).names}
    return next((each for each in formats if each.columns and set(each.columns) <= names), _default_of("text"))


def unsupported_to_write(path: Path) -> SourceError:
    """Return the error that lists what can be written."""
    return SourceError(
        f"expected the name of a localization table to write, found {path.name}; supported are {describe_written()}"
    )


def _unsupported(path: Path) -> SourceError:
    return SourceError(f"expected a localization table, found {path.name}; supported are {describe_read()}")


def _default_of(kind: str) -> TableFormat:
    return next(found for found in table_formats() if found.is_default_of == kind)


def _registered() -> list[TableFormat]:
    found = []
    for point in entry_points(group=TABLE_FORMATS):
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"expected the table format {point.name!r} at {point.value}, found: {error}; reinstall it"
            ) from error
        if not isinstance(loaded, TableFormat):
            raise PluginError(f"expected a TableFormat at {point.value}, found {type(loaded).__name__}; reinstall it")
        found.append(loaded)
    return found


def _without_impossible(table: LocalizationTable) -> LocalizationTable:
    """A width or precision below 0 is none: some programs write -1 for unknown."""
    rows = table.localizations
    impossible = {name: rows[name] < 0 for name in ("sx", "sy", "lpx", "lpy") if np.any(rows[name] < 0)}
    if not impossible:
        return table
    rows = rows.copy()
    for name, is_impossible in impossible.items():
        rows[name][is_impossible] = np.nan
    counts = ", ".join(f"{int(found.sum())} of {name}" for name, found in impossible.items())
    note = f"values below 0 are taken as unknown: {counts}"
    return dataclasses.replace(table, localizations=rows, notes=(*table.notes, note))


def _unknown_as_nan(table: LocalizationTable) -> LocalizationTable:
    """Columns that are 0 throughout though no molecule has such a value are unknown; frames are whole numbers."""
    rows = np.zeros(len(table), TABLE_DTYPE)
    for name in TABLE_DTYPE.names or ():
        rows[name] = table[name] if name in (table.localizations.dtype.names or ()) else np.nan
    for name in NEVER_ZERO:
        if len(rows) and not np.any(rows[name]):
            rows[name] = np.nan
    extra = {
        name: values.astype(np.float64) if values.dtype.kind in "iub" else values
        for name, values in table.extra.items()
        if not is_unknown(values)
    }
    return dataclasses.replace(table, localizations=rows, extra=extra)
