"""Meters of a live run: rates and delays.

Each is fed by one thread and is cheap (no allocation a call). What is published of them is
`dblink_live.bus.StatusMessage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Clock = Callable[[], int]


class RateMeter:
    """Events a second over a sliding window of time.

    A ring of time slots holds the counts, so memory does not grow with the rate, and a source that stops falls to
    zero within ``window_s``.

    Parameters
    ----------
    window_s
        Time over which the rate is averaged.
    n_slots
        Resolution: the window moves in steps of ``window_s / n_slots``.
    clock
        Nanoseconds, never backwards; `time.perf_counter_ns` (on Windows `time.monotonic` ticks at 15.6 ms).

    Examples
    --------
    >>> now = iter([0, 0, 500_000_000, 1_000_000_000, 1_000_000_000])
    >>> meter = RateMeter(window_s=2.0, clock=lambda: next(now))
    >>> for _ in range(3):
    ...     meter.add(10)
    >>> meter.rate_hz()
    30.0
    >>> meter.total
    30
    """

    def __init__(self, window_s: float = 2.0, n_slots: int = 20, clock: Clock = time.perf_counter_ns) -> None:
        self._clock = clock
        self._slot_ns = max(1, round(window_s * 1e9 / n_slots))
        self._counts = [0] * n_slots
        self._start_ns = clock()
        self._slot = 0
        self.total = 0
        """All events since the meter was made."""

    def add(self, n: int = 1) -> None:
        """Count ``n`` events now."""
        self._advance(self._clock())
        self._counts[self._slot % len(self._counts)] += n
        self.total += n

    def rate_hz(self) -> float:
        """Events a second over the window, or over the meter's age while that is shorter; 0.0 at its birth."""
        now = self._clock()
        self._advance(now)
        oldest_slot = max(0, self._slot - len(self._counts) + 1)
        span_ns = now - self._start_ns - oldest_slot * self._slot_ns
        return sum(self._counts) * 1e9 / span_ns if span_ns > 0 else 0.0

    def _advance(self, now_ns: int) -> None:
        slot = (now_ns - self._start_ns) // self._slot_ns
        for stale in range(max(self._slot + 1, slot - len(self._counts) + 1), slot + 1):
            self._counts[stale % len(self._counts)] = 0
        self._slot = max(self._slot, slot)


@dataclass(frozen=True)
class StageStatus:
    """State of one stage of a live run."""

    name: str
    rate_hz: float
    """Frames (localize, bin), windows (reconstruct, store) or pictures (publish) per second, over the last seconds."""
    depth: int
    """Items that wait for it."""
    capacity: int
    """Items that may wait before the stage in front is held up."""
    delay_s: float | None
    """Age of the newest data when the stage was done with it; None before the first."""
    busy_s: float
    """Seconds that it has computed since the run began."""


@dataclass(frozen=True)
class LatencySummary:
    """Quantiles of a latency in seconds; None where nothing was measured."""

    n: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class LatencyRecorder:
    """Quantiles of the last ``capacity`` latencies, and the count and maximum of all.

    The newest values, not a random sample of all: an operator asks how late the line is now.

    Examples
    --------
    >>> recorder = LatencyRecorder(capacity=3)
    >>> for seconds in (9.0, 1.0, 2.0, 3.0):
    ...     recorder.add(seconds)
    >>> recorder.summary()
    LatencySummary(n=4, p50=2.0, p99=2.98, max=9.0)
    """

    def __init__(self, capacity: int = 8192) -> None:
        self._values = np.zeros(capacity, dtype=np.float64)
        self._n = 0
        self._max = 0.0

    def add(self, latency_s: float) -> None:
        self._values[self._n % len(self._values)] = latency_s
        self._max = latency_s if self._n == 0 else max(self._max, latency_s)
        self._n += 1

    def summary(self) -> LatencySummary:
        if self._n == 0:
            return LatencySummary()
        p50, p99 = np.quantile(self._values[: min(self._n, len(self._values))], (0.5, 0.99))
        return LatencySummary(self._n, float(p50), float(p99), self._max)
