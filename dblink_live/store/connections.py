"""Connections to the databases of a run: a writing one that flushes each commit, a reading one that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from urllib.parse import quote

from dblink_live.errors import StoreError
from dblink_live.files import remove, replace
from dblink_live.store.filesystem import flush_folder, is_disk_full

BUSY_TIMEOUT_S = 10.0


def connect_writable(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode with full fsync, for one thread at a time.

    Raises
    ------
    StoreError
        The file system cannot do WAL, as network shares cannot.
    sqlite3.OperationalError
        The disk is full.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.OperationalError as error:
        if is_disk_full(error):
            connection.close()
            raise
        mode = str(error)
    if mode != "wal":
        connection.close()
        raise StoreError(
            f"expected {path.parent} to lie on a local disk, but a write-ahead log cannot be kept there ({mode}), "
            "as on a network share; record on a local disk and copy the finished run"
        )
    connection.execute("PRAGMA synchronous=FULL")
    # macOS: fsync alone leaves data in the drive's cache. Ignored elsewhere.
    connection.execute("PRAGMA fullfsync=ON")
    return connection


def create_database(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make a database whose tables ``fill`` makes, in one step: a reader finds no database or a whole one.

    Raises
    ------
    StoreError
        The file system cannot do WAL, as network shares cannot.
    sqlite3.Error, OSError
        The disk is full, or cannot be written.
    """
    scratch = path.with_name(path.name + ".partial")
    for suffix in ("", "-wal", "-shm"):
        remove(scratch.with_name(scratch.name + suffix))
    connection = connect_writable(scratch)
    try:
        connection.execute("BEGIN IMMEDIATE")
        fill(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()  # which folds the log into the file
    replace(scratch, path)
    flush_folder(path.parent)


def database_uri(path: PurePath) -> str:
    r"""The URI by which SQLite opens a file, on a share as well: it takes no host between the slashes.

    Examples
    --------
    >>> from pathlib import PureWindowsPath
    >>> database_uri(PureWindowsPath(r"D:\my runs\a.run\journal.sqlite"))
    'file:///D:/my%20runs/a.run/journal.sqlite'
    >>> database_uri(PureWindowsPath(r"\\server\share\a.run\journal.sqlite"))
    'file:////server/share/a.run/journal.sqlite'
    """
    text = quote(path.as_posix(), safe="/:")
    return f"file://{text}" if text.startswith("/") else f"file:///{text}"


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    A finished run may lie on read-only media or a share, where WAL's shared memory cannot be made: with no log left to
    read, the file alone is the truth.
    """
    if not path.is_file():
        raise StoreError(
            f"expected a run folder, but {path.parent} holds no {path.name}; give the folder that a run was written to"
        )
    uri = database_uri(path.absolute())
    log = path.with_name(path.name + "-wal")
    last: sqlite3.Error | None = None
    for options in ("mode=ro", "mode=ro&immutable=1"):
        if "immutable" in options and log.exists() and log.stat().st_size > 0:
            break
        connection = sqlite3.connect(f"{uri}?{options}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("SELECT count(*) FROM meta").fetchone()
        except sqlite3.Error as error:
            connection.close()
            last = error
        else:
            return connection
    raise StoreError(
        f"expected {path} to be a readable database, found: {last}; the file is damaged, or of another program"
    )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block executes all at once, after an fsync; roll it back where the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def find_damage(connection: sqlite3.Connection) -> str | None:
    """Return what SQLite finds wrong with the database, or None."""
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else str(answer)
