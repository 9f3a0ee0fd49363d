"""A camera without a process: what it takes goes through a real ring of few slots, and is overwritten there in time."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.sources.camera_process import RingEnd, RingError, RingReader, RingShape, RingWriter
from dblink_live.types import Frame, FrameArray, Segment, Shape


class RingSource:
    """A `FrameSource` that reads a ring; before each look, ``fill`` lets the camera write into it.

    Parameters
    ----------
    shape
        Of the frames, uint16.
    n_slots
        Frames that the ring holds.
    fill
        Writes what the camera has taken since, and `RingWriter.write_end` after the last.
    """

    name = "ring"
    is_live = True
    n_frames_expected = None

    def __init__(self, shape: Shape, n_slots: int, fill: Callable[[RingWriter], None]) -> None:
        ring = RingShape(n_slots=n_slots, slot_bytes=2 * shape.height * shape.width)
        mapping = mmap.mmap(-1, ring.nbytes)
        self._shape = shape
        self._writer = RingWriter(mapping, ring)
        self._reader = RingReader(mapping)
        self._fill = fill
        self._error: SourceError | None = None
        self._has_ended = False
        self.delivered: list[Frame] = []
        """Every frame that was handed over, in order."""

    def open(self) -> Segment:
        segment = Segment(index=0, shape=self._shape, dtype="uint16", frame_interval_ms=20.0, pixel_size_nm=160.0)
        self._writer.write_segment(segment)
        (announced,) = self._reader.read(0)
        assert isinstance(announced, Segment)
        return announced

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        if not self._has_ended:
            self._fill(self._writer)
        events: list[SourceEvent] = []
        for item in self._reader.read(max_frames):
            if isinstance(item, RingError):
                self._error = SourceError(item.message)
            elif isinstance(item, RingEnd):
                self._has_ended = True
            else:
                events.append(item)
        self.delivered += [event for event in events if isinstance(event, Frame)]
        if not events and self._error is not None:
            error, self._error = self._error, None
            raise error
        return events

    @property
    def is_finished(self) -> bool:
        return self._has_ended and self._error is None

    @property
    def n_skipped(self) -> int:
        """Frames that were overwritten before they were read."""
        return self._reader.counters.n_skipped

    def stop(self) -> None:
        self._has_ended = True

    def close(self) -> None:
        """Nothing is held but memory."""


def camera_of(frames: FrameArray, n_taken: Callable[[], int]) -> Callable[[RingWriter], None]:
    """Takes ``n_taken()`` of ``frames`` [N, H, W] at a time, numbered from 0, until there are none left."""
    n_written = 0
    has_ended = False

    def fill(writer: RingWriter) -> None:
        nonlocal n_written, has_ended
        for frame in frames[n_written : n_written + n_taken()]:
            writer.write_frame(0, n_written, n_written * 20_000_000, np.asarray(frame, np.uint16))
            n_written += 1
        if n_written == len(frames) and not has_ended:
            has_ended = True
            writer.write_end()

    return fill
