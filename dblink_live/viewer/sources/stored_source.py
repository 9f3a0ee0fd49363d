"""Pictures from a run folder: finished, interrupted, or growing while it is looked at.

What is shown of a window is asked with `StoredSource.at`; the trust picture, which rests on many windows and takes
longer, with `StoredSource.trust_at`.
"""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dblink_live.analysis.trust.sample import Sample, busiest_block, sample_of
from dblink_live.analysis.trust.support import HALF_WIDTH
from dblink_live.bus import StatusMessage
from dblink_live.errors import StoreError
from dblink_live.store import CommittedWindow, Product, Run, open_run
from dblink_live.types import GapCause
from dblink_live.viewer.bars.timeline import Stage
from dblink_live.viewer.panels.picture import Picture, Slot, cropped, window_name
from dblink_live.viewer.sources.model_facts import DEFAULT_THRESHOLD, ModelFacts, model_facts
from dblink_live.viewer.sources.stored_index import Key, RunIndex, key_of, lost_by_cause
from dblink_live.viewer.sources.trust import TrustShares, trust_picture
from dblink_live.viewer.theme import Tone, grouped

SUM_WINDOWS = 25
"""The plain sum shows this many windows up to the chosen one, as the live one does, unless told otherwise."""
_MIN_CACHED = 4
_CACHE_BYTES = 256 * 2**20
_READ_ERRORS = (StoreError, OSError, ValueError, KeyError, RuntimeError, sqlite3.Error)
"""What reading a damaged or deleted run raises."""
# Listing a very long run takes a while: it is done for at most this share of the time.
_REFRESH_SHARE = 0.05


