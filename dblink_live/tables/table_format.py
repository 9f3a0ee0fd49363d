"""What a format of localization tables states of itself: how it is told, read, written, and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dblink_live.errors import SourceError
from dblink_live.tables.table import TABLE_DTYPE, LocalizationTable


class NotATableError(SourceError):
    """A file is in the container of a format (HDF5, MATLAB, zip) and holds something else than its table."""


EVERY_COLUMN = frozenset((*(TABLE_DTYPE.names or ()), "z_nm", "lpz_nm", "channel"))


class Reader(Protocol):
    """Reads a file of one format."""

    def __call__(self, path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
        """Read ``path``; ``unit`` is that of lengths whose unit the file does not state."""
        ...


@dataclass(frozen=True)
class TableFormat:
    """A format of localization tables.

    A module of `dblink_live.tables` registers one by the name ``FORMAT``; a package registers one as an entry point of
    the group ``dblink_live.table_formats``.
    """

    name: str
    """What it is called: the program that writes it, and the kind of file."""
    read: Reader
    suffixes: tuple[str, ...]
    """Extensions that files of the format have."""
    positions: str
    """Unit and origin of positions in the file."""
    first_frame: str
    """Number of the first frame in the file."""
    versions: str
    """What is read: versions and dialects."""
    refused: str
    """What is not read, and why."""
    starts: tuple[bytes, ...] = ()
    """What its files begin with."""
    groups: tuple[str, ...] = ()
    """Groups at the root of its HDF5 files."""
    columns: tuple[str, ...] = ()
    """Names, in lower case, that the columns of its text files have, all of them."""
    is_default_of: str = ""
    """``text`` or ``hdf5``: files of that kind that no other format claims are taken for this one."""
    write: Callable[[Path, LocalizationTable], None] | None = None
    """Writes a table; None where the format is only read."""
    written_suffix: str = ""
    """Extension that selects the format to write."""
    written_as: str = ""
    """What is written, for help texts."""
    holds: frozenset[str] = EVERY_COLUMN
    """Names of our columns that the format has a place for, ``z_nm``, ``lpz_nm`` and ``channel`` among them."""
    is_in_pixels: bool = False
    """Whether the file states positions or its origin in camera pixels, whose size must then be known."""
    container: str = ""
    """Kind of binary file, with its article, for what is said of a damaged one: an HDF5, a zip."""
    check_installed: Callable[[], None] | None = None
    """Raises `SourceError` where the library is missing that the format needs."""
