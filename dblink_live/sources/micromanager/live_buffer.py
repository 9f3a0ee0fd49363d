"""Reads the circular buffer of a core that another program owns, and identifies frames by their image numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dblink_live.errors import SourceError
from dblink_live.latency import PREVIEW_MAX_BEHIND_S
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame

LOOK_ANYWAY_S = 0.05
"""A buffer that holds as many frames as before may hold others: it is looked into after so long at the latest."""
MIN_BEHIND = 16
"""Frames that a preview may lag by at any rate."""
_TRIES = 4


@dataclass(frozen=True)
class Sighting:
    """What one look has found."""

    frames: list[tuple[int, TaggedFrame]] = field(default_factory=list)
    """New ones with their image numbers, which rise."""
    has_restarted: bool = False
    """Whether they are of a sequence that began since the last look: image numbers count from 0 again."""
    was_seen_to_end: bool = False
    """Whether the sequence before was seen to its last frame."""


class BufferWatcher:
    """Sees each frame once, as long as it is fast enough.

    Parameters
    ----------
    core
        Only looked into: nothing is popped, set or started.
    on_answer
        Called after each frame that was asked for.
    """

    def __init__(self, core: CameraCore, on_answer: Callable[[], None] = lambda: None) -> None:
        self._core = core
        self._on_answer = on_answer
        self._seen: int | None = None
        """Image number of the newest frame that was given; None before the first."""
        self._n_waiting = -1
        self._is_over = False
        """Whether the sequence was found not to run."""
        self._has_seen_end = False
        """Whether the newest frame was given after that."""
        self._looked_at = 0.0
        self._drift = 0.0
        """Frames that come while one is asked for: a running mean."""
        self._first: tuple[int, float] | None = None
        self._fps = 0.0

    def look(self) -> Sighting:
        """What is new since the last look.

        Raises
        ------
        SourceError
            Frames carry no image numbers.
        """
        n_waiting = self._core.n_waiting()
        now = time.perf_counter()
        if n_waiting == self._n_waiting and now - self._looked_at < LOOK_ANYWAY_S:
            return Sighting()
        self._looked_at, self._n_waiting = now, n_waiting
        # Asked before the newest frame is: a sequence that had ended by then brings no frame after it.
        is_running = self._core.is_running()
        newest = self._peek(0) if n_waiting else None
        if newest is None:
            self._is_over = self._is_over or not is_running
            return Sighting()
        head = image_number(newest)
        if self._seen is None and not is_running:
            # Left over from before anybody watched.
            self._seen, self._is_over, self._has_seen_end = head, True, True
        if head == self._seen and not (self._is_over and is_running):
            if not is_running:
                self._is_over = self._has_seen_end = True
            return Sighting()
        has_restarted = self._seen is not None and (head <= self._seen or self._is_over)
        had_seen_end = self._has_seen_end
        start = head if self._seen is None else 0 if has_restarted else self._seen + 1
        start = max(start, head - n_waiting + 1, head - self._max_behind())
        frames = self._frames(start, head, newest)
        self._keep_pace(head, now, has_restarted)
        self._seen = frames[-1][0]
        self._is_over = self._has_seen_end = not is_running and (not has_restarted or self._has_ended())
        return Sighting(frames, has_restarted, had_seen_end)

    def _has_ended(self) -> bool:
        """Whether a sequence that has just been found is over already: it may have begun after the core was asked."""
        if self._core.is_running():
            return False
        last = self._peek(0)
        return last is not None and image_number(last) == self._seen

    def _frames(self, start: int, head: int, newest: TaggedFrame) -> list[tuple[int, TaggedFrame]]:
        """Frames ``start`` to ``head`` as far as the buffer gives them, the oldest first, and those that came since.

        It can only be asked for the n-th before the newest, and newer ones come while it is asked: what came is told
        by its number, and how many come meanwhile is learned.
        """
        found = {head: newest}
        head_now = head
        for want in range(start, head):
            for _ in range(_TRIES):
                if want in found:
                    break
                n_before = head_now + round(self._drift) - want
                frame = self._peek(n_before)
                if frame is None:
                    break
                number = image_number(frame)
                came = number + n_before - head_now
                if came < 0:
                    # Another sequence has begun: the next look sees to it.
                    return _in_order(found, start, head)
                self._drift = 0.8 * self._drift + 0.2 * came
                head_now += came
                found[number] = frame
        return _in_order(found, start, head)

    def _peek(self, n_before: int) -> TaggedFrame | None:
        try:
            frame = self._core.peek(n_before)
            self._on_answer()
            return frame
        except SourceError:
            raise
        except Exception:
            # The buffer was cleared, or the frames were taken out, since it was asked how many it holds.
            return None

    def _max_behind(self) -> int:
        return max(MIN_BEHIND, round(PREVIEW_MAX_BEHIND_S * self._fps))

    def _keep_pace(self, head: int, now: float, has_restarted: bool) -> None:
        if self._first is None or has_restarted:
            self._first = (head, now)
        elif now > self._first[1]:
            self._fps = (head - self._first[0]) / (now - self._first[1])


def _in_order(found: dict[int, TaggedFrame], start: int, head: int) -> list[tuple[int, TaggedFrame]]:
    """From ``start`` on; of those after ``head`` what follows it without a hole."""
    stop = head + 1
    while stop in found:
        stop += 1
    return [(number, found[number]) for number in sorted(found) if start <= number < stop]


def image_number(frame: TaggedFrame) -> int:
    """The camera's own number of a frame.

    Raises
    ------
    SourceError
        There is none.
    """
    text = frame.tags.get("ImageNumber")
    if text is None:
        raise SourceError(
            "expected the tag ImageNumber on each frame, found none; without it missed frames cannot be counted. "
            "Update Micro-Manager"
        )
    return int(float(text))
