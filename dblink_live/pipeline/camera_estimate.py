"""An uncalibrated camera is estimated from the first frames of a run, which wait until that is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from dblink_live.camera.recording_facts import MIN_FRAMES, estimated_camera, middle_of
from dblink_live.pipeline.stages.items import ForLocalize, FrameBatch, SegmentEnd, SegmentStart
from dblink_live.types import Camera, FrameArray

N_FRAMES = 200
"""Frames that an estimate is made from."""
MAX_HELD_BYTES = 256 << 20
"""Of frames that wait: of large sensors fewer are held."""
MAX_SAMPLES = N_FRAMES * 128 * 128
"""Counts that an estimate is made from: a third of a second of one core."""
LIVE_HOLD_S = 1.0
"""Frames of a camera wait no longer than this, once there are enough for an estimate at all."""
MAX_LIVE_HOLD_S = 2.0
"""Frames of a slow camera wait no longer than this."""

Kind = tuple[object, ...]
"""What offset and gain depend on."""


class CameraEstimator:
    """Passes on what the stages are given; a segment of an uncalibrated camera waits for an estimate of its camera.

    Parameters
    ----------
    is_live
        Whether frames come at a camera's pace, so that they may wait only for a short time.
    known
        Estimated camera of an interrupted run that is taken up, which holds for the first segment.
    clock
        In seconds.
    """

    def __init__(self, is_live: bool, known: Camera | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_live = is_live
        self._clock = clock
        self._resumed = known
        self._found: dict[Kind, Camera] = {}
        """The camera of each kind of segments that was looked at, estimated or not."""
        self._start: SegmentStart | None = None
        self._held: list[ForLocalize] = []
        self._n_held = 0
        self._n_wanted = N_FRAMES
        self._since = 0.0
        self._sentences: list[str] = []

    def items(self, given: Iterable[ForLocalize]) -> Iterator[ForLocalize]:
        """Yield what may pass, in order; called without an item it looks at the time."""
        for item in given:
            if isinstance(item, SegmentStart):
                yield from self._release()
                yield from self._begin(item)
            elif self._start is None:
                yield item
            elif isinstance(item, SegmentEnd):
                yield from self._release()
                yield item
            else:
                self._held.append(item)
                self._n_held += len(item.frames) if isinstance(item, FrameBatch) else 0
        if self._start is not None and self._is_time():
            yield from self._release()

    def finish(self) -> Iterator[ForLocalize]:
        """Yield what still waits."""
        yield from self._release()

    def sentences(self) -> list[str]:
        """Return what was found since the last call, a sentence each."""
        found, self._sentences = self._sentences, []
        return found

    def _begin(self, start: SegmentStart) -> Iterator[SegmentStart]:
        kind = _kind_of(start)
        if self._resumed is not None and not start.camera.is_calibrated:
            self._found[kind], self._resumed = self._resumed, None
        if start.camera.is_calibrated:
            yield start
        elif kind in self._found:
            yield replace(start, camera=_taken(self._found[kind], start.camera))
        else:
            self._start, self._since = start, self._clock()
            height, width = start.segment.shape
            n_bytes = height * width * np.dtype(start.segment.dtype).itemsize
            self._n_wanted = int(np.clip(MAX_HELD_BYTES // n_bytes, MIN_FRAMES, N_FRAMES))

    def _is_time(self) -> bool:
        if self._n_held >= self._n_wanted:
            return True
        waited_s = self._clock() - self._since
        is_enough = self._n_held >= MIN_FRAMES and waited_s >= LIVE_HOLD_S
        return self._is_live and self._n_held > 0 and (is_enough or waited_s >= MAX_LIVE_HOLD_S)

    def _release(self) -> Iterator[ForLocalize]:
        if self._start is None:
            return
        start, held = self._start, self._held
        self._start, self._held, self._n_held = None, [], 0
        frames = self._excerpt(held)
        camera, sentence = estimated_camera(frames, start.camera)
        self._found[_kind_of(start)] = camera
        self._sentences.append(sentence)
        yield replace(start, camera=camera)
        yield from held

    def _excerpt(self, held: list[ForLocalize]) -> FrameArray:
        frames = [frame.data for item in held if isinstance(item, FrameBatch) for frame in item.frames][:N_FRAMES]
        if not frames:
            return np.zeros((0, 1, 1), np.uint16)
        side = int(np.sqrt(MAX_SAMPLES / len(frames)))
        return np.stack([middle_of(frame, side) for frame in frames])  # type: ignore[return-value]


def _kind_of(start: SegmentStart) -> Kind:
    segment, camera = start.segment, start.camera
    return segment.shape, segment.dtype, segment.binning, segment.exposure_ms, segment.channel, camera.em_gain


def _taken(known: Camera, camera: Camera) -> Camera:
    """``camera`` with the offset and gain of ``known``."""
    return replace(
        camera,
        offset_adu=known.offset_adu,
        electrons_per_adu=known.electrons_per_adu,
        offset_error_adu=known.offset_error_adu,
        electrons_per_adu_error=known.electrons_per_adu_error,
        is_calibrated=known.is_calibrated,
    )
