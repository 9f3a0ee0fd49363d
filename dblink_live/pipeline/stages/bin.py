"""Bin: molecules in, whole windows out, cut by the camera's own frame numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dblink_live.analysis.trust.sample import SampleWatch
from dblink_live.errors import SourceError
from dblink_live.pipeline.recording.frame_accounts import FrameAccounts
from dblink_live.pipeline.stages.items import ForBin, LocalizedFrames, SegmentEnd, SegmentStart
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.types import Gap, GapCause
from dblink_live.windows import CompletedWindow, WindowAccumulator

CAPACITY = 4
BinOutput = SegmentStart | CompletedWindow | Gap | SegmentEnd


class BinStage:
    """Counts molecules into window maps.

    Parameters
    ----------
    window_frames
        Camera frames per window.
    accounts
        Is told of the frames that fill no window at a segment's end.
    forward
        Takes what comes out, in order.
    """

    def __init__(self, window_frames: int, accounts: FrameAccounts, forward: Callable[[BinOutput], None]) -> None:
        self.stage: Stage[ForBin] = Stage("bin", self.handle, capacity=CAPACITY)
        self._window_frames = window_frames
        self._accounts = accounts
        self._forward = forward
        self.watch = SampleWatch(window_frames)
        """What the windows say of the sample."""
        self._start: SegmentStart | None = None
        self._accumulator: WindowAccumulator | None = None
        """Made when the segment's first frame number is known."""

    def handle(self, item: ForBin) -> None:
        """Count a batch into windows, or pass on what is none."""
        if isinstance(item, LocalizedFrames):
            accumulator = self._accumulator_from(int(item.numbers[0]))
            self._hand_on(accumulator.add(item.numbers, item.times_ns, item.localizations))
            self.stage.count(len(item.numbers), int(item.times_ns[-1]))
        elif isinstance(item, Gap):
            self._forward(item)
            # Frames of another channel or position: nothing is missing from this one.
            if item.cause is not GapCause.DESELECTED and item.count is not None:
                self._hand_on(self._accumulator_from(item.after + 1).add_gap(item))
        elif isinstance(item, SegmentStart):
            self._start, self._accumulator = item, None
            self.watch.begin()
            self._forward(item)
        else:
            if self._accumulator is not None:
                self._accounts.left_over(item.segment, self._accumulator.flush())
            if item.gap is not None:
                self._forward(item.gap)
            self._forward(item)

    def _hand_on(self, windows: list[CompletedWindow]) -> None:
        for window in windows:
            self._forward(window)
            if self._start is not None:
                found, pixel_nm = window.localizations, self._start.camera.pixel_size_nm
                precisions_nm = np.hypot(found["lpx"], found["lpy"]) * (pixel_nm / np.sqrt(2.0))
                self.watch.add(window.map.counts, window.map.grid.pitch_nm, precisions_nm)

    def _accumulator_from(self, first_frame: int) -> WindowAccumulator:
        if self._start is None:
            raise SourceError("frames arrived before a segment was announced")
        if self._accumulator is None:
            self._accumulator = WindowAccumulator(
                self._start.grid,
                self._start.camera.pixel_size_nm,
                self._window_frames,
                segment=self._start.segment.index,
                first_frame=first_frame,
            )
        return self._accumulator
