"""The live loop: frames in; localizations, maps and pictures out, into a run folder and to the viewers.

The loop itself reads the source and keeps watch. The work is done by stages that run side by side, each in a thread of
its own behind a bounded queue (`dblink_live.pipeline.stages`):

    source -> [loop: segments, ledger] -> localize -> bin -> reconstruct -> store
                                              \\        \\ \\__________________/
                                               \\________\\____________\\-> publish

The camera has a process of its own: a busy moment here makes the ring fuller and costs no frame until the ring is
full; then whole frames are skipped, counted as this process's own loss, and their windows carry the number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from dblink_live.bus import StatusMessage
from dblink_live.bus.messages import RunState, StageMessage
from dblink_live.config import RunConfig
from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, Skipping
from dblink_live.latency import CATCHES_UP_BELOW, GATHER_S, LOCALIZER_SHARE, MAX_FRAMES_PER_READ, READ_TIMEOUT_S
from dblink_live.ledger import total_lost
from dblink_live.models import Model
from dblink_live.pipeline.camera_check import CameraCheck
from dblink_live.pipeline.camera_estimate import CameraEstimator
from dblink_live.pipeline.overload.live_region import Box, RegionRequest
from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.recording.frame_accounts import FrameAccounts
from dblink_live.pipeline.recording.segmenter import Segmenter
from dblink_live.pipeline.stages.bin import BinOutput, BinStage
from dblink_live.pipeline.stages.items import ForLocalize, FrameBatch, SegmentStart
from dblink_live.pipeline.stages.localize import LocalizeStage
from dblink_live.pipeline.stages.publish import PublishStage
from dblink_live.pipeline.stages.reconstruct import ReconstructStage
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.pipeline.stages.store import StoreStage
from dblink_live.pipeline.stall_detector import StallDetector
from dblink_live.pipeline.totals import LineTotals
from dblink_live.store import RunWriter
from dblink_live.types import Camera, FrameArray, Gap, Segment
from dblink_live.windows import CompletedWindow

_LOG = logging.getLogger(__name__)

WATCH_S = 0.1
"""While the loop waits for a stage, it keeps watch and tells the status so often."""


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
    estimated_camera
        What an interrupted run had estimated of its camera.
    pictures
        Where the viewer's pictures go; None for none.
    n_pixels_held
        Camera pixels that this machine is expected to hold live; None where nobody knows.
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
        estimated_camera: Camera | None = None,
        pictures: PreviewPublisher | None = None,
        n_pixels_held: float | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._model = model
        self._config = config
        self._writer = writer
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._camera_check = CameraCheck()
        self._camera_estimator = CameraEstimator(source.is_live, estimated_camera)
        self._is_calibrated, self._is_estimated = True, False
        self._accounts = FrameAccounts()
        self._segments = Segmenter(
            config, model.pixel_size_nm, self._accounts, default_camera=default_camera, first_segment=first_segment
        )
        self._publish = None if pictures is None else PublishStage(pictures)
        self._store = StoreStage(writer, self._accounts)
        self._reconstruct = ReconstructStage(
            model,
            config,
            is_live=source.is_live,
            n_pixels_held=n_pixels_held,
            provisional=config.reconstruct.provisional and pictures is not None,
            store=self._store.stage.put,
            show=self._publish.network if self._publish is not None else None,
        )
        self._bin = BinStage(config.windows.frames, self._accounts, self._hand_out)
        self._localize = LocalizeStage(
            config.localizer, self._bin.stage.put, self._publish.camera if self._publish is not None else None
        )
        self._n_arrived = 0
        self._first_ns = self._last_ns = 0
        self._last_number = 0
        self._is_preview = False
        self._stopping = False
        self.last_frame: FrameArray | None = None
        """The newest camera frame [H, W]."""

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel of the newest segment."""
        return self._segments.pixel_size_nm

    def run(self, first_segment: Segment) -> LineTotals:
        """Process everything the source gives; the tail is reconstructed before this returns or raises.

        Raises
        ------
        SourceError
            The source failed on the way. What it gave before is committed.
        StoreError
            The run folder cannot be written any more. What was committed before stays valid.
        DblinkError
            A stage failed. What the stages behind it had been given is committed.
        """
        for stage in self._stages:
            stage.start()
        try:
            self._put([self._segments.begin(first_segment)])
            failure = self._read_all()
            if self._failed is None:
                self._put(self._segments.end())
                self._pass_on(self._camera_estimator.finish())
            self._say_of_camera(self._camera_check.finish())
            self._finish()
        except BaseException:
            for stage in self._stages:
                stage.discard()
                stage.join()
            raise
        if failure is not None:
            self._writer.event(f"the source failed: {failure}")
            self._report("failed", str(failure))
            raise failure
        self._report("ended")
        return self.totals()

    def ask_for_region(self, request: RegionRequest) -> None:
        """Move the live region with the next window. May be called from any thread.

        Raises
        ------
        ConfigError
            The region does not lie in the field, or no frame has come yet.
        """
        self._reconstruct.ask_for_region(request)

    def left(self) -> str:
        """Return what is still to be done, in words, for a user who waits for the end; from any thread."""
        n_frames = sum(ledger.n_in_flight for ledger in self._accounts.ledgers)
        n_frames += self._source.n_waiting if isinstance(self._source, Skipping) else 0
        n_windows = self._reconstruct.stage.depth
        rate = self._localize.stage.status().rate_hz
        seconds = f"{n_frames / rate:.0f} s, " if rate > 0 else ""
        return f"{n_frames} frames to localize ({seconds}{n_windows} windows wait for the network)"

    def totals(self) -> LineTotals:
        """Sums over the segments so far."""
        ledgers = self._accounts.ledgers
        span_s = (self._last_ns - self._first_ns) * 1e-9
        return LineTotals(
            frames_seen=sum(ledger.n_seen for ledger in ledgers),
            frames_committed=sum(ledger.n_committed for ledger in ledgers),
            frames_tail=sum(ledger.n_tail for ledger in ledgers),
            lost=total_lost(ledgers),
            has_unknown_loss=any(ledger.n_unknown for ledger in ledgers),
            fps_held=(self._n_arrived - 1) / span_s if span_s > 0 else None,
            latency=self._reconstruct.latency.summary(),
            windows_counts=self._store.n_counts,
            windows_live=self._store.n_live,
            is_calibrated=self._is_calibrated,
            is_estimated=self._is_estimated,
            stopped_early=self._stopping,
            is_preview=self._is_preview,
            budget_s=self._reconstruct.budget_s,
            live_region=self._reconstruct.region,
            density_per_um2_frame=self._localize.density_per_um2,
            sample=self._bin.watch.sample,
            degraded=tuple(self._reconstruct.stretches),
            stages=tuple(stage.status() for stage in self._stages),
        )

    @property
    def _stages(self) -> list[Stage[Any]]:
        """In the order in which they are closed: each has been given everything once those before it have ended."""
        stages: list[Stage[Any]] = [self._localize.stage, self._bin.stage, self._reconstruct.stage, self._store.stage]
        if self._publish is not None:
            stages.append(self._publish.stage)
        return stages

    @property
    def _failed(self) -> Stage[Any] | None:
        """The first stage that has failed."""
        return next((stage for stage in self._stages if stage.error is not None), None)

    def _read_all(self) -> SourceError | None:
        """Hand over what the source gives until it ends, or a stage fails; return what the source failed with."""
        silence = StallDetector()
        while self._failed is None:
            if self._should_stop() and not self._stopping:
                self._stopping = True
                self._source.stop()
            self._bound_waiting()
            try:
                most = self._localize.n_frames_per_batch if self._source.is_live else MAX_FRAMES_PER_READ
                events = self._source.read(most, READ_TIMEOUT_S)
            except SourceError as error:
                return error
            if not events and self._source.is_finished:
                return None
            self._put(self._segments.items(events))
            self._say_of_camera(self._camera_check.sentences())
            self._report("ending" if self._stopping else "running", self._words_about(silence, bool(events)))
            if self._source.is_live and len(events) < most:
                time.sleep(GATHER_S)
        self._source.stop()
        return None

    def _bound_waiting(self) -> None:
        """Frames that wait too long for the localizer are skipped, for what is shown must not become old."""
        if isinstance(self._source, Skipping):
            current, slack_s = self._segments.current, self._reconstruct.slack_s
            interval_ms = current.segment.frame_interval_ms if current else None
            # A localizer that is faster than the camera catches up by itself, and nothing is lost. What a camera had
            # taken when it was stopped is all processed.
            falls_behind = interval_ms is not None and 1e3 * self._localize.s_per_frame > CATCHES_UP_BELOW * interval_ms
            skips = falls_behind and slack_s is not None and not self._stopping
            self._source.max_age_s = LOCALIZER_SHARE * slack_s if skips and slack_s is not None else None

    def _put(self, items: Iterable[ForLocalize]) -> None:
        self._pass_on(self._camera_estimator.items(map(self._noted, items)))

    def _noted(self, item: ForLocalize) -> ForLocalize:
        """Take note of what arrived."""
        if isinstance(item, FrameBatch):
            newest = item.frames[-1]
            self._n_arrived += len(item.frames)
            self._first_ns = self._first_ns or item.frames[0].t_host_ns
            self._last_ns, self._last_number, self.last_frame = newest.t_host_ns, newest.number, newest.data
        return item

    def _pass_on(self, items: Iterable[ForLocalize]) -> None:
        for item in items:
            if isinstance(item, FrameBatch):
                self._camera_check.see(item.frames)
            elif isinstance(item, SegmentStart):
                self._is_preview = item.segment.is_preview
                self._is_calibrated = self._is_calibrated and item.camera.is_calibrated
                self._is_estimated = self._is_estimated or item.camera.is_estimated
                self._camera_check.begin(item.camera)
                self._say_of_camera(self._camera_estimator.sentences())
            while not self._localize.stage.put(item, WATCH_S):
                self._report("ending" if self._stopping else "running")

    def _say_of_camera(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self._writer.event(sentence)
            _LOG.warning("%s", sentence)

    def _hand_out(self, item: BinOutput) -> None:
        """What is binned goes to the store first, so that a map is there before its picture."""
        if isinstance(item, CompletedWindow):
            self._store.stage.put(item)
            self._reconstruct.stage.put(item.map)
            if self._publish is not None:
                self._publish.stage.put(item.map)
        elif isinstance(item, Gap):
            self._store.stage.put(item)
        elif isinstance(item, SegmentStart):
            self._store.stage.put(item)
            self._reconstruct.stage.put(item)
            if self._publish is not None:
                self._publish.stage.put(item)
        else:
            self._reconstruct.stage.put(item)

    def _finish(self) -> None:
        """Let the stages end, one after the other, each with everything that it was given; raise what one raised."""
        for stage in self._stages:
            stage.close()
            while not stage.join(WATCH_S):
                self._report("ending")
        failed = self._failed
        if failed is not None and failed.error is not None:
            if failed is not self._store.stage:
                self._writer.event(f"{failed.name} failed: {failed.error}")
            self._report("failed", f"{failed.name}: {failed.error}")
            raise failed.error

    def _is_whole(self, region: Box | None) -> bool:
        current = self._segments.current
        return region is None or current is None or region == Box.whole(current.segment.shape)

    def _words_about(self, silence: StallDetector, has_come: bool) -> str:
        """What there is to say about a camera that gives nothing; a change of that goes into the run's log."""
        if not self._source.is_live or self._stopping:
            return ""
        current = self._segments.current
        interval_ms = current.segment.frame_interval_ms if current else None
        change = silence.look(has_come, interval_ms, getattr(self._source, "lost_because", ""))
        if change is not None:
            self._writer.event(change)
        return silence.words

    def _report(self, state: RunState, message: str = "") -> None:
        self._on_progress(self._accounts.n_seen)
        pictures = None if self._publish is None else self._publish.pictures
        if pictures is None or not (pictures.status_is_due() or state in ("ended", "failed")):
            return
        totals = self.totals()
        current = self._segments.current
        interval_ms = current.segment.frame_interval_ms if current else None
        pictures.status(
            StatusMessage(
                frame=self._last_number,
                frames_seen=totals.frames_seen,
                frames_committed=totals.frames_committed,
                lost=totals.lost,
                unknown_loss=totals.has_unknown_loss,
                fps_asked=1000.0 / interval_ms if interval_ms else None,
                # While it runs, an operator asks for the last seconds; afterwards, for the whole run.
                fps_held=totals.stages[0].rate_hz if state in ("running", "ending") else totals.fps_held,
                latency_p50_s=totals.latency.p50,
                latency_p99_s=totals.latency.p99,
                windows_counts=totals.windows_counts,
                windows_live=totals.windows_live,
                calibrated=totals.is_calibrated,
                estimated=totals.is_estimated,
                device=str(self._model.device),
                model=self._model.name,
                lookahead=self._config.reconstruct.lookahead,
                hop=self._config.reconstruct.hop,
                state=state,
                message=message,
                density_per_um2_frame=totals.density_per_um2_frame,
                envelope_density=self._model.envelope.density,
                envelope_speed=self._model.envelope.speed,
                envelope_precision=self._model.envelope.precision,
                speed_nm_per_window=totals.sample.speed_nm_per_window,
                molecules_per_um2_window=totals.sample.molecules_per_um2,
                precision_nm=totals.sample.precision_nm,
                window_frames=totals.sample.window_frames,
                drift_nm=pictures.drift_nm,
                preview=totals.is_preview,
                latency_budget_s=totals.budget_s,
                step=self._reconstruct.step.value,
                live_region=totals.live_region,
                live_region_is_whole=self._is_whole(totals.live_region),
                stages=[
                    StageMessage(stage.name, stage.rate_hz, stage.depth, stage.capacity, stage.delay_s)
                    for stage in totals.stages
                ],
            )
        )
