"""The network over one segment's maps, in the live region and on time: what would come too late is not made.

The stream always advances: every map goes through the forward direction, and a picture that could only be shown after
its latency budget is left to `refine`, without the cost of the reverse pass and the decoder.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from dblink_live.config import ReconstructConfig
from dblink_live.latency import Step
from dblink_live.models import StreamingEngine
from dblink_live.models.streaming import Picture, StreamState
from dblink_live.pipeline.network_runner import NetworkRunner
from dblink_live.pipeline.overload.degradation import Level
from dblink_live.status import Clock
from dblink_live.types import FloatImage, Grid, LocalizationMap, Reconstruction, Shape

WARM_UP_WINDOWS = 8
"""A stream that begins anew in another region is first shown so many of the maps before."""
FORGIVING = 0.7
"""The expected cost of a picture falls by this for each that was not made, so that one hiccup ends no stream."""

Region = tuple[slice, slice]
"""Rows and columns of the grid."""


@dataclass(frozen=True)
class WindowStep:
    """What was given up for one window."""

    segment: int
    window: int
    step: Step
    has_picture: bool


@dataclass
class StreamOutput:
    """What a map has brought about."""

    pictures: list[Reconstruction] = field(default_factory=list)
    """Of the region's size."""
    steps: list[WindowStep] = field(default_factory=list)
    """Of windows whose fate is decided now and for which something was given up."""


