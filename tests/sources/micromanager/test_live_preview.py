"""``mm:live``: a preview of a Micro-Manager that runs, over the bridge: unmodified client, real core, no Java."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import psutil
import pytest

pytest.importorskip("pymmcore", reason="needs the extra 'micromanager'")

import zmq
from bridge_client import RunningMicroManager
from java_bridge import free_port

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.sources.camera_process import launch_camera
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape


@pytest.fixture
def running() -> Iterator[RunningMicroManager]:
    micromanager = RunningMicroManager()
    yield micromanager
    micromanager.kill()


@pytest.fixture
def opened() -> Iterator[Callable[[RunningMicroManager], tuple[FrameSource, list[SourceEvent]]]]:
    """Opens previews, with their first segments, and closes them."""
    sources: list[FrameSource] = []

    def open_one(micromanager: RunningMicroManager, options: str = "") -> tuple[FrameSource, list[SourceEvent]]:
        source = open_source(f"mm:live?port={micromanager.port}{options}", launch=launch_camera)
        sources.append(source)
        return source, [source.open()]

    yield open_one
    for source in sources:
        source.close()


def _read_until(source: FrameSource, events: list[SourceEvent], enough: Callable[[], bool]) -> None:
    while not enough():
        events += source.read(64, 0.2)


def _n_frames(events: list[SourceEvent]) -> int:
    """Of the newest segment."""
    newest = max(index for index, event in enumerate(events) if isinstance(event, Segment))
    return sum(isinstance(event, Frame) for event in events[newest:])


def _segments(events: list[SourceEvent]) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


def _expect_every_number(events: list[SourceEvent]) -> None:
    """In each segment, frames and known gaps follow each other without a hole."""
    expected = 0
    for event in events:
        if isinstance(event, Segment):
            expected = 0
        elif isinstance(event, Gap):
            assert event.cause is GapCause.PREVIEW
            assert event.after == expected - 1
            expected += event.count or 0
        else:
            assert event.number == expected
            expected += 1


def test_frames_are_seen_in_order_and_every_miss_is_counted(running, opened) -> None:  # type: ignore[no-untyped-def]
    running.start_live()
    source, events = opened(running)
    segment = events[0]
    assert segment.is_preview
    assert source.is_live
    assert "preview" in source.name
    assert (segment.shape, segment.dtype, segment.roi) == (Shape(512, 512), "uint16", (0, 0, 512, 512))
    assert (segment.exposure_ms, segment.pixel_size_nm, segment.channel) == (20.0, 1000.0, "DAPI")
    _read_until(source, events, lambda: _n_frames(events) >= 8)
    _expect_every_number(events)
    assert len(_segments(events)) == 1
    frames = [event for event in events if isinstance(event, Frame)]
    assert all((earlier.data != later.data).any() for earlier, later in itertools.pairwise(frames))
    # What the camera has shown lies untouched in the core's buffer, and goes on being taken.
    assert running.do("isSequenceRunning")
    assert running.do("getRemainingImageCount") > len(frames)


def test_a_micromanager_that_is_started_again_is_found_again(running, opened) -> None:  # type: ignore[no-untyped-def]
    running.start_live()
    source, events = opened(running)
    _read_until(source, events, lambda: _n_frames(events) >= 2)
    running.kill()
    _read_until(source, events, lambda: isinstance(events[-1], Gap) and events[-1].count is None)
    again = RunningMicroManager(running.port)
    try:
        again.do("setROI", 0, 0, 100, 60)
        again.start_live()
        _read_until(source, events, lambda: len(_segments(events)) == 2 and _n_frames(events) >= 2)
        assert _segments(events)[1].reason == "restart"
        assert _segments(events)[1].shape == Shape(60, 100)
    finally:
        again.kill()
    _expect_every_number(events)
    source.stop()
    while not source.is_finished:
        source.read(64, 0.2)


def test_frames_that_become_larger_are_followed(running, opened) -> None:  # type: ignore[no-untyped-def]
    running.do("setROI", 0, 0, 32, 32)
    running.start_live()
    source, events = opened(running)
    _read_until(source, events, lambda: _n_frames(events) >= 2)
    running.stop_live()
    running.do("clearROI")
    running.start_live()
    _read_until(source, events, lambda: len(_segments(events)) == 2 and _n_frames(events) >= 2)
    assert _segments(events)[1].shape == Shape(512, 512)
    # How many came while the ring was made anew, nobody knows.
    assert any(isinstance(event, Gap) and event.count is None for event in events)


def test_so_many_frames_end_it(running, opened) -> None:  # type: ignore[no-untyped-def]
    running.start_live()
    source, events = opened(running, "&frames=3")
    assert source.n_frames_expected == 3
    while not source.is_finished:
        events += source.read(64, 0.2)
    assert _n_frames(events) == 3
    assert source.read(64, 0.0) == []


def test_a_closed_preview_leaves_no_process_and_no_objects(running, opened) -> None:  # type: ignore[no-untyped-def]
    running.start_live()
    source, events = opened(running)
    _read_until(source, events, lambda: _n_frames(events) >= 3)
    pid = source.pid
    source.close()
    assert not psutil.pid_exists(pid)
    # The core and, at most, the frame that was being asked for.
    assert running.do("n_objects") <= 2


def test_nobody_at_the_port_says_what_to_do() -> None:
    source = open_source(f"mm:live?port={free_port()}", launch=launch_camera)
    with pytest.raises(SourceError, match="found no server listening there; start Micro-Manager") as caught:
        source.open()
    assert "\n" not in str(caught.value)
    source.close()


def test_somebody_else_at_the_port_says_so() -> None:
    before = psutil.Process().children()  # Python's own tracker of resources, where an earlier test has begun it
    mute = zmq.Context.instance().socket(zmq.PULL)
    port = mute.bind_to_random_port("tcp://127.0.0.1")
    source = open_source(f"mm:live?port={port}", launch=launch_camera)
    with pytest.raises(SourceError, match="found a program that does not answer") as caught:
        source.open()
    assert "\n" not in str(caught.value)
    source.close()
    mute.close(linger=0)
    assert not [child for child in psutil.Process().children() if child not in before]
