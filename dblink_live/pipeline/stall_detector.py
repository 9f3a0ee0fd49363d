"""Notices that a camera gives nothing any more.

A driver does not always tell that its camera was unplugged: the sequence is said to run, and no frame comes. A camera
that waits for a trigger looks the same from here, so a silence ends no run; it is said, and written into the run's log.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dblink_live.latency import CAMERA_SILENCE_S, CAMERA_SILENT_INTERVALS


class StallDetector:
    """Watches one live source.

    Parameters
    ----------
    limit_s
        How long nothing may come.
    clock_s
        A clock that is never set.
    """

    def __init__(self, limit_s: float = CAMERA_SILENCE_S, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock_s = clock_s
        self._heard_s = clock_s()
        self.words = ""
        """What there is to say as long as the silence lasts; empty while frames come."""

    def look(self, has_come: bool, frame_interval_ms: float | None, lost_because: str = "") -> str | None:
        """Take note of whether something has come since the last look; a line for the run's log when that changes.

        ``lost_because`` says why the other side of the source is away, where that is known: then nothing is guessed.
        """
        now_s = self._clock_s()
        silent_s, limit_s = now_s - self._heard_s, self._limit_s
        if frame_interval_ms is not None:
            limit_s = max(limit_s, CAMERA_SILENT_INTERVALS * frame_interval_ms * 1e-3)
        if has_come:
            was_silent, self.words, self._heard_s = bool(self.words), "", now_s
            return f"the camera gives frames again, after {silent_s:.0f} s" if was_silent else None
        if lost_because:
            words = f"{lost_because}; the run waits for it and goes on when it is back"
            is_news, self.words = words != self.words, words
            return words if is_news else None
        if silent_s < limit_s or self.words:
            return None
        self.words = (
            f"no camera frame for {limit_s:g} s: the camera waits for a trigger or the next time point, or it was "
            "unplugged or has hung; the run waits"
        )
        return self.words
