"""A follower that is behind leaves the disk to the writer most of the time; the clock is one of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ndtiff_follower import check, follow, put

from benchmarks.ndtiff_writers import JavaStyleWriter
from dblink_live.interfaces import FrameSource
from dblink_live.sources.ndtiff.follower import LONGEST_REST_NS, RESTS

N_FRAMES = 300


class Clock:
    """Stands for the module `time`: every look at it takes a microsecond, and sleep passes at once."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.tick_ns = 1000
        self.slept_s: list[float] = []

    def perf_counter_ns(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns

    def time_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("dblink_live.sources.ndtiff.follower.time", clock)
    # Which is not that of the file system: a busy machine may take long between writing and reading.
    monkeypatch.setattr("dblink_live.sources.ndtiff.dataset.WRITTEN_WITHIN_S", 3600.0)
    return clock


@pytest.fixture
def source(tmp_path: Path, clock: Clock) -> Iterator[FrameSource]:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    put(writer, range(N_FRAMES))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    source.open()
    yield source
    source.close()
    writer.abandon()


def test_after_a_full_block_it_rests_for_longer_than_it_read(source: FrameSource, clock: Clock) -> None:
    began_ns = clock.now_ns
    events = source.read(64, 1.0)
    read_ns = clock.now_ns - began_ns
    assert clock.slept_s == []
    events += source.read(64, 1.0)
    assert len(clock.slept_s) == 1
    # Reading is timed from the first image on, for it may have been waited for.
    assert 0.9 * RESTS * read_ns < clock.slept_s[0] * 1e9 < RESTS * read_ns
    check(events, range(128))


def test_where_reading_takes_long_it_rests_no_longer_than_lets_it_catch_up(source: FrameSource, clock: Clock) -> None:
    clock.tick_ns = LONGEST_REST_NS // 64
    events = source.read(64, 1.0)
    assert RESTS * clock.now_ns > 2 * LONGEST_REST_NS
    clock.tick_ns = 1
    events += source.read(64, 1.0)
    assert len(clock.slept_s) == 1
    assert 0.9 * LONGEST_REST_NS < clock.slept_s[0] * 1e9 < LONGEST_REST_NS
    check(events, range(128))


def test_time_that_the_caller_took_is_rest_enough(source: FrameSource, clock: Clock) -> None:
    source.read(64, 1.0)
    clock.now_ns += 10**9
    source.read(64, 1.0)
    assert clock.slept_s == []


def test_of_a_dataset_that_nobody_writes_to_it_reads_without_rest(
    source: FrameSource, clock: Clock, tmp_path: Path
) -> None:
    os.utime(tmp_path / "acq_1" / "NDTiff.index", (0, 0))
    events = source.read(64, 1.0) + source.read(64, 1.0)
    assert clock.slept_s == []
    check(events, range(128))


def test_where_all_has_been_read_it_does_not_rest(source: FrameSource, clock: Clock) -> None:
    events = source.read(N_FRAMES + 1, 1.0)
    check(events, range(N_FRAMES))
    assert source.read(64, 0.0) == []
    assert clock.slept_s == []


def test_the_rest_is_no_longer_than_the_call_may_take(source: FrameSource, clock: Clock) -> None:
    events = source.read(200, 1.0)
    events += source.read(64, 5e-6)
    assert 0 < clock.slept_s[0] <= 5e-6
    check(events, range(200 + 64))
