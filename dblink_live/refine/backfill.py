"""Makes windows whole that live processing had to skip, from the camera frames that were recorded.

A window of which frames are missing is localized again from the recorded ones and counted anew. What is committed is
never rewritten: such windows go into a product of their own, ``mended``, and the pass takes them in the place of those
in ``counts``. So it does with windows that live processing never came to: those of a gap so long that it began a new
segment, and those that a recorder still wrote when everything else had died.

The same localizer with the same settings finds, frame by frame, what it would have found live. One that learns from
the first frames is shown them once more, and one that looks at a frame's neighbours is shown those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from dblink_live.config import AUTO, RunConfig, run_config_from_plain
from dblink_live.errors import StoreError
from dblink_live.interfaces import Localizer
from dblink_live.registry import get_localizer_factory
from dblink_live.store import CommittedWindow, RawFrames, Run, RunWriter, StoredSegment, open_run, read_raw
from dblink_live.types import Camera, Gap, GapCause, LocalizationMap, Localizations
from dblink_live.windows import WindowAccumulator

LEARNING_FRAMES = 64
"""A localizer that learns is shown so many frames at a time, from the segment's beginning on."""
MAX_LEARNING_FRAMES = 1024
"""And no more than these, where it does not say that it knows enough."""


class LackingWindow(NamedTuple):
    """A window that lacks frames which were recorded."""

    window: int
    start: int
    stop: int
    """Camera frame numbers [start, stop)."""


@dataclass(frozen=True)
class LackingSegment:
    """Windows of one segment that can be completed from recorded frames."""

    stored: StoredSegment
    camera: Camera
    raw: RawFrames
    first_frame: int
    """Of the segment."""
    windows: list[LackingWindow]


@dataclass
class BackfillSummary:
    """Numbers of completed and incomplete windows."""

    n_mended: int = 0
    """Windows that were localized and counted again."""
    n_left: int = 0
    """Windows that lack frames which were not recorded, or could not be used."""
    reasons: list[str] = field(default_factory=list)
    """Why recorded frames could not be used."""
    stopped_early: bool = False


class Backfill:
    """Complete windows from recorded frames: found at construction, done by `run`.

    Parameters
    ----------
    path
        A run folder that no other process writes to.

    Raises
    ------
    StoreError
        It is no run, or another process writes to it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._summary = BackfillSummary()
        self.is_recorded = bool(read_raw(self._path))
        """Whether there are camera frames to mend windows from."""
        with open_run(path) as run:
            self._config = run_config_from_plain(run.config)
            self._segments = list(_lacking(run, self._summary))
            if self._segments and run.status in ("running", "finalizing"):
                raise StoreError(
                    f"expected {path} to have no writer, but another process is writing to it; wait until it has ended"
                )
            if self._segments and run.committed_count("full"):
                self._summary.n_left += self.n_windows
                self._summary.reasons.append("the full pass was begun without them")
                self._segments = []

    @property
    def n_windows(self) -> int:
        """Windows that can be mended."""
        return sum(len(segment.windows) for segment in self._segments)

    def run(
        self,
        on_progress: Callable[[int], None] = lambda done: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> BackfillSummary:
        """Mend them, unless ``should_stop`` says that it is enough; what is done stays, and the rest is done next time.

        Raises
        ------
        StoreError
            Another process is writing to the run, or the disk failed. What was committed is intact.
        """
        if not self._segments:
            return self._summary
        with RunWriter.append_to(self._path) as writer:
            for segment in self._segments:
                for map_and_localizations in _mend(segment, self._config):
                    writer.write_map(*map_and_localizations, product="mended")
                    self._summary.n_mended += 1
                    on_progress(self._summary.n_mended)
                    if should_stop():
                        self._summary.stopped_early = True
                        break
                if self._summary.stopped_early:
                    break
            writer.event(f"{self._summary.n_mended} windows that lacked frames were made whole from raw ones")
        return self._summary


def _lacking(run: Run, summary: BackfillSummary) -> Iterator[LackingSegment]:
    """Segments with windows that recorded frames can make whole; what cannot be done goes into ``summary``."""
    recorded = read_raw(run.path)
    segments = run.segments
    mended = {(row.segment, row.window) for row in run.windows("mended")}
    for position, stored in enumerate(segments):
        index = stored.segment.index
        rows = run.windows("counts", index)
        lacking = _without_frames(rows, mended)
        raw = _recording_of(stored, recorded)
        camera = stored.to_camera()
        if not rows or raw is None or camera is None:
            summary.n_left += len(lacking)
            if lacking and raw is not None:
                summary.reasons.append(f"the run does not hold the camera facts of segment {index} pixel by pixel")
            continue
        better = [row for row in lacking if _n_recorded(raw, row.start, row.stop) > _n_seen(row)]
        summary.n_left += len(lacking) - len(better)
        windows = [LackingWindow(row.window, row.start, row.stop) for row in better]
        limit = _end_of(raw, recorded, segments[position + 1 :], run)
        beyond = _beyond(rows[-1], run.window_frames, limit, raw)
        windows += [window for window in beyond if (index, window.window) not in mended]
        if windows:
            first_frame = rows[0].start - rows[0].window * run.window_frames
            yield LackingSegment(stored, camera, raw, first_frame, windows)


def _without_frames(rows: list[CommittedWindow], mended: set[tuple[int, int]]) -> list[CommittedWindow]:
    return [row for row in rows if row.n_frames_missing and (row.segment, row.window) not in mended]


def _recording_of(stored: StoredSegment, recorded: list[RawFrames]) -> RawFrames | None:
    """The recording of the camera that a segment is of; None where there is none of its kind of frames."""
    # Of two that begin with the same segment, the first was of a camera that died before its segment was announced.
    begun = [raw for raw in recorded if raw.session.first_segment <= stored.segment.index]
    if not begun or not len(begun[-1].numbers):
        return None
    raw = begun[-1]
    # After a camera restarted its numbering, recorded frames cannot be told apart by number.
    is_clear = raw.frame_shape == stored.segment.shape and bool(np.all(np.diff(raw.numbers) > 0))
    return raw if is_clear else None


def _n_seen(row: CommittedWindow) -> int:
    return row.stop - row.start - row.n_frames_missing


def _n_recorded(raw: RawFrames, start: int, stop: int) -> int:
    first, last = np.searchsorted(raw.numbers, [start, stop])
    return int(last - first)


def _end_of(raw: RawFrames, recorded: list[RawFrames], later: list[StoredSegment], run: Run) -> int:
    """One past the last frame that can be a segment's: where the next one begins, or the recording ends."""
    end = int(raw.numbers[-1]) + 1
    of_the_same_camera = (other for other in later if _recording_of(other, recorded) is raw)
    begins = [row.start for other in of_the_same_camera for row in run.windows("counts", other.segment.index)[:1]]
    return min([end, *begins])


