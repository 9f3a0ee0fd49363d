"""The live line: frames in; localizations, maps, reconstructions out, into a run folder and to the viewer.

`LiveLoop` runs in one thread, on purpose: the camera has a process of its own, so a busy moment here makes the ring
fuller and costs no frame until the ring is full; then whole frames are skipped, counted as this process's own loss,
and the windows concerned carry their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from dblink_live.bus import StatusMessage
from dblink_live.bus.messages import RunState
from dblink_live.camera.resolve import pixel_size_conflict, resolve_camera
from dblink_live.config import RunConfig
from dblink_live.errors import SourceError
from dblink_live.interfaces import Explaining, FrameSource, Localizer, SourceEvent
from dblink_live.latency import GATHER_S, MAX_FRAMES_PER_READ, READ_TIMEOUT_S
from dblink_live.ledger import Ledger, total_lost
from dblink_live.models import Model, StreamingReconstructor
from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.stall_detector import StallDetector
from dblink_live.registry import get_localizer_factory
from dblink_live.status import LatencyRecorder, LatencySummary, RateMeter
from dblink_live.store import RunWriter
from dblink_live.types import Camera, Frame, FrameArray, Gap, GapCause, Grid, Localizations, Reconstruction, Segment
from dblink_live.windows import CompletedWindow, WindowAccumulator

DENSITY_MEMORY = 0.9
"""Weight of the past in the running average of the localization density, a batch of frames."""


@dataclass
class _OpenSegment:
    """What belongs to the segment that is being recorded."""

    segment: Segment
    camera: Camera
    grid: Grid
    localizer: Localizer
    reconstructor: StreamingReconstructor
    ledger: Ledger
    accumulator: WindowAccumulator | None = None
    """Made when the first frame number is known."""


@dataclass(frozen=True)
class LineTotals:
    """What the line has done, over all segments."""

    frames_seen: int
    frames_committed: int
    frames_tail: int
    lost: dict[str, int]
    has_unknown_loss: bool
    fps_held: float | None
    latency: LatencySummary
    windows_counts: int
    windows_live: int
    is_calibrated: bool
    stopped_early: bool
    is_preview: bool = False
    """Whether another program acquired the frames, and this one looked at them in passing."""


class LiveLoop:
    """Moves frames from a source to a run folder until the source ends or ``should_stop`` says so.

    Parameters
    ----------
    source
        Already opened; closed by the caller.
    model
        The network and its facts.
    config
        The resolved configuration.
    writer
        The run folder; closed by the caller.
    default_camera
        What the source vouches for when the configuration is silent.
    first_segment
        Index of the first segment: above 0 in a run that is resumed.
    pictures
        Where the viewer's pictures go; None for none.
    on_progress
        Called after each batch with the number of frames seen so far.
    should_stop
        Asked after each batch; once true, the camera is stopped and what it had taken is still processed.
    """

    def __init__(
        self,
        source: FrameSource,
        model: Model,
        config: RunConfig,
        writer: RunWriter,
        *,
        default_camera: Camera | None = None,
        first_segment: int = 0,
        pictures: PreviewPublisher | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._model = model
        self._config = config
        self._writer = writer
        self._default_camera = default_camera
        self._pictures = pictures
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._open: _OpenSegment | None = None
        self._next: Segment | None = None
        """What follows a gap that ended a segment: it begins with its first frame, if no other is announced before."""
        self._n_segments = first_segment
        self._closed: list[Ledger] = []
        self._latency = LatencyRecorder()
        self._rate = RateMeter()
        self._n_counts = self._n_live = 0
        self._n_arrived = 0
        self._first_ns = self._last_ns = 0
        self._last_number = 0
        self._density: float | None = None
        self._is_calibrated = True
        self._is_preview = False
        self._stopping = False
        self.last_frame: FrameArray | None = None
        """The newest camera frame [H, W]."""
        self.pixel_size_nm = 0.0
        """Camera pixel of the newest segment."""

    def run(self, first_segment: Segment) -> LineTotals:
        """Process everything the source gives; the tail is reconstructed before this returns or raises.

        Raises
        ------
        SourceError
            The source failed on the way. What it gave before is committed.
        StoreError
            The run folder cannot be written any more. What was committed before stays valid.
        """
        self._begin_segment(first_segment)
        silence = StallDetector()
        failure: SourceError | None = None
        while True:
            if self._should_stop() and not self._stopping:
                self._stopping = True
                self._source.stop()
            try:
                events = self._source.read(MAX_FRAMES_PER_READ, READ_TIMEOUT_S)
            except SourceError as error:
                failure = error
                break
            if not events and self._source.is_finished:
                break
            self._digest(events)
            self._report("ending" if self._stopping else "running", self._words_about(silence, bool(events)))
            if self._source.is_live and len(events) < MAX_FRAMES_PER_READ:
                # A few frames together cost the localizer little more than one alone.
                time.sleep(GATHER_S)
        self._end_segment()
        if failure is not None:
            self._writer.event(f"the source failed: {failure}")
            self._report("failed", str(failure))
            raise failure
        self._report("ended")
        return self.totals()

    def _words_about(self, silence: StallDetector, has_come: bool) -> str:
        """What there is to say about a camera that gives nothing; a change of that goes into the run's log."""
        if not self._source.is_live or self._stopping:
            return ""
        change = silence.look(has_come, self._open.segment.frame_interval_ms if self._open else None)
        if change is not None:
            self._writer.event(change)
        return silence.words

    def totals(self) -> LineTotals:
        """Sums over the segments so far."""
        ledgers = [*self._closed, *([self._open.ledger] if self._open else [])]
        span_s = (self._last_ns - self._first_ns) * 1e-9
        return LineTotals(
            frames_seen=sum(ledger.n_seen for ledger in ledgers),
            frames_committed=sum(ledger.n_committed for ledger in ledgers),
            frames_tail=sum(ledger.n_tail for ledger in ledgers),
            lost=total_lost(ledgers),
            has_unknown_loss=any(ledger.n_unknown for ledger in ledgers),
            fps_held=(self._n_arrived - 1) / span_s if span_s > 0 else None,
            latency=self._latency.summary(),
            windows_counts=self._n_counts,
            windows_live=self._n_live,
            is_calibrated=self._is_calibrated,
            stopped_early=self._stopping,
            is_preview=self._is_preview,
        )

    def _digest(self, events: Iterable[SourceEvent]) -> None:
        batch: list[Frame] = []
        for event in events:
            if isinstance(event, Frame):
                batch.append(event)
                continue
            self._process(batch)
            batch = []
            if isinstance(event, Gap):
                self._skip(event)
            else:
                self._end_segment()
                self._begin_segment(event)
        self._process(batch)

    def _begin_segment(self, announced: Segment) -> None:
        self._next = None
        # Numbered here: a long gap starts a segment that the source knows nothing of.
        segment = replace(announced, index=self._n_segments)
        self._n_segments += 1
        camera = resolve_camera(self._config.camera, segment, self._default_camera)
        self._is_calibrated = self._is_calibrated and camera.is_calibrated
        self.pixel_size_nm = camera.pixel_size_nm
        self._is_preview = segment.is_preview
        grid = Grid.covering(segment.shape, camera.pixel_size_nm, self._model.pixel_size_nm)
        self._writer.begin_segment(segment, grid, camera=camera)
        conflict = pixel_size_conflict(self._config.camera, segment)
        if conflict is not None:
            self._writer.event(conflict)
        self._open = _OpenSegment(
            segment=segment,
            camera=camera,
            grid=grid,
            localizer=get_localizer_factory(self._config.localizer.name)(camera, **self._config.localizer.to_options()),
            reconstructor=StreamingReconstructor(
                self._model,
                lookahead=self._config.reconstruct.lookahead,
                hop=self._config.reconstruct.hop,
                provisional=self._config.reconstruct.provisional and self._pictures is not None,
            ),
            ledger=Ledger(segment=segment.index),
        )
        if self._pictures is not None:
            self._pictures.begin_segment()

    def _end_segment(self) -> None:
        if self._open is None:
            return
        current = self._open
        if current.accumulator is not None:
            current.ledger = current.ledger.with_tail(current.accumulator.flush())
        self._emit(current.reconstructor.flush())
        if isinstance(current.localizer, Explaining):
            for note in current.localizer.notes():
                self._writer.event(note)
        self._writer.write_ledger(current.segment.index, current.ledger.to_plain())
        self._closed.append(current.ledger)
        self._open = None

    def _process(self, batch: list[Frame]) -> None:
        if not batch:
            return
        self._begin_next()
        if self._open is None:
            return
        current = self._open
        numbers = np.array([frame.number for frame in batch], dtype=np.int64)
        times = np.array([frame.t_host_ns for frame in batch], dtype=np.int64)
        data: FrameArray = np.stack([frame.data for frame in batch])  # type: ignore[assignment]  # all of one dtype
        localizations = current.localizer.localize(data, numbers)
        current.ledger = current.ledger.with_frames(len(batch))
        self._n_arrived += len(batch)
        self._rate.add(len(batch))
        self._first_ns = self._first_ns or int(times[0])
        self._last_ns, self._last_number = int(times[-1]), int(numbers[-1])
        self.last_frame = batch[-1].data
        self._track_density(localizations, len(batch), current)
        self._commit(self._accumulator(int(numbers[0])).add(numbers, times, localizations))
        if self._pictures is not None:
            self._pictures.camera(batch[-1], current.camera)

    def _skip(self, gap: Gap) -> None:
        """Account for frames that will not come; a loss too long or of unknown size ends the segment."""
        self._begin_next()
        if self._open is None:
            return
        current = self._open
        own = replace(gap, segment=current.segment.index)
        current.ledger = current.ledger.with_gap(own)
        self._writer.record_gap(own)
        if gap.cause is GapCause.DESELECTED:
            return  # Frames of another channel or position: nothing is missing from this one.
        longest = self._most_missing_windows(gap.cause)
        if gap.count is None or gap.count > longest * self._config.windows.frames:
            self._end_segment()
            self._next = replace(current.segment, reason=f"gap ({gap.cause.value})")
        else:
            self._commit(self._accumulator(gap.after + 1).add_gap(own))

    def _most_missing_windows(self, cause: GapCause) -> int:
        """Windows that a gap may span without ending the segment.

        A picture of a window without frames costs as much as any. A line that is too slow makes no more of them than it
        looks at for a picture, unless a recording will fill them: it would fall behind further.
        """
        most, settings = self._config.windows.max_gap_windows, self._config.reconstruct
        if cause is GapCause.RECONSTRUCT and not self._config.store.record:
            return min(most, settings.lookahead + settings.hop)
        return most

    def _begin_next(self) -> None:
        if self._next is not None:
            self._begin_segment(self._next)

    def _accumulator(self, first_frame: int) -> WindowAccumulator:
        current = self._open
        if current is None:
            raise SourceError("frames arrived before a segment was announced")
        if current.accumulator is None:
            current.accumulator = WindowAccumulator(
                current.grid,
                current.camera.pixel_size_nm,
                self._config.windows.frames,
                segment=current.segment.index,
                first_frame=first_frame,
            )
        return current.accumulator

    def _commit(self, windows: Iterable[CompletedWindow]) -> None:
        current = self._open
        if current is None:
            return
        for window in windows:
            map = window.map
            self._writer.write_map(map, window.localizations)
            current.ledger = current.ledger.with_committed(map.n_frames - map.n_frames_missing)
            self._n_counts += 1
            if self._pictures is not None:
                self._pictures.counts(map)
            self._emit(current.reconstructor.push(map))

    def _emit(self, reconstructions: Iterable[Reconstruction]) -> None:
        current = self._open
        if current is None:
            return
        for reconstruction in reconstructions:
            if reconstruction.stage != "provisional":
                self._writer.write_reconstruction(reconstruction)
                self._latency.add(reconstruction.latency_s)
                self._n_live += 1
            if self._pictures is not None:
                self._pictures.reconstruction(reconstruction, current.grid)

    def _track_density(self, localizations: Localizations, n_frames: int, current: _OpenSegment) -> None:
        height, width = current.segment.shape
        area_um2 = height * width * (current.camera.pixel_size_nm * 1e-3) ** 2
        density = len(localizations) / (n_frames * area_um2)
        past = density if self._density is None else self._density
        self._density = DENSITY_MEMORY * past + (1 - DENSITY_MEMORY) * density

    def _report(self, state: RunState, message: str = "") -> None:
        self._on_progress(
            sum(ledger.n_seen for ledger in self._closed) + (self._open.ledger.n_seen if self._open else 0)
        )
        pictures = self._pictures
        if pictures is None or not (pictures.status_is_due() or state in ("ended", "failed")):
            return
        totals = self.totals()
        interval_ms = self._open.segment.frame_interval_ms if self._open else None
        pictures.status(
            StatusMessage(
                frame=self._last_number,
                frames_seen=totals.frames_seen,
                frames_committed=totals.frames_committed,
                lost=totals.lost,
                unknown_loss=totals.has_unknown_loss,
                fps_asked=1000.0 / interval_ms if interval_ms else None,
                # While it runs, an operator asks for the last seconds; afterwards, for the whole run.
                fps_held=self._rate.rate_hz() if state in ("running", "ending") else totals.fps_held,
                latency_p50_s=totals.latency.p50,
                latency_p99_s=totals.latency.p99,
                windows_counts=totals.windows_counts,
                windows_live=totals.windows_live,
                calibrated=totals.is_calibrated,
                device=str(self._model.device),
                model=self._model.name,
                lookahead=self._config.reconstruct.lookahead,
                hop=self._config.reconstruct.hop,
                state=state,
                message=message,
                density_per_um2_frame=self._density,
                envelope_density=self._model.envelope.density,
                drift_nm=pictures.drift_nm,
                preview=totals.is_preview,
            )
        )
