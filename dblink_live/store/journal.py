"""The journal of a run: which windows are committed, and everything about the run that is not an array.

A row in ``committed`` is the only commit marker. An array's shape is not one: an array that is being written shows its
new shape before its data. The order is therefore always array data (fsynced by tensorstore), localizations (fsynced),
row (fsynced): what a visible row names can be read.

Durability. SQLite runs in WAL mode with ``synchronous=FULL``. A committed row survives the death of any process (also
kill -9) because it is in the operating system's hands, and a power cut because the log was fsynced, as far as the
disk keeps its promise about flushing. Rows that become ready together share one fsync. Windows that were in flight at
the moment of death are lost and were never announced as committed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import msgspec

from dblink_live.errors import StoreError
from dblink_live.store.connections import connect_read_only, connect_writable, create_database, find_damage, transaction
from dblink_live.types import Camera, Gap, GapCause, Grid, RunInfo, Segment, Shape

FILE_NAME = "journal.sqlite"
SCHEMA_VERSION = 1

Product = Literal["counts", "live", "full", "mended", "error"]
PRODUCTS: tuple[Product, ...] = get_args(Product)
MapProduct = Literal["counts", "mended"]
"""Maps: what live processing counted, and windows that lacked frames then and were counted again from raw ones."""
Status = Literal["running", "finalizing", "complete", "interrupted"]
STATUSES: tuple[Status, ...] = get_args(Status)
LedgerDict = dict[str, object]
CameraFacts = dict[str, float | int | bool | str]
_Decoded = TypeVar("_Decoded")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY, facts TEXT NOT NULL,
    pitch_nm REAL NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
    origin_y_nm REAL NOT NULL, origin_x_nm REAL NOT NULL, pixel_size_nm REAL,
    lattice INTEGER NOT NULL, t_ns INTEGER NOT NULL
);
CREATE TABLE committed (
    product TEXT NOT NULL, segment INTEGER NOT NULL REFERENCES segments, window INTEGER NOT NULL,
    series TEXT NOT NULL, array_index INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    n_frames_missing INTEGER NOT NULL, n_localizations INTEGER, lookahead INTEGER, latency_s REAL,
    checksum BLOB NOT NULL, t_commit_ns INTEGER NOT NULL,
    PRIMARY KEY (product, segment, window), UNIQUE (series, array_index)
);
CREATE TABLE gaps (
    segment INTEGER NOT NULL, after INTEGER NOT NULL, count INTEGER, cause TEXT NOT NULL, t_ns INTEGER NOT NULL
);
CREATE TABLE events (t_ns INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE ledgers (segment INTEGER PRIMARY KEY, ledger TEXT NOT NULL);
"""
_LIVE_STEPS = """
CREATE TABLE IF NOT EXISTS live_steps (
    segment INTEGER NOT NULL, window INTEGER NOT NULL, step TEXT NOT NULL,
    x INTEGER, y INTEGER, width INTEGER, height INTEGER, PRIMARY KEY (segment, window)
)
"""
"""Added after the first version: a run that was begun by it gets the table when it is opened for writing."""


@dataclass(frozen=True)
class CommittedWindow:
    """One row of the journal: a window of a product that can be read."""

    product: Product
    segment: int
    window: int
    series: str
    """The image group in ``run.ome.zarr`` that holds it."""
    array_index: int
    """Its place along that group's t axis."""
    start: int
    """First camera frame number."""
    stop: int
    """One past the last camera frame number."""
    n_frames_missing: int
    n_localizations: int | None
    """Rows of its localizations; maps only."""
    lookahead: int | None
    """Windows after this one that the picture has seen; live and full only."""
    latency_s: float | None
    checksum: bytes
    """`checksum` of the stored pixels."""
    t_commit_ns: int
    """Wall clock at the moment its row was written."""


@dataclass(frozen=True)
class StoredSegment:
    """A segment with the grid its windows lie on."""

    segment: Segment
    grid: Grid
    pixel_size_nm: float | None
    """The camera pixel that turned localizations into grid positions; None where the writer was not told."""
    lattice: int
    """Segments of equal grid and window duration share a lattice, and with it their series."""
    camera: CameraFacts | None = None
    """Camera facts that turned counts into photons, as of `Camera.to_plain`; None where not given."""

    def to_camera(self) -> Camera | None:
        """Return the camera as it was told to the localizer; None where that is not stored, as with maps of a sensor.

        Raises
        ------
        StoreError
            The facts are no camera's: the journal is damaged.
        """
        if self.camera is None or any(isinstance(value, str) for value in self.camera.values()):
            return None
        try:
            return Camera(**self.camera)  # type: ignore[arg-type]  # of `Camera.to_plain`
        except TypeError as error:
            raise StoreError(
                f"expected the facts of a camera in the journal, found: {error}; the run is damaged"
            ) from error


