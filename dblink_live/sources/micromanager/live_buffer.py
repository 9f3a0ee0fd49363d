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
_TRIES = 16
"""Questions for one frame, while others come: what is met on the way is kept, so none of them is in vain."""


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
        self._reader = _FrameReader(core, on_answer)
        self._seen: int | None = None
        """Image number of the newest frame that was given; None before the first."""
        self._n_waiting = -1
        self._is_over = False
        """Whether the sequence was found not to run."""
        self._has_seen_end = False
        """Whether the newest frame was given after that."""
        self._looked_at = 0.0
        self._first: tuple[int, float] | None = None
        self._fps = 0.0

    def look(self) -> Sighting:
        """Return what is new since the last look.

        Raises
        ------
        SourceError
            Frames carry no image numbers.
        """
        n_waiting, now = self._core.n_waiting(), time.perf_counter()
        if n_waiting == self._n_waiting and now - self._looked_at < LOOK_ANYWAY_S:
            return Sighting()
        self._looked_at, self._n_waiting = now, n_waiting
        # Asked before the newest frame is: a sequence that had ended by then brings no frame after it.
        is_running = self._core.is_running()
        newest = self._reader.peek(0) if n_waiting else None
        if newest is None:
            self._is_over = self._is_over or not is_running
            return Sighting()
        head = image_number(newest)
        if self._seen is None and not is_running:
            # Left over from before the preview began.
            self._seen, self._is_over, self._has_seen_end = head, True, True
        if head == self._seen and not (self._is_over and is_running):
            if not is_running:
                self._is_over = self._has_seen_end = True
            return Sighting()
        return self._give(head, newest, is_running)

    def _give(self, head: int, newest: TaggedFrame, is_running: bool) -> Sighting:
        """The frames up to ``head``, which is new, and the state after them."""
        has_restarted = self._seen is not None and (head <= self._seen or self._is_over)
        had_seen_end = self._has_seen_end
        # Asked after the newest frame was: of frames that came in between all are held still.
        n_held = self._core.n_waiting()
        frames = self._reader.read(self._start(head, n_held, has_restarted), head, newest)
        self._keep_pace(head, has_restarted)
        self._seen = frames[-1][0]
        self._is_over = self._has_seen_end = not is_running and (not has_restarted or self._has_ended())
        return Sighting(frames, has_restarted, had_seen_end)

    def _start(self, head: int, n_held: int, has_restarted: bool) -> int:
        """Number of the first frame to ask for: not given yet, held by the buffer, and not too far behind."""
        if self._seen is None:
            return head
        max_behind = max(MIN_BEHIND, round(PREVIEW_MAX_BEHIND_S * self._fps))
        return max(0 if has_restarted else self._seen + 1, head - n_held + 1, head - max_behind)

    def _has_ended(self) -> bool:
        """Whether a sequence that has just been found is over already: it may have begun after the core was asked."""
        if self._core.is_running():
            return False
        last = self._reader.peek(0)
        return last is not None and image_number(last) == self._seen

    def _keep_pace(self, head: int, has_restarted: bool) -> None:
        now = self._looked_at
        if self._first is None or has_restarted:
            self._first = (head, now)
        elif now > self._first[1]:
            self._fps = (head - self._first[0]) / (now - self._first[1])


class _FrameReader:
    """Finds frames by their numbers in a buffer that can only be asked for the n-th before the newest.

    Newer frames come while it is asked: what came is told by its number, and how many come meanwhile is learned.
    """

    def __init__(self, core: CameraCore, on_answer: Callable[[], None]) -> None:
        self._core = core
        self._on_answer = on_answer
        self._drift = 0.0
        """Frames that come while one is asked for: a running mean."""
        self._head = 0
        """Number of the newest frame, as far as is known."""

    def read(self, start: int, head: int, newest: TaggedFrame) -> list[tuple[int, TaggedFrame]]:
        """Frames ``start`` to ``head`` as far as the buffer gives them, the oldest first, and those that came since."""
        found = {head: newest}
        self._head = head
        for want in range(start, head):
            if want not in found and not self._find(want, found):
                break  # Another sequence has begun: the next look sees to it.
        return _in_order(found, start, head)

    def peek(self, n_before: int) -> TaggedFrame | None:
        """The n-th frame before the newest; None where the buffer holds no such frame."""
        try:
            frame = self._core.peek(n_before)
            self._on_answer()
            return frame
        except SourceError:
            raise
        except Exception:
            # The buffer was cleared, or the frames were taken out, since it was asked how many it holds.
            return None

    def _find(self, want: int, found: dict[int, TaggedFrame]) -> bool:
        """Look for frame ``want``, and keep what is met on the way; False where its sequence is over."""
        drift = round(self._drift)
        for _ in range(_TRIES):
            n_before = self._head + drift - want
            frame = self.peek(n_before)
            if frame is None:
                # Fewer have come than was thought, and it asked beyond the oldest; or the buffer was cleared.
                n_before, drift = 0, 0
                frame = self.peek(n_before)
                if frame is None:
                    return True
            number = image_number(frame)
            came = number + n_before - self._head
            if came < 0:
                return False
            if n_before:
                self._drift = 0.8 * self._drift + 0.2 * came
                drift = round(self._drift)
            self._head += came
            found[number] = frame
            if want in found:
                return True
        return True


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
