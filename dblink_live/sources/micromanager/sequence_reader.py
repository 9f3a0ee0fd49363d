"""The lossless pop loop: from a Micro-Manager sequence to a sink, every frame number accounted for.

``startSequenceAcquisition(N, 0, stopOnOverflow=True)`` makes the core stop rather than overwrite: after an overflow the
buffered frames still pop, and ``isBufferOverflowed`` says what happened. (In continuous mode the core would clear its
buffer without a word.) Frames that the driver itself dropped show as jumps of the ``ImageNumber`` tag.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import FrameSink, HostClock, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame
from dblink_live.types import Gap, GapCause

ENDLESS = 2**31 - 1
"""Frames of a sequence that goes on until stopped: the largest number a 32-bit core takes, 248 days at 100 fps."""

_IDLE_S = 0.0005
_BATCH = 64


def pump(
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
        Asked between frames.

    Raises
    ------
    SourceError
        The core's buffer overflowed, the camera stopped by itself, or its frame numbers run backwards. Whatever it had
        taken before has been handed over, and the loss was reported as a gap of unknown size.
    """
    last = -1
    n_done = 0
    stopping = False
    core.start_sequence(ENDLESS if n_frames is None else n_frames)
    try:
        while True:
            told = order()
            if told is StopSignal.ABANDON:
                return n_done
            if told is StopSignal.STOP and not stopping:
                core.stop_sequence()
                stopping = True
            n_waiting = core.n_waiting()
            if n_waiting == 0:
                # A frame may have come in between the two questions.
                if not core.is_running() and core.n_waiting() == 0:
                    break
                time.sleep(_IDLE_S)
                continue
            for _ in range(min(n_waiting, _BATCH)):
                frame = core.pop()
                number = _image_number(frame, last)
                if number > last + 1:
                    sink.write_gap(Gap(segment, last, number - last - 1, GapCause.CAMERA))
                n_saturated = int(np.count_nonzero(frame.data >= saturation))
                sink.write_frame(segment, number, clock.received_ns(frame), frame.data, n_saturated)
                last = number
                n_done += 1
    finally:
        if core.is_running():
            core.stop_sequence()
    if core.has_overflowed():
        sink.write_gap(Gap(segment, last, None, GapCause.CAMERA))
        raise SourceError(
            f"the camera buffer of Micro-Manager overflowed after frame {last}: frames came faster than this computer "
            "took them; close other programs, lower the frame rate or choose a smaller region of interest"
        )
    if not stopping and (n_frames is None or last + 1 < n_frames):
        sink.write_gap(Gap(segment, last, None, GapCause.CAMERA))
        asked = "to go on until stopped" if n_frames is None else f"{n_frames} frames"
        raise SourceError(f"expected {asked}, found that the camera ended its sequence after frame {last}; see its log")
    return n_done


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
