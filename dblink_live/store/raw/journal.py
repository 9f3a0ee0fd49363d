"""Journal of recorded camera frames: one row per committed shard, in a database of its own.

The recorder is another process than the one that keeps the run's journal, and an SQLite file with one writer needs no
waiting. As there, a row is the only commit marker: the shard was on disk (fsynced) before its row was.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.errors import StoreError
from dblink_live.store.connections import connect_read_only, connect_writable, create_database, find_damage, transaction
from dblink_live.store.hierarchy import is_series_name
from dblink_live.types import Gap, GapCause

FILE_NAME = "raw.sqlite"
SCHEMA_VERSION = "2"
_NUMBER = np.dtype("<i8")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY, first_segment INTEGER NOT NULL, series TEXT NOT NULL, shard_frames INTEGER NOT NULL,
    ending TEXT
);
CREATE TABLE shards (
    session INTEGER NOT NULL REFERENCES sessions, shard INTEGER NOT NULL, n_frames INTEGER NOT NULL,
    numbers BLOB NOT NULL, t_host_ns BLOB NOT NULL, checksum BLOB NOT NULL, t_commit_ns INTEGER NOT NULL,
    PRIMARY KEY (session, shard)
);
CREATE TABLE gaps (session INTEGER NOT NULL, after INTEGER NOT NULL, count INTEGER, cause TEXT NOT NULL);
"""


@dataclass(frozen=True)
class RawSession:
    """The frames of one camera process, from its start to its end."""

    session: int
    """Counted from 0."""
    first_segment: int
    """Index of the run's segment with which it begins; its frames' numbers hold for that one and those after it. Two
    sessions begin with the same one where the run died before its segment was announced."""
    series: str
    """The image group in ``run.ome.zarr`` that holds them."""
    shard_frames: int
    ending: str | None
    """Reason of its end; None while it is recorded and where the recorder died."""


@dataclass(frozen=True)
class RawShard:
    """A file of consecutive frames, written once."""

    session: int
    shard: int
    """Its first frame lies at ``shard * shard_frames`` along t."""
    numbers: npt.NDArray[np.int64]
    """[n], the camera's frame numbers."""
    t_host_ns: npt.NDArray[np.int64]
    """[n], when they were received."""
    checksum: bytes
    """`checksum` of its frames [n, H, W]."""


class RawJournal:
    """The writing end, for one process at a time: first the one that makes the run, then the recorder."""

    def __init__(self, folder: Path) -> None:
        if not (folder / FILE_NAME).exists():
            create_database(folder / FILE_NAME, _make_tables)
        self._connection = connect_writable(folder / FILE_NAME)

    @property
    def n_sessions(self) -> int:
        (n_sessions,) = self._connection.execute("SELECT count(*) FROM sessions").fetchone()
        return int(n_sessions)

    def add_session(self, session: RawSession) -> None:
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, NULL)",
                (session.session, session.first_segment, session.series, session.shard_frames),
            )

    def add_shard(self, shard: RawShard) -> None:
        """Commit a shard that is on disk; returns after the fsync."""
        numbers, times = (array.astype(_NUMBER).tobytes() for array in (shard.numbers, shard.t_host_ns))
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?, ?)",
                (shard.session, shard.shard, len(shard.numbers), numbers, times, shard.checksum, time.time_ns()),
            )

    def add_gap(self, session: int, gap: Gap) -> None:
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO gaps VALUES (?, ?, ?, ?)", (session, gap.after, gap.count, gap.cause.value)
            )

    def end_session(self, session: int, ending: str) -> None:
        with transaction(self._connection):
            self._connection.execute("UPDATE sessions SET ending = ? WHERE session = ?", (ending, session))

    def close(self) -> None:
        self._connection.close()


class RawJournalReader:
    """The reading end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._connection = connect_read_only(self._path)
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if row is None or row[0] != SCHEMA_VERSION:
            self.close()
            raise StoreError(
                f"expected {self._path} to have format {SCHEMA_VERSION}, found {row and row[0]}; open the run with the "
                "dblink-live version that wrote it"
            )

    def sessions(self) -> list[RawSession]:
        rows = self._connection.execute(
            "SELECT session, first_segment, series, shard_frames, ending FROM sessions ORDER BY session"
        )
        sessions = [RawSession(*row) for row in rows]
        for session in sessions:
            # A folder from elsewhere may name any place, or a shard of no frames.
            if not is_series_name(session.series) or session.shard_frames < 1:
                raise StoreError(f"expected a series like raw or raw_1 in {self._path}, found {session}")
        return sessions

    def shards(self, session: int) -> list[RawShard]:
        """Committed shards in order.

        Raises
        ------
        StoreError
            A row contradicts itself.
        """
        rows = self._connection.execute(
            "SELECT shard, n_frames, numbers, t_host_ns, checksum FROM shards WHERE session = ? ORDER BY shard",
            (session,),
        )
        found = []
        for shard, n_frames, numbers, times, checksum in rows:
            if len(numbers) != n_frames * _NUMBER.itemsize or len(times) != len(numbers):
                raise StoreError(
                    f"expected numbers and times of {n_frames} frames of shard {shard} in {self._path}, "
                    f"found {len(numbers)} and {len(times)} bytes; the run is damaged"
                )
            found.append(RawShard(session, shard, _int64(numbers), _int64(times), checksum))
        return found

    def gaps(self, session: int) -> list[Gap]:
        """Frames of a session that were not recorded."""
        rows = self._connection.execute(
            "SELECT after, count, cause FROM gaps WHERE session = ? ORDER BY rowid", (session,)
        )
        return [Gap(session, after, count, GapCause(cause)) for after, count, cause in rows]

    def damage(self) -> str | None:
        """Return what SQLite finds wrong with the file, or None."""
        return find_damage(self._connection)

    def close(self) -> None:
        self._connection.close()


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (SCHEMA_VERSION,))


def _int64(packed: bytes) -> npt.NDArray[np.int64]:
    return np.frombuffer(packed, _NUMBER).astype(np.int64)
