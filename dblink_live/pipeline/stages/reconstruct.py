"""Reconstruct: window maps in, pictures out, within the latency budget and the live region."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dblink_live.config import RunConfig
from dblink_live.errors import ConfigError
from dblink_live.latency import Step, default_budget_s, waiting_s
from dblink_live.models import Model
from dblink_live.pipeline.live_stream import LiveStream, StreamOutput, WindowStep, padded
from dblink_live.pipeline.network_runner import NetworkRunner
from dblink_live.pipeline.overload.degradation import Degradation, Level, levels
from dblink_live.pipeline.overload.live_region import Box, RegionRequest, densest
from dblink_live.pipeline.stages.items import SegmentEnd, SegmentStart
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.status import Clock, LatencyRecorder
from dblink_live.store import LiveStep
from dblink_live.types import Grid, LocalizationMap, Reconstruction

FILE_CAPACITY = 4
"""Maps that wait where frames come from a file: more would only fill the memory."""
LIVE_MAP_BYTES = 256 << 20
"""What maps that wait may take where frames come at a camera's pace: binning goes on while the network is behind."""
MIN_LIVE_CAPACITY, MAX_LIVE_CAPACITY = 8, 512
CHOOSE_AFTER = 10
"""Windows after which the densest region is chosen."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive windows for which the same was given up."""

    segment: int
    from_window: int
    to_window: int
    """The last one."""
    step: Step


ReconstructInput = SegmentStart | LocalizationMap | SegmentEnd
ReconstructOutput = Reconstruction | LiveStep | SegmentEnd


@dataclass
class _Current:
    """What belongs to the segment at hand."""

    start: SegmentStart
    window_s: float | None
    """How long a window lasts; None where the camera's pace is unknown, or a file has none."""
    region: Box
    """The live region that was asked for; steps may make it smaller."""
    stream: LiveStream
    policy: Degradation | None
    """None where nothing is given up."""
    is_choosing: bool
    """Whether the densest region is still to be chosen."""
    n_maps: int = 0
    total: npt.NDArray[np.uint32] | None = None


