"""Heartbeats between the processes that share a ring: how one is kept up, and how one that stopped is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dblink_live.latency import BEAT_S, PAUSE_PROVES_NOTHING_S


class HeartbeatMonitor:
    """Decides from the heartbeats of another process whether that process still runs.

    Parameters
    ----------
    timeout_s
        Seconds without a new heartbeat after which the process counts as dead.
    clock_s
        A monotonic clock in seconds.

    Examples
    --------
    >>> now_s = 0.0
    >>> monitor = HeartbeatMonitor(timeout_s=2.0, clock_s=lambda: now_s)
    >>> for now_s in (0.5, 1.0, 1.5, 2.0, 2.5):
    ...     is_silent = monitor.is_silent(beat_ns=7)
    >>> is_silent
    False
    >>> now_s = 3.0
    >>> monitor.is_silent(beat_ns=7)
    True
    """

    def __init__(self, timeout_s: float, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self.timeout_s = timeout_s
        self._clock_s = clock_s
        self._last_beat_ns = 0
        self._beat_seen_s = self._observed_s = clock_s()

    def restart(self) -> None:
        """Count the time without a heartbeat from now on."""
        self._beat_seen_s = self._observed_s = self._clock_s()

    def is_silent(self, beat_ns: int) -> bool:
        """Take in the newest heartbeat; return True where none was new for more than ``timeout_s``."""
        now_s = self._clock_s()
        if beat_ns != self._last_beat_ns or now_s - self._observed_s > PAUSE_PROVES_NOTHING_S:
            self._last_beat_ns = beat_ns
            self._beat_seen_s = now_s
        self._observed_s = now_s
        return now_s - self._beat_seen_s > self.timeout_s


class Heartbeat:
    """Calls ``beat`` every `BEAT_S` in a daemon thread, so that a process that waits for a disk still shows life."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._has_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ring-heartbeat", daemon=True)
        beat()
        self._thread.start()

    def _run(self) -> None:
        while not self._has_stopped.wait(BEAT_S):
            self._beat()

    def stop(self) -> None:
        """Stop and wait for the thread."""
        self._has_stopped.set()
        self._thread.join()
