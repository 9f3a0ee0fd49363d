"""The committed windows of a run at one moment, and what they say of how it stood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from dblink_live.bus import StatusMessage
from dblink_live.store import CommittedWindow, LiveStep, Run, StoredSegment
from dblink_live.types import Gap
from dblink_live.viewer.bars.timeline import Stage
from dblink_live.viewer.sources.model_facts import ModelFacts

DENSITY_WINDOWS = 25
"""The density of molecules is that of so many windows up to the one shown."""

Key = tuple[int, int]
"""(segment, window)."""


@dataclass(frozen=True)
class RunIndex:
    """Windows in the order of segments and windows."""

    counts: tuple[CommittedWindow, ...] = ()
    keys: list[Key] = field(default_factory=list)
    """Of ``counts``."""
    live: dict[Key, CommittedWindow] = field(default_factory=dict)
    full: dict[Key, CommittedWindow] = field(default_factory=dict)
    error: dict[Key, CommittedWindow] = field(default_factory=dict)
    segments: dict[int, StoredSegment] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    steps: dict[Key, LiveStep] = field(default_factory=dict)
    """Windows whose live picture covers a part of the field, or for which something was given up."""

    @classmethod
    def read(cls, run: Run) -> RunIndex:
        """Read what is committed now."""
        counts = tuple(sorted(run.windows("counts"), key=key_of))
        return cls(
            counts=counts,
            keys=[key_of(row) for row in counts],
            live={key_of(row): row for row in run.windows("live")},
            full={key_of(row): row for row in run.windows("full")},
            error={key_of(row): row for row in run.windows("error")},
            segments={stored.segment.index: stored for stored in run.segments},
            gaps=tuple(run.gaps),
            steps={(step.segment, step.window): step for step in run.live_steps()},
        )

    @property
    def stretches(self) -> tuple[tuple[int, int, Stage], ...]:
        """Stretches [first, stop) of windows with the same stage, in order."""
        found: list[tuple[int, int, Stage]] = []
        for place, key in enumerate(self.keys):
            stage: Stage = "full" if key in self.full else "bounded" if key in self.live else "counted"
            if found and found[-1][2] == stage:
                found[-1] = (found[-1][0], place + 1, stage)
            else:
                found.append((place, place + 1, stage))
        return tuple(found)

    def density(self, index: int) -> float | None:
        """Molecules per square micrometre and frame, of the last windows up to one; None where it is unknown."""
        last = self.counts[index]
        rows = [
            row
            for row in self.counts[max(0, index - DENSITY_WINDOWS + 1) : index + 1]
            if row.segment == last.segment and row.n_localizations is not None
        ]
        stored = self.segments[last.segment]
        n_frames = sum(row.stop - row.start - row.n_frames_missing for row in rows)
        if stored.pixel_size_nm is None or n_frames <= 0:
            return None
        shape = stored.segment.shape
        area_um2 = shape.height * shape.width * (stored.pixel_size_nm / 1000) ** 2
        return sum(row.n_localizations or 0 for row in rows) / (n_frames * area_um2)

    def time_s(self, index: int) -> float | None:
        """Seconds from the run's first frame to the end of a window; None where the frame rate is unknown.

        Segments are placed by the host's clock where it was noted. A segment that lost frames began has the clock and
        the frame numbers of the one before it.
        """
        row = self.counts[index]
        first, own = self.segments[min(self.segments)].segment, self.segments[row.segment].segment
        if own.frame_interval_ms is None:
            return None
        anchor_ns = own.wall_clock_anchor_ns
        of_clock = {
            index
            for index, stored in self.segments.items()
            if index == own.index or (anchor_ns and stored.segment.wall_clock_anchor_ns == anchor_ns)
        }
        begin = next(other.start for other in self.counts if other.segment in of_clock)
        offset_s = 0.0
        if own.index != first.index:
            if not (anchor_ns and first.wall_clock_anchor_ns):
                return None
            offset_s = (anchor_ns - first.wall_clock_anchor_ns) / 1e9
        return offset_s + (row.stop - begin) * own.frame_interval_ms / 1000

    def status(self, run: Run, model: ModelFacts | None) -> StatusMessage:
        """What the journal says, in the words of a live run."""
        latencies = [row.latency_s for row in self.live.values() if row.latency_s is not None]
        p50, p99 = (float(value) for value in np.percentile(latencies, (50, 99))) if latencies else (None, None)
        last = self.counts[-1] if self.counts else None
        state = run.status
        return StatusMessage(
            frame=last.stop - 1 if last else 0,
            frames_seen=sum(row.stop - row.start - row.n_frames_missing for row in self.counts),
            lost=lost_by_cause(self.gaps),
            unknown_loss=any(gap.count is None for gap in self.gaps),
            latency_p50_s=p50,
            latency_p99_s=p99,
            windows_counts=len(self.counts),
            windows_live=len(self.live.keys() | self.full.keys()),
            calibrated=all((stored.camera or {}).get("is_calibrated", True) for stored in self.segments.values()),
            estimated=any("electrons_per_adu_error" in (stored.camera or {}) for stored in self.segments.values()),
            model=run.info.model,
            state="failed" if state == "interrupted" else "ended" if state == "complete" else "running",
            density_per_um2_frame=self.density(len(self.counts) - 1) if last else None,
            envelope_density=None if model is None else model.trained_density,
            preview=any(stored.segment.is_preview for stored in self.segments.values()),
        )


def key_of(row: CommittedWindow) -> Key:
    """(segment, window) of a row."""
    return (row.segment, row.window)


def lost_by_cause(gaps: Iterable[Gap]) -> dict[str, int]:
    """Frames known to be lost, by the name of the cause."""
    lost: dict[str, int] = {}
    for gap in gaps:
        lost[gap.cause.value] = lost.get(gap.cause.value, 0) + (gap.count or 0)
    return lost
