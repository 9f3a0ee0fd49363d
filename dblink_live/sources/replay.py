"""Replays a recorded stack: every frame once, in order, none ever lost."""

from __future__ import annotations

import bisect
import logging
import time
from dataclasses import replace
from typing import Protocol

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.types import Frame, FrameArray, Gap, GapCause, Segment

_LOG = logging.getLogger(__name__)


class Stack(Protocol):
    """A recorded stack that can be read frame by frame."""

    segment: Segment
    n_frames: int
    """One past the number of the last frame."""
    numbers: tuple[int, ...] | None
    """Numbers of the frames that are there; None where all from 0 to ``n_frames`` are."""
    notes: tuple[str, ...]
    """What a user should know of the recording, a sentence each."""

    def frame(self, index: int) -> FrameArray:
        """Frame ``index`` of those that are there [H, W] in native byte order.

        Raises `SourceError` that names it where it cannot be read.
        """
        ...

    def close(self) -> None: ...


class StackOpener(Protocol):
    """Opens a stack; raises `SourceError` where it cannot."""

    def __call__(self) -> Stack: ...


class ReplaySource:
    """A `FrameSource` over a recorded stack.

    Parameters
    ----------
    name
        What the source is called in messages.
    opener
        Opens the stack.
    fps
        Pace; None replays as fast as it is read.
    n_frames
        Frames up to this number; None replays all.
    first_frame
        The first frame that is replayed: a run that was interrupted goes on behind what it has kept.

    Notes
    -----
    Frames are numbered from 0 in the order of the file, or by the time points that it states: those that are missing
    between are reported as lost by the camera. ``t_host_ns`` is when a frame was due, or without pace when it
    was read. A stack that breaks off delivers what comes before the break, then raises.
    """

    is_live = False

    def __init__(
        self,
        name: str,
        opener: StackOpener,
        *,
        fps: float | None = None,
        n_frames: int | None = None,
        first_frame: int = 0,
    ) -> None:
        self.name = name
        self._opener = opener
        self._fps = fps
        self._limit = n_frames
        self._stack: Stack | None = None
        self._first = self._next = first_frame
        self._stop = first_frame
        self._started_ns = 0
        self._saturation = 2**16 - 1
        self._error: SourceError | None = None

    def open(self) -> Segment:
        """Open the stack and describe its frames.

        Raises
        ------
        SourceError
            No such file, not a stack of grey frames of 8 to 16 bits, or damaged beyond reading.
        """
        if self._stack is not None:
            raise SourceError(f"{self.name} was opened already")
        self._stack = self._opener()
        stop = self._stack.n_frames if self._limit is None else min(self._limit, self._stack.n_frames)
        self._stop = max(stop, self._first)
        for note in self._stack.notes:
            _LOG.warning("%s: %s", self.name, note)
        segment = replace(
            self._stack.segment, wall_clock_anchor_ns=time.time_ns(), host_anchor_ns=time.perf_counter_ns()
        )
        self._saturation = 2 ** (segment.bit_depth or 8 * np.dtype(segment.dtype).itemsize) - 1
        return segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        """The next frames: those that are due, or at most ``max_frames``.

        Raises
        ------
        SourceError
            The next frame cannot be read. Those before it were returned by earlier calls; nothing comes after it.
        """
        if self._stack is None:
            raise SourceError(f"{self.name} is not open")
        if self._error is not None:
            error, self._error = self._error, None
            self._stop = self._next
            raise error
        if not self._started_ns:
            self._started_ns = time.perf_counter_ns()
        frames: list[SourceEvent] = []
        deadline_ns = time.perf_counter_ns() + int(timeout_s * 1e9)
        while self._next < self._stop and len(frames) < max_frames:
            missing = self._missing()
            if missing is not None:
                frames.append(missing)
                continue
            due_ns = self._due_ns(self._next)
            now_ns = time.perf_counter_ns()
            if due_ns > now_ns:
                if frames or now_ns >= deadline_ns:
                    break
                time.sleep((min(due_ns, deadline_ns) - now_ns) / 1e9)
                continue
            try:
                data = self._stack.frame(self._index(self._next))
            except SourceError as error:
                if not frames:
                    self._stop = self._next
                    raise
                self._error = error
                break
            frames.append(
                Frame(
                    segment=self._stack.segment.index,
                    number=self._next,
                    t_host_ns=due_ns if self._fps is not None else time.perf_counter_ns(),
                    data=data,
                    n_saturated=int(np.count_nonzero(data >= self._saturation)),
                )
            )
            self._next += 1
        return frames

    def _index(self, number: int) -> int:
        """Place among the frames that are there of the first that is not before ``number``."""
        numbers = self._stack.numbers if self._stack is not None else None
        return number if numbers is None else bisect.bisect_left(numbers, number)

    def _missing(self) -> Gap | None:
        """The frames from the next one on that are not there, after which the replay goes on."""
        if self._stack is None or self._stack.numbers is None:
            return None
        index = self._index(self._next)
        following = self._stack.numbers[index] if index < len(self._stack.numbers) else self._stop
        count = min(following, self._stop) - self._next
        if not count:
            return None
        self._next += count
        return Gap(self._stack.segment.index, self._next - count - 1, count, GapCause.CAMERA)

    def _due_ns(self, index: int) -> int:
        return self._started_ns + (int((index - self._first) * 1e9 / self._fps) if self._fps is not None else 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the recording; empty before it is open."""
        return self._stack.notes if self._stack is not None else ()

    @property
    def is_finished(self) -> bool:
        return self._stack is not None and self._next >= self._stop

    @property
    def n_frames_expected(self) -> int | None:
        return self._stop - self._first if self._stack is not None else None

    def stop(self) -> None:
        """End the replay after the frames already returned."""
        self._stop = self._next

    def close(self) -> None:
        """Close the file."""
        if self._stack is not None:
            self._stack.close()
            self._stop = self._next
