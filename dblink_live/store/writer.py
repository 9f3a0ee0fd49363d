"""Writes a run folder: the sink at the end of the live line."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from dblink_live.errors import StoreError
from dblink_live.store.arrays import StoredImage, checksum, encode_probability
from dblink_live.store.committer import CommitTask, Committer
from dblink_live.store.filesystem import store_error
from dblink_live.store.folder import WritableFolder
from dblink_live.store.journal import (
    PRODUCTS,
    CommittedWindow,
    FullFacts,
    JournalReader,
    LiveStep,
    MapProduct,
    Product,
    RunFacts,
    Status,
    StoredSegment,
)
from dblink_live.store.localizations import PackedLocalizations, Table
from dblink_live.store.series import SeriesSet
from dblink_live.store.window_index import WindowFrames, WindowIndex
from dblink_live.types import Camera, Gap, Grid, LocalizationMap, Localizations, Reconstruction, RunInfo, Segment


class _FinalStatus(NamedTuple):
    """The status that a writer leaves a run in.

    | opened by                   | closed early   | finalized |
    |-----------------------------|----------------|-----------|
    | create, resume              | interrupted    | complete  |
    | resume, only trimming left  | finalizing     | complete  |
    | append_to                   | as before      | as before |
    """

    closed: Status = "interrupted"
    finalized: Status = "complete"

    @property
    def is_addition(self) -> bool:
        """Whether the writer only adds to a run that has ended."""
        return self.closed == self.finalized


class RunWriter:
    """The only writer of a run folder.

    Begin with `create` (a new run), `resume` (one that was interrupted) or `append_to` (one that has ended). Calls
    return as soon as the data is copied; a thread commits it in order, and `flush` waits for it. A failure of the disk
    is raised by the next call. As a context manager it finalizes the run on a clean exit; on an error it marks the run
    as interrupted. Either way everything committed stays valid.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from dblink_live.types import Shape, empty_localizations
    >>> folder = Path(tempfile.mkdtemp()) / "run"
    >>> info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
    >>> grid = Grid(pitch_nm=40.0, shape=Shape(32, 32))
    >>> with RunWriter.create(folder, info, window_frames=10) as writer:
    ...     writer.begin_segment(Segment(index=0, shape=Shape(8, 8), dtype="uint16", frame_interval_ms=20.0), grid)
    ...     counts = np.zeros((32, 32), np.uint16)
    ...     writer.write_map(LocalizationMap(0, 0, 0, 10, counts, grid), empty_localizations())
    >>> from dblink_live.store import open_run
    >>> with open_run(folder) as run:
    ...     run.counts.shape
    (1, 32, 32)
    """

    def __init__(self, folder: WritableFolder) -> None:
        self.path = folder.path
        self._facts = folder.facts
        self._folder = folder
        self._committer = Committer(folder.path, folder.journal, folder.localizations)
        self._series = SeriesSet(folder.path, folder.facts)
        self._segments: dict[int, StoredSegment] = {}
        self._windows: dict[Product, WindowIndex] = {product: WindowIndex() for product in PRODUCTS}
        self._full_facts: FullFacts | None = None
        self._final_status = _FinalStatus()
        self._is_closed = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        info: RunInfo,
        *,
        window_frames: int,
        live_dtype: Literal["uint8", "float16"] = "uint8",
    ) -> RunWriter:
        """Begin a new run in ``path``, which must not exist or be empty.

        Parameters
        ----------
        path
            The run folder, on a local disk.
        info
            Identity, configuration and model of the run.
        window_frames
            Camera frames per window: with a segment's frame interval it gives the time axis its scale.
        live_dtype
            Stored type of the pictures.

        Raises
        ------
        StoreError
            The folder holds something, lies on a network share, or cannot be written.
        """
        facts = RunFacts(info=info, window_frames=window_frames, live_dtype=live_dtype)
        return cls(WritableFolder.create(Path(path), facts))

    @classmethod
    def append_to(cls, path: str | Path) -> RunWriter:
        """Open a run that has ended, to add products or further segments. What is committed is never rewritten.

        Adding to a run does not mend it, and an addition that fails does not break it: it ends as it had ended before.

        Raises
        ------
        StoreError
            The folder is no run, or another process is writing to it.
        """
        writer, status = cls._reopen(Path(path))
        ended: Status = "interrupted" if status == "running" else status
        writer._final_status = _FinalStatus(closed=ended, finalized=ended)
        return writer

    @classmethod
    def resume(cls, path: str | Path) -> RunWriter:
        """Take up a run that did not come to its end: segments can follow, and `finalize` completes it.

        Windows that were in flight when its writer died are not committed; their places are written again.

        Raises
        ------
        StoreError
            The folder is no run, it is complete, or another process is writing to it.
        """
        writer, status = cls._reopen(Path(path))
        if status == "complete":
            writer._end(status)
            raise StoreError(f"expected an interrupted run, but {path} is complete; nothing is left to do")
        if status == "finalizing":
            writer._final_status = _FinalStatus(closed=status)
        else:
            writer._committer.submit(CommitTask(lambda journal: journal.set_status("running")))
        return writer

    @classmethod
    def _reopen(cls, path: Path) -> tuple[RunWriter, Status]:
        """A writer that goes on where the last one ended, and the state in which that one left the run."""
        writer = cls(WritableFolder.reopen(path))
        reader = JournalReader(path)
        try:
            writer._adopt(reader)
            return writer, reader.status()
        except BaseException:
            writer._folder.close()
            raise
        finally:
            reader.close()

    def begin_segment(
        self, segment: Segment, grid: Grid, pixel_size_nm: float | None = None, camera: Camera | None = None
    ) -> None:
        """Announce a segment and the grid of its maps; windows of earlier segments can still follow.

        Parameters
        ----------
        segment
            Its ``frame_interval_ms``, or else ``exposure_ms``, scales the time axis.
        grid
            Of its maps and pictures.
        pixel_size_nm
            The camera pixel that the maps were made with, for `verify`; the camera's or the segment's where left out.
        camera
            What the localizer was told.
        """
        self._check_open()
        if segment.index in self._segments:
            raise StoreError(
                f"expected a new segment, but segment {segment.index} has begun before; number segments upwards"
            )
        lattice = self._series.lattice_of(segment, grid)
        self._series.ensure("counts", lattice)
        self._series.ensure("live", lattice)
        pixel_size_nm = pixel_size_nm or (camera.pixel_size_nm if camera else segment.pixel_size_nm)
        facts = None if camera is None else camera.to_plain()
        stored = StoredSegment(segment, grid, pixel_size_nm, lattice, facts)
        self._segments[segment.index] = stored
        self._series.describe(list(self._segments.values()))
        self._committer.submit(CommitTask(lambda journal: journal.add_segment(stored)))

    def write_map(self, map: LocalizationMap, localizations: Localizations, product: MapProduct = "counts") -> None:
        """Store a window's counts and its localizations; as ``mended``, those that raw frames gave afterwards.

        Raises
        ------
        StoreError
            The segment was not begun, the grid is not the segment's, the window was written before, or the disk failed.
        """
        stored = self._stored_segment(map.segment)
        if map.grid != stored.grid or map.counts.shape != tuple(stored.grid.shape):
            raise StoreError(
                f"expected a map on the grid of segment {map.segment} ({stored.grid}), "
                f"found {map.counts.shape} on {map.grid}; begin a new segment"
            )
        frames = WindowFrames(map.start, map.stop, map.n_frames_missing)
        table: Table = "localizations" if product == "counts" else "mended"
        packed = PackedLocalizations.pack(map.segment, map.window, localizations, table)
        self._store(product, stored, map.window, map.counts, frames, localizations=packed)

    def write_reconstruction(self, reconstruction: Reconstruction) -> None:
        """Store a picture: a bounded one into ``live``, its predicted errors into ``error``; a full one into ``full``.

        Raises
        ------
        StoreError
            The picture is provisional, its map was not stored, it was written before, or the disk failed.
        """
        if reconstruction.stage == "provisional":
            raise StoreError(
                "expected a bounded or full picture, found a provisional one; those are shown and never stored"
            )
        stored = self._stored_segment(reconstruction.segment)
        product: Product = "live" if reconstruction.stage == "bounded" else "full"
        key = (reconstruction.segment, reconstruction.window)
        # Only the full pass comes late enough to see what was mended.
        mended = self._windows["mended"].get(*key) if product == "full" else None
        frames = mended or self._windows["counts"].get(*key)
        if frames is None:
            raise StoreError(
                f"expected the map of segment {reconstruction.segment}, window {reconstruction.window} to be stored "
                "before its picture, found none; call write_map first"
            )
        for picture in (reconstruction.image, reconstruction.error):
            if picture is not None and picture.shape != tuple(stored.grid.shape):
                raise StoreError(f"expected a picture of {tuple(stored.grid.shape)}, found {picture.shape}")
        # Errors come first: a run that breaks off between the two has no picture yet, and `resume` makes it again.
        if product == "live" and reconstruction.error is not None and self._windows["error"].get(*key) is None:
            errors = encode_probability(reconstruction.error, self._facts.live_dtype)
            self._store("error", stored, reconstruction.window, errors, frames, picture=reconstruction)
        image = encode_probability(reconstruction.image, self._facts.live_dtype)
        self._store(product, stored, reconstruction.window, image, frames, picture=reconstruction)

    def begin_full(self, facts: FullFacts) -> None:
        """Say how the pictures of ``full`` that follow are made.

        Raises
        ------
        StoreError
            Some were made in another way before: one video is never put together from two.
        """
        self._check_open()
        if self._full_facts is not None and self._full_facts != facts:
            before, now = asdict(self._full_facts), asdict(facts)
            changed = ", ".join(f"{key} {now[key]} (was {before[key]})" for key in now if now[key] != before[key])
            raise StoreError(
                f"expected the pass over {self.path} to go on as it was begun, found another {changed}; "
                "refine with the first settings, or a copy of the run without `full`"
            )
        self._full_facts = facts
        self._committer.submit(CommitTask(lambda journal: journal.set_full_facts(facts)))

    def record_gap(self, gap: Gap) -> None:
        """Note frames that will not come."""
        self._check_open()
        self._committer.submit(CommitTask(lambda journal: journal.add_gap(gap)))

    def record_live_step(self, step: LiveStep) -> None:
        """Note how the live picture of a window differs from one without a latency budget."""
        self._check_open()
        self._committer.submit(CommitTask(lambda journal: journal.add_live_step(step)))

    def event(self, text: str) -> None:
        """Add a line to the run's log, with the time."""
        self._check_open()
        self._committer.submit(CommitTask(lambda journal: journal.add_event(text)))

    def write_ledger(self, segment: int, ledger: Mapping[str, object]) -> None:
        """Store a segment's ledger: seen, committed, lost (by cause), deselected, tail; None for what is unknown."""
        self._check_open()
        plain = dict(ledger)
        self._committer.submit(CommitTask(lambda journal: journal.set_ledger(segment, plain)))

    def flush(self) -> None:
        """Wait until everything written so far is committed."""
        self._check_open()
        self._committer.drain()

    def finalize(self) -> None:
        """Commit the rest, trim the arrays, add the pyramids, mark the run as complete, and close.

        A run that had ended before `append_to` keeps the state in which it ended.
        """
        if self._is_closed:
            return
        try:
            if not self._final_status.is_addition:
                self._committer.submit(CommitTask(lambda journal: journal.set_status("finalizing")))
            self._committer.drain()
            # From here on nothing is missing but the trimming: that is all that `resume` has to do then.
            if not self._final_status.is_addition:
                self._final_status = _FinalStatus(closed="finalizing")
            self._series.finish()
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise store_error(error, self.path, "finalizing the run") from error
            raise
        self._end(self._final_status.finalized)

    def close(self) -> None:
        """Commit what can be committed and let go of the folder; a new run that was not finalized is *interrupted*."""
        if not self._is_closed:
            self._end(self._final_status.closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finalize()
        else:
            self.close()

    def _store(
        self,
        product: Product,
        stored: StoredSegment,
        window: int,
        image: StoredImage,
        frames: WindowFrames,
        localizations: PackedLocalizations | None = None,
        picture: Reconstruction | None = None,
    ) -> None:
        segment = stored.segment.index
        if self._windows[product].get(segment, window) is not None:
            raise StoreError(
                f"expected a new window, but {product} of segment {segment}, window {window} was written before"
            )
        series = self._series.ensure(product, stored.lattice)
        row = CommittedWindow(
            product=product,
            segment=segment,
            window=window,
            series=series.spec.name,
            array_index=series.next_index,
            start=frames.start,
            stop=frames.stop,
            n_frames_missing=frames.n_missing,
            n_localizations=None if localizations is None else localizations.n,
            lookahead=None if picture is None else picture.lookahead,
            latency_s=None if picture is None else picture.latency_s,
            checksum=checksum(image),
            t_commit_ns=0,
        )
        data = self._series.append(series, image)
        self._windows[product].add(segment, window, frames)
        self._committer.submit(CommitTask(lambda journal: journal.add_window(row), data, localizations))

    def _adopt(self, reader: JournalReader) -> None:
        """Take over what an earlier writer left."""
        segments = reader.segments()
        self._segments = {stored.segment.index: stored for stored in segments}
        self._series.adopt(segments, reader.series_lengths())
        for row in reader.windows():
            frames = WindowFrames(row.start, row.stop, row.n_frames_missing)
            self._windows[row.product].add(row.segment, row.window, frames)
        self._full_facts = reader.full_facts()

    def _stored_segment(self, index: int) -> StoredSegment:
        self._check_open()
        if index not in self._segments:
            raise StoreError(
                f"expected segment {index} to have begun, found {sorted(self._segments)}; call begin_segment first"
            )
        return self._segments[index]

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"expected the run {self.path} to be open for writing, but it was finalized or closed")

    def _end(self, status: Status) -> None:
        self._is_closed = True
        self._committer.close()
        try:
            with self._folder.journal.transaction():
                self._folder.journal.set_status(status)
        except sqlite3.Error as error:
            # On a full disk this cannot be written either; without a living writer a run counts as interrupted anyway.
            if status == "complete":
                raise store_error(error, self.path, "closing the run") from error
        finally:
            self._folder.close()
