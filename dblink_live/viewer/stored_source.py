"""Pictures from a run folder: finished, interrupted, or growing while it is looked at."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.bus import StatusMessage
from dblink_live.errors import StoreError
from dblink_live.store import CommittedWindow, Run, StoredSegment, open_run
from dblink_live.types import Gap, GapCause
from dblink_live.viewer.picture import Picture, Slot
from dblink_live.viewer.theme import Tone, grouped

SUM_WINDOWS = 25
"""The plain sum shows this many windows up to the chosen one, as the live one does."""
_CACHED = 64
# Listing a very long run takes a while: it is done for at most this share of the time.
_REFRESH_SHARE = 0.05

_Key = tuple[int, int]


@dataclass(frozen=True)
class _Index:
    """The committed windows at one moment, in the order of segments and windows."""

    counts: tuple[CommittedWindow, ...] = ()
    live: dict[_Key, CommittedWindow] | None = None
    full: dict[_Key, CommittedWindow] | None = None
    segments: dict[int, StoredSegment] | None = None
    gaps: tuple[Gap, ...] = ()


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
        self._cache: OrderedDict[_Key, npt.NDArray[Any]] = OrderedDict()
        self._index = _Index()
        self._status = StatusMessage()
        self._n_seen = (-1, -1, -1)
        self._due_s = 0.0
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
        return self._status

    @property
    def note(self) -> str:
        """What one should know about the run before looking at it; empty for a complete or running one."""
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

    def refresh(self) -> None:
        """Look for windows that were committed since."""
        began_s = time.perf_counter()
        if began_s < self._due_s:
            return
        n_seen = (
            self._run.committed_count("counts"),
            self._run.committed_count("live"),
            self._run.committed_count("full"),
        )
        if n_seen != self._n_seen:
            self._n_seen = n_seen
            self._index = _Index(
                counts=tuple(sorted(self._run.windows("counts"), key=_key)),
                live={_key(row): row for row in self._run.windows("live")},
                full={_key(row): row for row in self._run.windows("full")},
                segments={stored.segment.index: stored for stored in self._run.segments},
                gaps=tuple(self._run.gaps),
            )
        self._status = self._make_status()
        self._due_s = time.perf_counter() + (time.perf_counter() - began_s) / _REFRESH_SHARE

    def at(self, index: int) -> dict[Slot, Picture]:
        """The pictures of one window; the camera's is not stored.

        Raises
        ------
        StoreError
            The window cannot be read.
        """
        row = self._index.counts[index]
        try:
            pictures: dict[Slot, Picture] = {"sum": self._sum(index)}
            found = self._reconstruction(row)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise StoreError(
                f"cannot read window {row.window} of {self.path}: {error}; run `dblink-live verify`"
            ) from error
        if found is not None:
            pictures["reconstruction"] = found
        return pictures

    def close(self) -> None:
        self._run.close()

    def _sum(self, index: int) -> Picture:
        row = self._index.counts[index]
        rows = [
            other
            for other in self._index.counts[max(0, index - SUM_WINDOWS + 1) : index + 1]
            if other.segment == row.segment
        ]
        total = np.zeros(self._counts(row).shape, np.uint32)
        for other in rows:
            total += self._counts(other)
        return self._picture(row, total, f"{len(rows)} windows to {grouped(row.window)}")

    def _counts(self, row: CommittedWindow) -> npt.NDArray[Any]:
        """Counts of a window; the last few stay in memory, since neighbours in time share most of their sums."""
        key = _key(row)
        if key not in self._cache:
            self._cache[key] = self._run.read_window(row)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _reconstruction(self, row: CommittedWindow) -> Picture | None:
        full, live = (self._index.full or {}).get(_key(row)), (self._index.live or {}).get(_key(row))
        chosen = live if full is None or (self.prefers_live and live is not None) else full
        if chosen is None:
            return None
        image = self._run.read_window(chosen).astype(np.float32) * np.float32(self._scale(chosen.series))
        badge = "FULL PASS" if chosen is full else "" if chosen.lookahead is None else f"LOOKAHEAD {chosen.lookahead}"
        return self._picture(row, image, f"window {grouped(row.window)}", badge)

    def _scale(self, series: str) -> float:
        if series not in self._scales:
            array = self._run.array(series)
            self._scales[series] = 1.0 if array is None else array.value_scale
        return self._scales[series]

    def _picture(self, row: CommittedWindow, image: npt.NDArray[Any], caption: str, badge: str = "") -> Picture:
        grid = (self._index.segments or {})[row.segment].grid
        return Picture(image, grid.pitch_nm, grid.origin_nm, caption, badge, Tone.FAINT)

    def _make_status(self) -> StatusMessage:
        lost: dict[str, int] = {}
        for gap in self._index.gaps:
            lost[gap.cause.value] = lost.get(gap.cause.value, 0) + (gap.count or 0)
        latencies = [row.latency_s for row in (self._index.live or {}).values() if row.latency_s is not None]
        p50, p99 = (float(value) for value in np.percentile(latencies, (50, 99))) if latencies else (None, None)
        last = self._index.counts[-1] if self._index.counts else None
        status = self._run.status
        return StatusMessage(
            frame=last.stop - 1 if last else 0,
            lost=lost,
            unknown_loss=any(gap.count is None for gap in self._index.gaps),
            latency_p50_s=p50,
            latency_p99_s=p99,
            windows_counts=len(self._index.counts),
            windows_live=len(self._index.live or {}),
            model=self._run.info.model,
            state="failed" if status == "interrupted" else "ended" if status == "complete" else "running",
        )


def _key(row: CommittedWindow) -> _Key:
    return (row.segment, row.window)