class LiveStream:
    """One segment that is reconstructed live.

    Parameters
    ----------
    runner
        Of the network.
    settings
        Lookahead and hop.
    grid
        Of the segment's maps.
    region
        Rows and columns of the grid whose pictures are made.
    level
        What holds at first.
    budget_s
        No picture is made that would be older; None where all are made.
    clock
        Of `LocalizationMap.t_last_frame_ns`.
    """

    def __init__(
        self,
        runner: NetworkRunner,
        settings: ReconstructConfig,
        grid: Grid,
        region: Region,
        level: Level,
        *,
        budget_s: float | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self.region = region
        self._runner = runner
        self._settings = settings
        self._grid = grid
        self._budget_s = budget_s
        self._clock = clock
        self._level = level
        self._engine = self._engine_for(level)
        self._state: StreamState | None = None
        self._recent: deque[LocalizationMap] = deque(maxlen=settings.lookahead + 2 * level.hop + WARM_UP_WINDOWS)
        """The last maps: those that wait for their picture, and some before."""
        self._picture_s = 0.0
        """What the last reverse pass and its pictures took."""

    @property
    def region_grid(self) -> Grid:
        """The grid of the region's pictures."""
        rows, cols = self.region
        origin = (
            self._grid.origin_nm[0] + rows.start * self._grid.pitch_nm,
            self._grid.origin_nm[1] + cols.start * self._grid.pitch_nm,
        )
        return Grid(self._grid.pitch_nm, self._shape, origin)

    @property
    def is_whole(self) -> bool:
        """Whether the region is the whole field."""
        return self._shape == self._grid.shape

    def push(self, map: LocalizationMap) -> StreamOutput:
        """Take the next map of the segment."""
        self._recent.append(map)
        return self._push(map)

    def leave_out(self, map: LocalizationMap) -> StreamOutput:
        """Pass over the next map: the stream begins anew behind it, and no window before gets a picture any more."""
        self._recent.append(map)
        output = StreamOutput()
        first = map.window if self._state is None else self._state.first_pending
        self._give_up(range(first, map.window + 1), output)
        self._state = None
        return output

    def flush(self) -> StreamOutput:
        """The pictures that still wait and are not too old, with what lookahead there is. The segment ends here."""
        output = StreamOutput()
        if self._state is not None and self._state.pending:
            state, stop = self._state, self._state.next_window
            first = state.first_pending
            while first < stop and self._is_older_than_budget(first):
                first += 1
            self._give_up(range(state.first_pending, first), output)
            state = self._engine.forgo(state, max(first, stop - 1) if self._level.newest_only else first)
            with self._runner.computing():
                pictures = self._engine.flush(state)
            self._take(pictures, first, stop, output)
        self._state = None
        return output

    def change(self, level: Level) -> None:
        """Let another level hold from the next map on."""
        if level.newest_only and not self._level.newest_only:
            self._picture_s /= self._level.hop
        self._level = level
        self._engine = self._engine_for(level)

    def move(self, region: Region, *, in_haste: bool) -> StreamOutput:
        """Go on in another region: the state is built up anew from the last maps.

        Parameters
        ----------
        region
            Rows and columns of the grid.
        in_haste
            Leave the pictures of the windows that wait to `refine`, instead of making them in the new region.
        """
        output = StreamOutput()
        state = self._state
        before = self._shape
        self.region = region
        if state is None or not self._recent:
            return output
        first_waiting = state.first_pending
        if in_haste:
            self._give_up(range(first_waiting, state.next_window), output)
            first_waiting = state.next_window
        warm = [map for map in self._recent if first_waiting - WARM_UP_WINDOWS <= map.window < first_waiting]
        waiting = [map for map in self._recent if map.window >= first_waiting]
        self._state = self._engine.start(self._shape, warm[0].window if warm else first_waiting)
        with self._runner.computing():
            for map in warm:
                self._state = self._engine.skip(*self._inputs(map), self._state)
        self._picture_s *= self._shape.height * self._shape.width / (before.height * before.width)
        for map in waiting:
            more = self._push(map)
            output.pictures += more.pictures
            output.steps += more.steps
        return output

    @property
    def _shape(self) -> Shape:
        rows, cols = self.region
        return Shape(rows.stop - rows.start, cols.stop - cols.start)

    def _push(self, map: LocalizationMap) -> StreamOutput:
        output = StreamOutput()
        state = self._state or self._engine.start(self._shape, map.window)
        ready = self._ready_after(state)
        if ready and self._is_too_late(ready):
            state = self._engine.forgo(state, ready.stop)
            self._give_up(ready, output)
            self._picture_s *= FORGIVING
            ready = range(0)
        started = self._clock()
        with self._runner.computing():
            pictures, self._state = self._engine.push(*self._inputs(map), state)
        self._take(pictures, ready.start, ready.stop, output)
        if ready:
            self._picture_s = (self._clock() - started) * 1e-9
        return output

    def _ready_after(self, state: StreamState) -> range:
        """Windows whose pictures the next push makes; empty where it makes none."""
        hop = self._level.hop
        group_end = (state.first_pending // hop + 1) * hop
        if state.next_window + 1 < group_end + self._settings.lookahead:
            return range(0)
        return range(state.first_pending, group_end)

    def _is_too_late(self, ready: range) -> bool:
        """Whether the oldest picture that is to be made would be older than the budget allows."""
        oldest = ready.stop - 1 if self._level.newest_only else ready.start
        return self._is_older_than_budget(oldest)

    def _is_older_than_budget(self, window: int) -> bool:
        """Whether the picture of ``window`` would be older than the budget allows if it were made now."""
        t_ns = self._times_ns().get(window, 0)
        if self._budget_s is None or not t_ns:
            return False
        return (self._clock() - t_ns) * 1e-9 + self._picture_s > self._budget_s

    def _give_up(self, windows: range, output: StreamOutput) -> None:
        segment = self._recent[-1].segment
        output.steps += [WindowStep(segment, window, Step.JUMP, False) for window in windows]

    def _take(self, pictures: list[Picture], first: int, stop: int, output: StreamOutput) -> None:
        """Turn the answers of the engine, which decide the windows ``first`` to ``stop`` - 1, into ``output``."""
        times_ns, segment = self._times_ns(), self._recent[-1].segment
        made = set()
        for picture, (image, error) in zip(pictures, self._runner.download(pictures), strict=True):
            t_ns = times_ns.get(picture.window, 0)
            latency_s = (self._clock() - t_ns) * 1e-9 if t_ns > 0 else 0.0
            output.pictures.append(
                Reconstruction(segment, picture.window, image, picture.stage, picture.lookahead, latency_s, error)
            )
            if picture.stage != "provisional":
                made.add(picture.window)
        if self._level.step is not Step.WHOLE:
            output.steps += [
                WindowStep(segment, window, self._level.step, window in made) for window in range(first, stop)
            ]

    def _times_ns(self) -> dict[int, int]:
        return {map.window: map.t_last_frame_ns for map in self._recent}

    def _inputs(self, map: LocalizationMap) -> tuple[torch.Tensor, torch.Tensor]:
        """Counts [1, H, W] of the region and the share of frames seen [1], float32."""
        return self._runner.upload(map.counts[self.region]), torch.tensor([map.fraction_present], dtype=torch.float32)

    def _engine_for(self, level: Level) -> StreamingEngine:
        return StreamingEngine(
            self._runner.network,
            self._settings.lookahead,
            level.hop,
            level.provisional,
            level.newest_only,
            n_together=level.hop if self._runner.device.type == "cuda" else 1,
        )


def padded(image: FloatImage, region: Region, shape: Shape) -> FloatImage:
    """A picture of ``region`` [h, w] in a field of zeros [H, W]."""
    if image.shape == tuple(shape):
        return image
    whole = np.zeros(shape, np.float32)
    whole[region] = image
    return whole