@dataclass(frozen=True)
class Event:
    """A line of the run's log."""

    t_ns: int
    """Wall clock."""
    text: str


@dataclass(frozen=True)
class LiveStep:
    """How the live picture of a window differs from that of a run that has all the time it needs."""

    segment: int
    window: int
    step: str
    """A `dblink_live.latency.Step`: what was given up. Whether the window has a picture, ``live`` says."""
    region: tuple[int, int, int, int] | None = None
    """x, y, width, height in camera pixels: outside of it the picture is empty. None where it covers the field, or
    there is no picture."""


@dataclass(frozen=True)
class RunFacts:
    """Facts fixed at the creation of a run."""

    info: RunInfo
    window_frames: int
    live_dtype: Literal["uint8", "float16"]


@dataclass(frozen=True)
class FullFacts:
    """Settings of the pass into ``full``: fixed when the first pass over a run begins."""

    model: str
    model_sha256: str
    lookahead: int | None
    """Later windows that a picture sees at least; None for all of them."""
    tile_px: int | None = None
    """Side of the tiles that the field was cut into; None where it was taken as a whole."""
    halo_px: int = 0
    """Overlap of each tile with its neighbours."""


class Journal:
    """The writing end. Use it from one thread at a time, inside `transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, folder: Path, facts: RunFacts) -> Journal:
        """Make the file with its tables, status running."""

        def fill(connection: sqlite3.Connection) -> None:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            journal = cls(connection)
            journal._set_meta("schema_version", str(SCHEMA_VERSION))
            journal._set_meta("facts", msgspec.json.encode(facts).decode())
            journal.set_status("running")

        create_database(folder / FILE_NAME, fill)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Open the journal of an existing run for writing."""
        connection = connect_writable(folder / FILE_NAME)
        connection.execute(_LIVE_STEPS)
        return cls(connection)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; returns after the fsync."""
        return transaction(self._connection)

    def set_status(self, status: Status) -> None:
        self._set_meta("status", status)

    def add_segment(self, stored: StoredSegment) -> None:
        grid = stored.grid
        self._connection.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                stored.segment.index, _encode_facts(stored), grid.pitch_nm, *grid.shape,
                *grid.origin_nm, stored.pixel_size_nm, stored.lattice, time.time_ns(),
            ),
        )  # fmt: skip

    def add_window(self, row: CommittedWindow) -> None:
        self._connection.execute(
            "INSERT INTO committed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.product, row.segment, row.window, row.series, row.array_index, row.start, row.stop,
                row.n_frames_missing, row.n_localizations, row.lookahead, row.latency_s, row.checksum, time.time_ns(),
            ),
        )  # fmt: skip

    def add_gap(self, gap: Gap) -> None:
        self._connection.execute(
            "INSERT INTO gaps VALUES (?, ?, ?, ?, ?)",
            (gap.segment, gap.after, gap.count, gap.cause.value, time.time_ns()),
        )

    def add_live_step(self, step: LiveStep) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO live_steps VALUES (?, ?, ?, ?, ?, ?, ?)",
            (step.segment, step.window, step.step, *(step.region or (None,) * 4)),
        )

    def add_event(self, text: str) -> None:
        self._connection.execute("INSERT INTO events VALUES (?, ?)", (time.time_ns(), text))

    def set_ledger(self, segment: int, ledger: Mapping[str, object]) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (segment, msgspec.json.encode(ledger).decode())
        )

    def set_full_facts(self, facts: FullFacts) -> None:
        self._set_meta("full", msgspec.json.encode(facts).decode())

    def close(self) -> None:
        """Close; the write-ahead log is folded into the file when no reader is left."""
        self._connection.close()

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


class JournalReader:
    """The reading end: opened read-only, sees committed rows alone, and never makes a writer wait."""

    def __init__(self, folder: Path) -> None:
        self._connection = connect_read_only(folder / FILE_NAME)
        version = self._meta("schema_version")
        if version != str(SCHEMA_VERSION):
            self.close()
            raise StoreError(
                f"expected the journal in {folder} to have format {SCHEMA_VERSION}, found {version}; "
                "open it with the dblink-live version that wrote it"
            )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all questions asked within see the journal as it is now, whatever is committed meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def facts(self) -> RunFacts:
        return _decode(self._meta("facts") or "{}", RunFacts)

    def full_facts(self) -> FullFacts | None:
        """Settings of ``full``; None before the first pass."""
        found = self._meta("full")
        return None if found is None else _decode(found, FullFacts)

    def status(self) -> Status:
        """Status in the journal; `lock.is_being_written` tells whether a writer is alive."""
        status = self._meta("status")
        if status not in STATUSES:
            raise StoreError(f"expected a status {', '.join(STATUSES)} in the journal, found {status!r}")
        return status

    def segments(self) -> list[StoredSegment]:
        rows = self._connection.execute(
            "SELECT facts, pitch_nm, height, width, origin_y_nm, origin_x_nm, pixel_size_nm, lattice "
            "FROM segments ORDER BY segment"
        )
        return [
            StoredSegment(
                segment=_decode(facts, Segment),
                camera=_decode(facts, _CameraOfSegment).camera,
                grid=Grid(pitch_nm=pitch_nm, shape=Shape(height, width), origin_nm=(origin_y, origin_x)),
                pixel_size_nm=pixel_size_nm,
                lattice=lattice,
            )
            for facts, pitch_nm, height, width, origin_y, origin_x, pixel_size_nm, lattice in rows
        ]

    def windows(self, product: Product | None = None, segment: int | None = None) -> list[CommittedWindow]:
        """Committed windows in the order of their series and place."""
        condition, values = _where({"product": product, "segment": segment})
        rows = self._connection.execute(
            f"SELECT * FROM committed{condition} ORDER BY product, series, array_index", values
        )
        return [CommittedWindow(*row) for row in rows]

    def window(self, product: Product, segment: int, window: int) -> CommittedWindow | None:
        row = self._connection.execute(
            "SELECT * FROM committed WHERE product = ? AND segment = ? AND window = ?", (product, segment, window)
        ).fetchone()
        return None if row is None else CommittedWindow(*row)

    def count(self, product: Product) -> int:
        """Committed windows of a product."""
        (count,) = self._connection.execute("SELECT count(*) FROM committed WHERE product = ?", (product,)).fetchone()
        return int(count)

    def series_lengths(self) -> dict[str, int]:
        """Committed windows per series."""
        return dict(self._connection.execute("SELECT series, max(array_index) + 1 FROM committed GROUP BY series"))

    def gaps(self) -> list[Gap]:
        rows = self._connection.execute("SELECT segment, after, count, cause FROM gaps ORDER BY rowid")
        return [
            Gap(segment=segment, after=after, count=count, cause=GapCause(cause))
            for segment, after, count, cause in rows
        ]

    def live_steps(self, segment: int | None = None) -> list[LiveStep]:
        """Windows whose live picture is missing or covers a part of the field, by segment and window."""
        (is_there,) = self._connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'live_steps'"
        ).fetchone()
        if not is_there:
            return []
        condition, values = _where({"segment": segment})
        rows = self._connection.execute(f"SELECT * FROM live_steps{condition} ORDER BY segment, window", values)
        return [
            LiveStep(segment, window, step, None if box[0] is None else (box[0], box[1], box[2], box[3]))
            for segment, window, step, *box in rows
        ]

    def events(self) -> list[Event]:
        return [Event(*row) for row in self._connection.execute("SELECT t_ns, text FROM events ORDER BY rowid")]

    def ledgers(self) -> dict[int, LedgerDict]:
        rows = self._connection.execute("SELECT segment, ledger FROM ledgers ORDER BY segment")
        return {segment: _decode(ledger, LedgerDict) for segment, ledger in rows}

    def damage(self) -> str | None:
        """Return what SQLite finds wrong with the file, or None."""
        return find_damage(self._connection)

    def close(self) -> None:
        self._connection.close()

    def _meta(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])


def _decode(text: str, kind: type[_Decoded]) -> _Decoded:
    """A JSON document of the journal, which may come from elsewhere."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"expected {kind.__name__} in the journal, found: {error}; the run is damaged") from error


class _CameraOfSegment(msgspec.Struct):
    """Facts of a stored segment beside those of `Segment`."""

    camera: CameraFacts | None = None


def _encode_facts(stored: StoredSegment) -> str:
    return msgspec.json.encode({**msgspec.to_builtins(stored.segment), "camera": stored.camera}).decode()


def _where(conditions: dict[str, str | int | None]) -> tuple[str, list[str | int]]:
    given = {name: value for name, value in conditions.items() if value is not None}
    text = " AND ".join(f"{name} = ?" for name in given)
    return (f" WHERE {text}" if text else ""), list(given.values())