def _beyond(last: CommittedWindow, window_frames: int, limit: int, raw: RawFrames) -> list[LackingWindow]:
    """Whole windows behind the ``last`` committed one, as far as ``limit``, of which frames were recorded."""
    numbers = raw.numbers[(raw.numbers >= last.stop) & (raw.numbers < limit)]
    starts = (last.stop + n * window_frames for n in np.unique((numbers - last.stop) // window_frames).tolist())
    return [
        LackingWindow(last.window + 1 + (start - last.stop) // window_frames, start, start + window_frames)
        for start in starts
        if start + window_frames <= limit
    ]


def _mend(segment: LackingSegment, config: RunConfig) -> Iterator[tuple[LocalizationMap, Localizations]]:
    """The windows of one segment, localized and counted again."""
    # The run may come from a machine with another device.
    settings = msgspec.structs.replace(config.localizer, device=AUTO)
    localizer = get_localizer_factory(settings.name)(segment.camera, **settings.to_options())
    learns = settings.psf_sigma_px is None
    shown_to = segment.first_frame
    for window in segment.windows:
        _show_what_comes_before(localizer, segment, shown_to, window, learns)
        yield _count(localizer, segment, window)
        shown_to = window.stop


def _show_what_comes_before(
    localizer: Localizer, segment: LackingSegment, shown_to: int, window: LackingWindow, learns: bool
) -> None:
    """Show a localizer the frames before a window: all of them while it learns, then as many as a window holds."""
    limit = min(window.start, segment.first_frame + MAX_LEARNING_FRAMES)
    while learns and shown_to < limit and getattr(localizer, "psf_sigma_px", None) is None:
        stop = min(shown_to + LEARNING_FRAMES, limit)
        _localize(localizer, segment.raw, shown_to, stop)
        shown_to = stop
    if shown_to < window.start:
        # For a localizer that carries something from frame to frame.
        _localize(localizer, segment.raw, max(shown_to, 2 * window.start - window.stop), window.start)


def _localize(localizer: Localizer, raw: RawFrames, start: int, stop: int) -> None:
    numbers, frames = raw.read_numbers(start, stop)
    if len(numbers):
        localizer.localize(frames, numbers)


def _count(
    localizer: Localizer, segment: LackingSegment, window: LackingWindow
) -> tuple[LocalizationMap, Localizations]:
    stored = segment.stored
    index = stored.segment.index
    accumulator = WindowAccumulator(
        stored.grid,
        segment.camera.pixel_size_nm,
        window.stop - window.start,
        segment=index,
        first_frame=window.start,
    )
    numbers, frames = segment.raw.read_numbers(window.start, window.stop)
    localizations = localizer.localize(frames, numbers)
    completed = []
    follows = window.start
    # Runs of frames that follow each other, with what lies between them, and what is missing at the end.
    breaks = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    for first, last in pairwise(breaks):
        start, stop = int(numbers[first]), int(numbers[last - 1]) + 1
        if start > follows:
            completed += accumulator.add_gap(Gap(index, follows - 1, start - follows, GapCause.RECORD))
        low, high = np.searchsorted(localizations["frame"], [start, stop])
        run = numbers[first:last]
        completed += accumulator.add(run, np.zeros(len(run), np.int64), localizations[low:high])
        follows = stop
    if follows < window.stop:
        completed += accumulator.add_gap(Gap(index, follows - 1, window.stop - follows, GapCause.RECORD))
    (whole,) = completed
    return replace(whole.map, window=window.window), whole.localizations
