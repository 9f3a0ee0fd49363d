"""Rates and latencies: right on a clock that the test holds."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.status import LatencyRecorder, LatencySummary, RateMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


def test_a_steady_rate_is_measured_however_the_events_are_grouped() -> None:
    clock = Clock()
    meter = RateMeter(window_s=2.0, clock=clock)
    for _ in range(500):
        clock.now_s += 0.02
        meter.add()
    # The window moves in steps of 0.1 s, so one event more or less can lie in it: 1 of 95 to 100.
    assert meter.rate_hz() == pytest.approx(50.0, rel=0.02)
    for _ in range(100):
        clock.now_s += 0.2
        meter.add(10)
    # Groups of 10 may just enter or leave: one group of ten in two seconds.
    assert meter.rate_hz() == pytest.approx(50.0, rel=0.1)
    assert meter.total == 1500


def test_the_rate_falls_to_zero_when_nothing_comes() -> None:
    clock = Clock()
    meter = RateMeter(window_s=1.0, clock=clock)
    meter.add(100)
    clock.now_s = 0.5
    assert meter.rate_hz() > 0
    clock.now_s = 5.0
    assert meter.rate_hz() == 0.0
    assert meter.total == 100


def test_a_young_meter_divides_by_its_age() -> None:
    clock = Clock()
    meter = RateMeter(window_s=10.0, clock=clock)
    assert meter.rate_hz() == 0.0
    clock.now_s = 1.0
    meter.add(30)
    assert meter.rate_hz() == pytest.approx(30.0)


def test_long_pauses_leave_no_stale_counts() -> None:
    clock = Clock()
    meter = RateMeter(window_s=1.0, n_slots=4, clock=clock)
    for second in (0.0, 0.3, 100.05, 1000.1):
        clock.now_s = second
        meter.add(1)
    clock.now_s = 1000.2
    # Only the last event lies within the last second; its window began between 0.75 and 1 s ago.
    assert 1.0 <= meter.rate_hz() <= 1 / 0.75


def test_quantiles_are_those_of_the_newest_values() -> None:
    values = np.random.default_rng(1).exponential(0.1, 1000)
    recorder = LatencyRecorder(capacity=200)
    for value in values:
        recorder.add(float(value))
    summary = recorder.summary()
    assert summary.n == 1000
    assert summary.p50 == pytest.approx(np.quantile(values[-200:], 0.5))
    assert summary.p99 == pytest.approx(np.quantile(values[-200:], 0.99))
    assert summary.max == pytest.approx(values.max())


def test_no_latency_is_not_zero_latency() -> None:
    assert LatencyRecorder().summary() == LatencySummary(n=0, p50=None, p99=None, max=None)
