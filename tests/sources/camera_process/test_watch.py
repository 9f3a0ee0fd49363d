"""When the camera process gives up."""

from __future__ import annotations

import mmap
import time

import pytest

from dblink_live.sources.camera_process import RingReader, RingShape, RingWriter, heartbeat, producer
from dblink_live.sources.frame_producer import StopSignal


@pytest.fixture
def ring() -> tuple[RingWriter, RingReader]:
    shape = RingShape(n_slots=4, slot_bytes=64)
    mapping = mmap.mmap(-1, shape.nbytes)
    return RingWriter(mapping, shape), RingReader(mapping)


def test_a_silent_reader_is_abandoned_and_a_beating_one_is_not(
    ring: tuple[RingWriter, RingReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = ring
    # Long enough for the beating reader to be seen on a busy machine, short enough to wait for.
    monkeypatch.setattr(producer, "READER_TIMEOUT_S", 0.5)
    watch = producer.ReaderMonitor()
    for _ in range(5):
        reader.beat()
        assert watch.order(writer) is StopSignal.GO_ON
        time.sleep(0.01)
    deadline = time.perf_counter() + 30.0
    while (told := watch.order(writer)) is StopSignal.GO_ON and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert told is StopSignal.ABANDON
    assert watch.has_abandoned
    reader.beat()
    assert watch.order(writer) is StopSignal.GO_ON


@pytest.mark.parametrize(
    "had_started", [False, True], ids=["a driver that is slow to initialize", "a machine that slept"]
)
def test_a_reader_is_not_blamed_for_a_time_in_which_nobody_looked(
    ring: tuple[RingWriter, RingReader], monkeypatch: pytest.MonkeyPatch, had_started: bool
) -> None:
    writer, reader = ring
    monkeypatch.setattr(producer, "READER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(heartbeat, "PAUSE_PROVES_NOTHING_S", 0.2)
    watch = producer.ReaderMonitor()
    if had_started:
        reader.beat()
        assert watch.order(writer) is StopSignal.GO_ON
    time.sleep(0.4)
    # The reader has given no sign yet: it wakes up, or hears that the camera is ready, in this same moment.
    assert watch.order(writer) is StopSignal.GO_ON
    assert not watch.has_abandoned


def test_a_request_to_stop_is_heard(ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    watch = producer.ReaderMonitor()
    assert watch.order(writer) is StopSignal.GO_ON
    reader.request_stop()
    assert watch.order(writer) is StopSignal.STOP


def test_a_polite_signal_stops_in_order(ring: tuple[RingWriter, RingReader]) -> None:
    writer, _ = ring
    watch = producer.ReaderMonitor()
    watch.on_terminate()
    assert watch.order(writer) is StopSignal.STOP
