"""Localizations of a run: one packed blob a window, in a database file of its own.

A file of its own, because it grows much faster than the journal, and a viewer that pages through it must not slow
down the commit of windows. A blob holds the rows of `LOCALIZATION_DTYPE` as they lie in memory, little-endian; the
file states its dtype, so a table of another version is refused instead of misread.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dblink_live.errors import StoreError
from dblink_live.store.connections import connect_read_only, connect_writable, create_database, find_damage, transaction
from dblink_live.types import LOCALIZATION_DTYPE, Localizations, empty_localizations

FILE_NAME = "localizations.sqlite"
_PACKED_DTYPE = LOCALIZATION_DTYPE.newbyteorder("<")
_ZLIB_LEVEL = 1
"""Higher levels take several times longer and save hardly anything of noisy floats."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE localizations (
    segment INTEGER NOT NULL, window INTEGER NOT NULL, n INTEGER NOT NULL, checksum BLOB NOT NULL, rows BLOB NOT NULL,
    PRIMARY KEY (segment, window)
);
"""
Table = Literal["localizations", "mended"]
"""Those that live processing found, and those of windows that were localized again from raw frames."""
_MENDED_SCHEMA = _SCHEMA.split(";")[1].replace("TABLE localizations", "TABLE IF NOT EXISTS mended")


@dataclass(frozen=True)
class PackedLocalizations:
    """The localizations of one window, ready to be stored: no buffer of the caller is kept."""

    segment: int
    window: int
    n: int
    checksum: bytes
    data: bytes
    table: Table = "localizations"

    @classmethod
    def pack(
        cls, segment: int, window: int, localizations: Localizations, table: Table = "localizations"
    ) -> PackedLocalizations:
        """Pack rows of `LOCALIZATION_DTYPE`.

        Raises
        ------
        StoreError
            The array has another dtype or is not one-dimensional.
        """
        if localizations.dtype != LOCALIZATION_DTYPE or localizations.ndim != 1:
            raise StoreError(
                f"expected localizations as rows of {LOCALIZATION_DTYPE.names}, found dtype {localizations.dtype} "
                f"with {localizations.ndim} dimensions; make them with dblink_live.types.empty_localizations"
            )
        raw = localizations.astype(_PACKED_DTYPE, copy=False).tobytes()
        return cls(segment, window, len(localizations), _digest(raw), zlib.compress(raw, _ZLIB_LEVEL), table)


class LocalizationWriter:
    """The writing end; one thread at a time."""

    def __init__(self, folder: Path, *, create: bool) -> None:
        if create:
            create_database(folder / FILE_NAME, _make_tables)
        self._connection = connect_writable(folder / FILE_NAME)

    def write(self, batch: list[PackedLocalizations]) -> None:
        """Store some windows in one transaction; returns after the fsync.

        A window that is already here was in flight when an earlier process died: nothing announced it, so it is
        replaced.
        """
        if not batch:
            return
        with transaction(self._connection):
            if any(packed.table == "mended" for packed in batch):
                self._connection.execute(_MENDED_SCHEMA)
            for packed in batch:
                self._connection.execute(
                    f"INSERT OR REPLACE INTO {packed.table} VALUES (?, ?, ?, ?, ?)",
                    (packed.segment, packed.window, packed.n, packed.checksum, packed.data),
                )

    def close(self) -> None:
        self._connection.close()


class LocalizationReader:
    """The reading end. Only windows that the journal names are to be asked for."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._connection = connect_read_only(self._path)
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'dtype'").fetchone()
        if row is None or row[0] != _dtype_text(_PACKED_DTYPE):
            self.close()
            raise StoreError(
                f"expected localizations of {_dtype_text(_PACKED_DTYPE)} in {self._path}, found {row and row[0]}; "
                "open the run with the dblink-live version that wrote it"
            )

    def read(self, segment: int, window: int, table: Table = "localizations") -> Localizations:
        """Rows of one window, checked against their checksum.

        Raises
        ------
        StoreError
            The window is not there, or its bytes are damaged.
        """
        row = self._connection.execute(
            f"SELECT n, checksum, rows FROM {table} WHERE segment = ? AND window = ?", (segment, window)
        ).fetchone()
        where = f"localizations of segment {segment}, window {window} in {self._path}"
        if row is None:
            raise StoreError(f"expected {where}, found none; run `dblink-live verify` on the folder")
        n, checksum, packed = row
        try:
            raw = zlib.decompress(packed)
        except zlib.error as error:
            raise StoreError(f"{where} are damaged: {error}") from error
        if _digest(raw) != checksum or len(raw) != n * _PACKED_DTYPE.itemsize:
            raise StoreError(f"{where} are damaged: their checksum or length differs from what was written")
        return np.frombuffer(raw, dtype=_PACKED_DTYPE).astype(LOCALIZATION_DTYPE)

    def damage(self) -> str | None:
        """Return what SQLite finds wrong with the file, or None."""
        return find_damage(self._connection)

    def close(self) -> None:
        self._connection.close()


def concatenate(tables: list[Localizations]) -> Localizations:
    """One table of several, also of none."""
    return np.concatenate(tables) if tables else empty_localizations()


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('dtype', ?)", (_dtype_text(_PACKED_DTYPE),))


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()


def _dtype_text(dtype: np.dtype[np.void]) -> str:
    return json.dumps(dtype.descr)