class StoredSource:
    """The stored windows of a run, by index.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    StoreError
        It is no run folder, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._run: Run = open_run(self.path)
        self._scales: dict[str, float] = {}
        self._cache: OrderedDict[Key, npt.NDArray[Any]] = OrderedDict()
        self._index = RunIndex()
        self._stretches: tuple[tuple[int, int, Stage], ...] = ()
        self._is_gone = False
        self.version = 0
        """Rises with every change of what is committed."""
        self._status = StatusMessage()
        self._sample = Sample()
        self._n_seen: tuple[int, ...] = ()
        self._due_s = 0.0
        self._model: ModelFacts | None = model_facts(self._run.info.model, self._run.info.model_sha256)
        self.sum_windows = SUM_WINDOWS
        """Windows of the plain sum."""
        self.prefers_live = False
        """Show the live reconstruction although the full pass has made a better one."""
        self.refresh()

    @property
    def run_uuid(self) -> str:
        """The run's identity."""
        return self._run.info.uuid

    @property
    def title(self) -> str:
        return self.path.name

    @property
    def n_windows(self) -> int:
        """Localization maps that are committed."""
        return len(self._index.counts)

    @property
    def status(self) -> StatusMessage:
        """What the journal says, in the words of a live run."""
        return self._with_sample(self._status)

    @property
    def note(self) -> str:
        """What one should know about the run before looking at it; empty for a complete or running one."""
        if self._is_gone:
            return f"The run folder {self.path} was moved or deleted while it was shown."
        if self._status.state == "failed":
            return "This run was interrupted. Everything shown here was committed before."
        return ""

    @property
    def gap_indices(self) -> tuple[int, ...]:
        """Indices of the windows beside which frames were lost."""
        rows = self._index.counts
        keys = [(row.segment, row.stop) for row in rows]
        found = {
            min(bisect_right(keys, (gap.segment, gap.after)), len(rows) - 1)
            for gap in self._index.gaps
            if rows and gap.cause is not GapCause.DESELECTED
        }
        return tuple(sorted(found))

    @property
    def threshold(self) -> float | None:
        """Probability above which the run's model counts per pixel as structure; None where it is not known."""
        return None if self._model is None else self._model.threshold

    @property
    def model(self) -> ModelFacts | None:
        """What the run's model says of itself; None where its checkpoint is not here."""
        return self._model

    @property
    def stretches(self) -> tuple[tuple[int, int, Stage], ...]:
        """Stretches [first, stop) of windows with the same stage, in order."""
        return self._stretches

    def refresh(self) -> None:
        """Look for windows that were committed since. A run that was deleted is noted, and raises nothing."""
        began_s = time.perf_counter()
        if began_s < self._due_s:
            return
        try:
            self._is_gone = not self.path.is_dir()
            if not self._is_gone:
                self._read_index()
        except _READ_ERRORS:
            # A folder that is being deleted loses its files one by one.
            self._is_gone = True
        self._due_s = time.perf_counter() + (time.perf_counter() - began_s) / _REFRESH_SHARE

    def index_of(self, segment: int, window: int) -> int | None:
        """Index of a window; None where it is not committed."""
        index = bisect_left(self._index.keys, (segment, window))
        found = index < len(self._index.keys) and self._index.keys[index] == (segment, window)
        return index if found else None

    def place_of(self, index: int) -> tuple[int, int]:
        """(segment, window) of an index."""
        return self._index.keys[index]

    def time_s(self, index: int) -> float | None:
        """Seconds from the run's first frame to the end of a window; None where the frame rate is unknown."""
        return self._index.time_s(index)

    def at(self, index: int) -> dict[Slot, Picture]:
        """Return the pictures of one window; the camera's is not stored, and the trust picture is `trust_at`.

        Raises
        ------
        StoreError
            The window cannot be read.
        """
        row = self._index.counts[index]
        try:
            pictures: dict[Slot, Picture] = {"sum": self._sum(index)}
            found = self._reconstruction(row)
        except _READ_ERRORS as error:
            raise self._unreadable(row, error) from error
        if found is not None:
            pictures["reconstruction"] = found
        return pictures

    def sum_at(self, index: int) -> Picture:
        """Return the plain sum of `sum_windows` windows up to one.

        Raises
        ------
        StoreError
            A window cannot be read.
        """
        try:
            return self._sum(index)
        except _READ_ERRORS as error:
            raise self._unreadable(self._index.counts[index], error) from error

    def trust_at(self, index: int) -> tuple[Picture, TrustShares] | None:
        """Return the trust picture of one window and its figures; None where nothing is reconstructed yet.

        Raises
        ------
        StoreError
            A window cannot be read.
        """
        row = self._index.counts[index]
        try:
            picture = self._reconstruction(row)
            if picture is None:
                return None
            first, stop = max(0, index - HALF_WIDTH), index + HALF_WIDTH + 1
            rows = [other for other in self._index.counts[first:stop] if other.segment == row.segment]
            near = self._picture(row, self._total(rows), "")
            self._sample = self._sample_of(rows)
            threshold = DEFAULT_THRESHOLD if self.threshold is None else self.threshold
            return trust_picture(picture, near, self._molecules_nm(row), threshold, self._error(row))
        except _READ_ERRORS as error:
            raise self._unreadable(row, error) from error

    def molecules_nm(self, index: int) -> npt.NDArray[np.float64]:
        """Return (y, x) [N, 2] of the molecules of one window, from the outer corner of the camera's field.

        Raises
        ------
        StoreError
            They cannot be read.
        """
        row = self._index.counts[index]
        try:
            return self._molecules_nm(row)
        except _READ_ERRORS as error:
            raise self._unreadable(row, error) from error

    def status_at(self, index: int) -> StatusMessage:
        """Return how the run stood when a window was committed."""
        row = self._index.counts[index]
        shown = self._index.live.get(key_of(row))
        keys = self._index.keys[: index + 1]
        gaps = [gap for gap in self._index.gaps if (gap.segment, gap.after) < (row.segment, row.stop)]
        return msgspec.structs.replace(
            self._with_sample(self._status),
            frame=row.stop - 1,
            lost=lost_by_cause(gaps),
            unknown_loss=any(gap.count is None for gap in gaps),
            latency_p50_s=None if shown is None else shown.latency_s,
            latency_p99_s=None,
            windows_counts=len(keys),
            windows_live=sum(key in self._index.live or key in self._index.full for key in keys),
            density_per_um2_frame=self._index.density(index),
        )

    def close(self) -> None:
        self._run.close()

    def _read_index(self) -> None:
        products: tuple[Product, ...] = ("counts", "live", "full", "error")
        n_seen = tuple(self._run.committed_count(product) for product in products)
        if n_seen != self._n_seen:
            self._n_seen = n_seen
            self.version += 1
            self._index = RunIndex.read(self._run)
            self._stretches = self._index.stretches
        self._status = self._index.status(self._run, self._model)

    def _sample_of(self, rows: list[CommittedWindow]) -> Sample:
        """What windows that follow each other say of the sample: of the part of the field with most localizations."""
        if not rows:
            return Sample()
        block = busiest_block(self._counts(rows[-1]))
        maps = np.stack([self._counts(row)[block] for row in rows])
        return sample_of(maps, self._index.segments[rows[0].segment].grid.pitch_nm, self._run.window_frames)

    def _with_sample(self, status: StatusMessage) -> StatusMessage:
        """A status with what the windows about the last trust picture say of the sample."""
        return msgspec.structs.replace(
            status,
            speed_nm_per_window=self._sample.speed_nm_per_window,
            molecules_per_um2_window=self._sample.molecules_per_um2,
            window_frames=self._sample.window_frames,
        )

    def _unreadable(self, row: CommittedWindow, error: BaseException) -> StoreError:
        if not self.path.is_dir():
            return StoreError(f"the run folder {self.path} was moved or deleted while it was shown")
        if isinstance(error, StoreError):
            return error
        return StoreError(f"cannot read window {row.window} of {self.path}: {error}; run `dblink-live verify`")

    def _sum(self, index: int) -> Picture:
        row = self._index.counts[index]
        rows = [
            other
            for other in self._index.counts[max(0, index - self.sum_windows + 1) : index + 1]
            if other.segment == row.segment
        ]
        return self._picture(row, self._total(rows), f"{len(rows)} windows to {grouped(row.window + 1)}")

    def _total(self, rows: list[CommittedWindow]) -> npt.NDArray[np.uint32]:
        total = np.zeros(self._counts(rows[0]).shape, np.uint32)
        for row in rows:
            total += self._counts(row)
        return total

    def _counts(self, row: CommittedWindow) -> npt.NDArray[Any]:
        """Counts of a window; the last few stay in memory, since neighbours in time share most of their sums."""
        key = key_of(row)
        if key not in self._cache:
            counts = self._run.read_window(row)
            self._cache[key] = counts
            n_kept = max(_MIN_CACHED, _CACHE_BYTES // max(counts.nbytes, 1))
            while len(self._cache) > n_kept:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _molecules_nm(self, row: CommittedWindow) -> npt.NDArray[np.float64]:
        stored = self._index.segments[row.segment]
        pixel_nm = stored.pixel_size_nm
        if pixel_nm is None:
            return np.zeros((0, 2))
        found = self._run.localizations(row.segment, row.window)
        return (np.stack([found["y"], found["x"]], axis=1).astype(np.float64) + 0.5) * pixel_nm

    def _reconstruction(self, row: CommittedWindow) -> Picture | None:
        full, live = self._index.full.get(key_of(row)), self._index.live.get(key_of(row))
        chosen = live if full is None or (self.prefers_live and live is not None) else full
        if chosen is None:
            return None
        image = self._scaled(chosen)
        badge = "FULL PASS" if chosen is full else "" if chosen.lookahead is None else f"LOOKAHEAD {chosen.lookahead}"
        picture = self._picture(row, image, window_name(row.segment, row.window), badge)
        return picture if chosen is full else self._in_live_region(row, picture)

    def _error(self, row: CommittedWindow) -> Picture | None:
        """The network's own error map, where it made one; it belongs to the live picture."""
        found = self._index.error.get(key_of(row))
        if found is None or (key_of(row) in self._index.full and not self.prefers_live):
            return None
        return self._in_live_region(row, self._picture(row, self._scaled(found), ""))

    def _in_live_region(self, row: CommittedWindow, picture: Picture) -> Picture:
        """The part of a live picture that was made: what lies outside its live region is stored as zeros."""
        step = self._index.steps.get(key_of(row))
        pixel_nm = self._index.segments[row.segment].pixel_size_nm
        if step is None or step.region is None or pixel_nm is None:
            return picture
        x, y, width, height = (side * pixel_nm for side in step.region)
        return cropped(picture, (y, x), (height, width))

    def _scaled(self, row: CommittedWindow) -> npt.NDArray[np.float32]:
        return self._run.read_window(row).astype(np.float32) * np.float32(self._scale(row.series))

    def _scale(self, series: str) -> float:
        if series not in self._scales:
            array = self._run.array(series)
            self._scales[series] = 1.0 if array is None else array.value_scale
        return self._scales[series]

    def _picture(self, row: CommittedWindow, image: npt.NDArray[Any], caption: str, badge: str = "") -> Picture:
        grid = self._index.segments[row.segment].grid
        return Picture(image, grid.pitch_nm, grid.origin_nm, caption, badge, Tone.FAINT)