class ReconstructStage:
    """Runs the network.

    Parameters
    ----------
    model
        The network and its facts.
    config
        Of the run.
    is_live
        Whether frames come at a camera's pace, so that a picture may come too late.
    provisional
        Whether provisional pictures are made, too.
    n_pixels_held
        Camera pixels whose pictures this machine is expected to make in time; None where nobody knows.
    store
        Takes pictures to be stored, what was given up for windows, and a segment's end once its last picture is made.
    show
        Takes every picture, with its grid; None where nothing shows it.
    clock
        Of the frames' times.
    """

    def __init__(
        self,
        model: Model,
        config: RunConfig,
        *,
        is_live: bool,
        provisional: bool,
        n_pixels_held: float | None = None,
        store: Callable[[ReconstructOutput], object],
        show: Callable[[Reconstruction, Grid], object] | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self.stage: Stage[ReconstructInput] = Stage("reconstruct", self.handle, capacity=FILE_CAPACITY, clock=clock)
        self.latency = LatencyRecorder()
        """Of the pictures that were made, provisional ones left out."""
        self.stretches: list[Stretch] = []
        """What was given up, over all segments."""
        self.budget_s: float | None = None
        """Of the segment at hand; None where no picture can be too late."""
        self.slack_s: float | None = None
        """What the budget leaves beyond the windows that a picture waits for."""
        self._runner = NetworkRunner(model, config.reconstruct.engine)
        self._config = config
        self._is_live = is_live
        self._provisional = provisional
        self._n_pixels_held = n_pixels_held
        self._store = store
        self._show = show
        self._clock = clock
        self._request = RegionRequest.parse(config.live.region)
        self._asked: RegionRequest | None = None
        self._lock = threading.Lock()
        self._current: _Current | None = None
        self._last_region: Box | None = None

    @property
    def region(self) -> Box | None:
        """Part of the field whose pictures are made now, or were last, in camera pixels; None before any segment."""
        current = self._current
        if current is None:
            return self._last_region
        return current.region if current.policy is None else current.region.halved(current.policy.level.n_halvings)

    @property
    def step(self) -> Step:
        """What is given up now."""
        current = self._current
        return Step.WHOLE if current is None or current.policy is None else current.policy.level.step

    def ask_for_region(self, request: RegionRequest) -> None:
        """Move the live region with the next window. May be called from any thread.

        Raises
        ------
        ConfigError
            The region does not lie in the field, or there is no field yet.
        """
        current = self._current
        if current is None:
            raise ConfigError("expected a segment that is being reconstructed, found none; ask again once frames come")
        request.check(current.start.segment.shape)
        with self._lock:
            self._asked = request

    def handle(self, item: ReconstructInput) -> None:
        """Take a map of the segment at hand, or begin or end one."""
        if isinstance(item, LocalizationMap):
            self._reconstruct(item)
        elif isinstance(item, SegmentStart):
            self._begin(item)
        else:
            if self._current is not None:
                self._emit(self._current, self._current.stream.flush())
            self._last_region, self._current = self.region, None
            self._store(item)

    def _begin(self, start: SegmentStart) -> None:
        settings, segment = self._config.reconstruct, start.segment
        interval_ms = segment.frame_interval_ms or segment.exposure_ms
        # A file is never late, unless somebody says by when its pictures are wanted.
        has_pace = interval_ms is not None and (self._is_live or self._config.live.latency_s is not None)
        window_s = interval_ms * 1e-3 * self._config.windows.frames if has_pace and interval_ms else None
        region = self._chosen(self._request, start)
        policy, self.budget_s, self.slack_s = None, None, None
        level = Level(Step.WHOLE, settings.hop, self._provisional)
        if window_s is not None:
            waiting = waiting_s(window_s, settings.lookahead, settings.hop)
            default = default_budget_s(window_s, settings.lookahead, settings.hop)
            self.budget_s = self._config.live.latency_s or default
            ladder = levels(settings.hop, self._provisional, min(region.width, region.height))
            self.slack_s = self.budget_s - waiting
            policy = Degradation(ladder, self.slack_s, clock_s=lambda: self._clock() * 1e-9)
        if self._is_live:
            map_bytes = 2 * start.grid.shape.height * start.grid.shape.width
            self.stage.capacity = min(max(LIVE_MAP_BYTES // map_bytes, MIN_LIVE_CAPACITY), MAX_LIVE_CAPACITY)
        self._current = _Current(
            start=start,
            window_s=window_s,
            region=region,
            stream=LiveStream(
                self._runner,
                settings,
                start.grid,
                region.on_grid(start.grid, start.camera.pixel_size_nm),
                level,
                budget_s=self.budget_s,
                clock=self._clock,
            ),
            policy=policy,
            is_choosing=self._request.kind == "densest" and region != Box.whole(segment.shape),
        )

    def _chosen(self, request: RegionRequest, start: SegmentStart) -> Box:
        held = np.inf if self._n_pixels_held is None or not self._is_live else self._n_pixels_held
        return request.resolve(start.segment.shape, held)

    def _reconstruct(self, map: LocalizationMap) -> None:
        current = self._current
        if current is None:
            return
        self._follow_requests(current, map)
        started_ns = self._clock()
        policy = current.policy
        if policy is not None and policy.is_last and self.slack_s is not None and self.stage.waited_s > self.slack_s:
            # Not even the forward direction keeps up: what waits is passed over, for the newest to be seen.
            self._emit(current, current.stream.leave_out(map))
            return
        self._emit(current, current.stream.push(map))
        self.stage.count(1, map.t_last_frame_ns)
        if policy is None or current.window_s is None:
            return
        halvings = policy.level.n_halvings
        busy_s = (self._clock() - started_ns) * 1e-9
        if policy.after_window(self.stage.waited_s, busy_s, current.window_s):
            current.stream.change(policy.level)
            if policy.level.n_halvings != halvings:
                self._move(current, in_haste=policy.level.n_halvings > halvings)

    def _follow_requests(self, current: _Current, map: LocalizationMap) -> None:
        """Move the live region where somebody asked for it, or the densest part is known by now."""
        if current.is_choosing:
            current.total = map.counts.astype(np.uint32) if current.total is None else current.total + map.counts
            current.n_maps += 1
        with self._lock:
            asked, self._asked = self._asked, None
        if asked is not None:
            self._request = asked
            current.region = self._chosen(asked, current.start)
            current.is_choosing = asked.kind == "densest"
            current.n_maps, current.total = 0, None
            self._move(current, in_haste=False)
        elif current.is_choosing and current.total is not None and current.n_maps >= CHOOSE_AFTER:
            current.region = densest(current.total, current.start.segment.shape, current.region)
            current.is_choosing, current.total = False, None
            self._move(current, in_haste=False)

    def _move(self, current: _Current, *, in_haste: bool) -> None:
        region = self.region or current.region
        on_grid = region.on_grid(current.start.grid, current.start.camera.pixel_size_nm)
        if on_grid != current.stream.region:
            self._emit(current, current.stream.move(on_grid, in_haste=in_haste))

    def _emit(self, current: _Current, output: StreamOutput) -> None:
        stream = current.stream
        for picture in output.pictures:
            if picture.stage != "provisional":
                shape = current.start.grid.shape
                image = padded(picture.image, stream.region, shape)
                error = None if picture.error is None else padded(picture.error, stream.region, shape)
                self._store(replace(picture, image=image, error=error))
                self.latency.add(picture.latency_s)
            if self._show is not None:
                self._show(picture, stream.region_grid)
        region = None if stream.is_whole else self.region
        told = {step.window for step in output.steps}
        plain = [
            WindowStep(picture.segment, picture.window, Step.WHOLE, True)
            for picture in output.pictures
            if region is not None and picture.stage != "provisional" and picture.window not in told
        ]
        for step in [*output.steps, *plain]:
            self._store(LiveStep(step.segment, step.window, step.step.value, region if step.has_picture else None))
            self._note(step)

    def _note(self, step: WindowStep) -> None:
        if step.step is Step.WHOLE:
            return
        last = self.stretches[-1] if self.stretches else None
        if last is not None and (last.segment, last.to_window + 1, last.step) == (step.segment, step.window, step.step):
            self.stretches[-1] = replace(last, to_window=step.window)
        else:
            self.stretches.append(Stretch(step.segment, step.window, step.window, step.step))
