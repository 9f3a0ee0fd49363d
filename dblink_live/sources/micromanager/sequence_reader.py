"""The lossless pop loop: from a Micro-Manager sequence to a sink, every frame number accounted for.

``startSequenceAcquisition(N, 0, stopOnOverflow=True)`` makes the core stop rather than overwrite: after an overflow the
buffered frames still pop, and ``isBufferOverflowed`` says what happened. (In continuous mode the core would clear its
buffer without a word.) Frames that the driver itself dropped show as jumps of the ``ImageNumber`` tag.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import FrameSink, HostClock, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame
from dblink_live.types import Gap, GapCause

ENDLESS = 2**31 - 1
"""Frames of a sequence that goes on until stopped: the largest number a 32-bit core takes, 248 days at 100 fps."""

_IDLE_S = 0.0005
_BATCH = 64


def read_sequence(
    core: CameraCore,
    sink: FrameSink,
    *,
    segment: int,
    clock: HostClock,
    n_frames: int | None,
    saturation: int,
    order: Callable[[], StopSignal],
) -> int:
    """Run one sequence to its end and return the number of frames handed over.

    Parameters
    ----------
    core
        The camera, configured.
    sink
        Takes each frame and each gap, in order.
    segment
        Index of the segment that the frames belong to.
    clock
        The segment's anchor of time.
    n_frames
        Frames to take; None goes on until told to stop.
    saturation
        Pixels at or above this value are counted as saturated.
    order
        Called between batches of frames: whether to go on.

    Raises
    ------
    SourceError
        The core's buffer overflowed, the camera stopped by itself, or its frame numbers run backwards. The frames
        taken before have been handed over, and the loss was reported as a gap of unknown size.
    """
    reader = _SequenceReader(core, sink, segment, clock, saturation)
    core.start_sequence(ENDLESS if n_frames is None else n_frames)
    try:
        told = _pop_until_the_end(core, reader, order)
    finally:
        if core.is_running():
            core.stop_sequence()
    if told is not StopSignal.ABANDON:
        reader.check_end(n_frames, was_stopped=told is StopSignal.STOP)
    return reader.n_done


def _pop_until_the_end(core: CameraCore, reader: _SequenceReader, order: Callable[[], StopSignal]) -> StopSignal:
    """Hand frames over until none is left after the sequence ended; return STOP or ABANDON if so ordered, or GO_ON."""
    last_order = StopSignal.GO_ON
    while True:
        told = order()
        if told is StopSignal.ABANDON:
            return told
        if told is StopSignal.STOP and last_order is StopSignal.GO_ON:
            core.stop_sequence()
            last_order = told
        n_waiting = core.n_waiting()
        if n_waiting:
            reader.hand_over(min(n_waiting, _BATCH))
        # A frame may have come between the two questions.
        elif not core.is_running() and core.n_waiting() == 0:
            return last_order
        else:
            time.sleep(_IDLE_S)


@dataclass
class _SequenceReader:
    """Pops frames of one sequence and accounts for every frame number."""

    core: CameraCore
    sink: FrameSink
    segment: int
    clock: HostClock
    saturation: int
    last_number: int = -1
    n_done: int = 0

    def hand_over(self, n_frames: int) -> None:
        for _ in range(n_frames):
            frame = self.core.pop()
            number = _image_number(frame, self.last_number)
            if number > self.last_number + 1:
                self._write_gap(number - self.last_number - 1)
            n_saturated = int(np.count_nonzero(frame.data >= self.saturation))
            self.sink.write_frame(self.segment, number, self.clock.received_ns(frame), frame.data, n_saturated)
            self.last_number = number
            self.n_done += 1

    def check_end(self, n_frames: int | None, was_stopped: bool) -> None:
        """Raise SourceError, and report a gap of unknown size, unless the sequence ended as it should."""
        last = self.last_number
        if self.core.has_overflowed():
            self._write_gap(None)
            raise SourceError(
                f"the camera buffer of Micro-Manager overflowed after frame {last}: frames came faster than this "
                "computer took them; close other programs, lower the frame rate or choose a smaller region of interest"
            )
        if not was_stopped and (n_frames is None or last + 1 < n_frames):
            self._write_gap(None)
            asked = "to go on until stopped" if n_frames is None else f"{n_frames} frames"
            raise SourceError(
                f"expected {asked}, found that the camera ended its sequence after frame {last}; see its log"
            )

    def _write_gap(self, count: int | None) -> None:
        self.sink.write_gap(Gap(self.segment, self.last_number, count, GapCause.CAMERA))


def _image_number(frame: TaggedFrame, last: int) -> int:
    text = frame.tags.get("ImageNumber")
    if text is None:
        raise SourceError(
            "expected the tag ImageNumber on each frame, found none; without it lost frames cannot be noticed. "
            "Update Micro-Manager's core"
        )
    number = int(float(text))
    if number <= last:
        raise SourceError(
            f"expected frame numbers that rise, found {number} after {last}: the camera's buffer was cleared or its "
            "sequence restarted by another program"
        )
    return number
