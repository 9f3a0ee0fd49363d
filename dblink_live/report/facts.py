"""Facts of a run for the report, without its pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dblink_live.store import Run
from dblink_live.store.journal import CommittedWindow, Event, FullFacts, LedgerDict, Status, StoredSegment
from dblink_live.types import Gap, RunInfo


@dataclass(frozen=True)
class MainSegment:
    """The longest segment: what pictures, movie and trust figures are taken from.

    Segments may differ in geometry and start with fresh network state; mixing them would give wrong numbers.
    """

    stored: StoredSegment
    counts: tuple[CommittedWindow, ...]
    """In order of time, as are the others."""
    live: tuple[CommittedWindow, ...]
    full: tuple[CommittedWindow, ...]
    window_frames: int

    @property
    def index(self) -> int:
        return self.stored.segment.index

    @property
    def pictures(self) -> tuple[CommittedWindow, ...]:
        """Those of the full pass where there is one, else the live ones, as `dblink-live analyze` takes them."""
        return self.full or self.live

    @property
    def frame_interval_ms(self) -> float | None:
        """None if the source does not state it."""
        return self.stored.segment.frame_interval_ms

    @property
    def window_s(self) -> float | None:
        """Duration of a window; None where unknown."""
        interval = self.frame_interval_ms
        return None if interval is None else interval * self.window_frames / 1000

    @property
    def is_calibrated(self) -> bool | None:
        """Whether the camera's offset and gain were known; None if the run does not state it."""
        camera = self.stored.camera
        return None if camera is None or "is_calibrated" not in camera else bool(camera["is_calibrated"])

    @property
    def is_estimated(self) -> bool:
        """Whether the camera's offset and gain were estimated from the frames."""
        return "electrons_per_adu_error" in (self.stored.camera or {})


@dataclass(frozen=True)
class RunReport:
    """The facts of one run at one moment."""

    name: str
    info: RunInfo
    status: Status
    window_frames: int
    segments: tuple[StoredSegment, ...]
    windows: dict[str, int]
    """Committed windows by product, of all segments."""
    gaps: tuple[Gap, ...]
    events: tuple[Event, ...]
    ledgers: dict[int, LedgerDict]
    full: FullFacts | None
    main: MainSegment | None
    """None in a run without a window."""

    @property
    def lost_frames(self) -> dict[str, int]:
        """Frames known to be lost, by cause, of all segments."""
        lost: Counter[str] = Counter()
        for gap in self.gaps:
            lost[gap.cause.value] += gap.count or 0
        return {cause: count for cause, count in sorted(lost.items()) if count}

    @property
    def n_unknown_losses(self) -> int:
        """Losses of unknown size."""
        return sum(gap.count is None for gap in self.gaps)

    @property
    def segments_without_ledger(self) -> list[int]:
        """Segments that did not end in order."""
        return [stored.segment.index for stored in self.segments if stored.segment.index not in self.ledgers]


def gather(run: Run) -> RunReport:
    """Return the facts of ``run`` as they are now."""
    with run.snapshot():
        segments = tuple(run.segments)
        windows = {product: run.windows(product) for product in ("counts", "live", "full")}
        return RunReport(
            name=run.path.resolve().name,
            info=run.info,
            status=run.status,
            window_frames=run.window_frames,
            segments=segments,
            windows={product: len(rows) for product, rows in windows.items()},
            gaps=tuple(run.gaps),
            events=tuple(run.events),
            ledgers=run.ledger,
            full=run.full_facts,
            main=_longest(segments, windows, run.window_frames),
        )


def _longest(
    segments: tuple[StoredSegment, ...], windows: dict[str, list[CommittedWindow]], window_frames: int
) -> MainSegment | None:
    of_segment = {
        stored.segment.index: {
            product: tuple(sorted((row for row in rows if row.segment == stored.segment.index), key=_window_number))
            for product, rows in windows.items()
        }
        for stored in segments
    }
    best = max(segments, key=lambda stored: len(of_segment[stored.segment.index]["counts"]), default=None)
    if best is None or not of_segment[best.segment.index]["counts"]:
        return None
    found = of_segment[best.segment.index]
    return MainSegment(best, found["counts"], found["live"], found["full"], window_frames)


def _window_number(row: CommittedWindow) -> int:
    return row.window
