"""What a preview makes of what a user does in Micro-Manager: on a real core, asked without the bridge between."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pymmcore", reason="needs the extra 'micromanager'")

from java_bridge import demo_core

from dblink_live.errors import DblinkError, SourceError
from dblink_live.sources.frame_producer import HostClock, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.micromanager.live_buffer import LOOK_ANYWAY_S, MIN_BEHIND, BufferWatcher
from dblink_live.sources.micromanager.live_preview import LivePreview
from dblink_live.types import FrameArray, Gap, GapCause, Segment, Shape


class Watched:
    """A preview that runs in a thread, and what it hands over: a sink like the ring."""

    def __init__(self, core: Any, port: int) -> None:
        self.core = core
        self.segments: list[Segment] = []
        self.numbers: list[list[int]] = []
        """Of the frames of each segment."""
        self.gaps: list[Gap] = []
        self.error: DblinkError | None = None
        self._stopped = threading.Event()
        self._came = threading.Condition()
        self._preview = LivePreview(core, port)
        self.write_segment(self._preview.prepare(HostClock.now()).segment)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def write_segment(self, segment: Segment) -> None:
        self.segments.append(segment)
        self.numbers.append([])

    def write_frame(self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0) -> None:
        assert segment == self.segments[-1].index
        assert data.shape == self.segments[-1].shape
        with self._came:
            self.numbers[-1].append(number)
            self._came.notify()

    def write_gap(self, gap: Gap) -> None:
        assert gap.segment == self.segments[-1].index
        self.gaps.append(gap)

    def see(self, reason: str, n: int = 2) -> Segment:
        """Wait for ``n`` frames of a segment that began for ``reason``."""
        with self._came:
            self._came.wait_for(lambda: self.segments[-1].reason == reason and len(self.numbers[-1]) >= n)
        return self.segments[-1]

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def wait_for_error(self) -> str:
        self._thread.join()
        assert self.error is not None
        return str(self.error)

    def _run(self) -> None:
        try:
            self._preview.run(self, lambda: StopSignal.STOP if self._stopped.is_set() else StopSignal.GO_ON)
        except DblinkError as error:
            self.error = error


@pytest.fixture
def core() -> Iterator[Any]:
    core = demo_core()
    core.setExposure(20.0)
    yield core
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.unloadAllDevices()


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody listens there: Micro-Manager has not been closed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def watch(core: Any, port: int) -> Iterator[Callable[[], Watched]]:
    previews: list[Watched] = []

    def start() -> Watched:
        previews.append(Watched(core, port))
        return previews[-1]

    yield start
    for preview in previews:
        preview.stop()


def _restart(core: Any, change: Callable[[], None] = lambda: None) -> None:
    core.stopSequenceAcquisition()
    change()
    core.startContinuousSequenceAcquisition(0)


def _expect_every_number(watched: Watched) -> None:
    """In each segment, frames and known gaps follow each other without a hole."""
    for segment, numbers in zip(watched.segments, watched.numbers, strict=True):
        missed = [
            number
            for gap in watched.gaps
            if gap.segment == segment.index and gap.count is not None
            for number in range(gap.after + 1, gap.after + 1 + gap.count)
        ]
        assert sorted([*numbers, *missed]) == list(range(len(numbers) + len(missed)))
    assert all(gap.cause is GapCause.PREVIEW for gap in watched.gaps)


def test_each_change_begins_a_segment(core: Any, watch: Callable[[], Watched]) -> None:
    core.startContinuousSequenceAcquisition(0)
    watched = watch()
    first = watched.see("start")
    assert (first.position, first.channel, first.pixel_size_nm) == ("x 0.0 um, y 0.0 um", "DAPI", 1000.0)
    _restart(core, lambda: core.setROI(16, 8, 64, 32))
    roi = watched.see("roi")
    assert (roi.shape, roi.roi) == (Shape(32, 64), (16, 8, 64, 32))
    core.setExposure(25.0)
    assert watched.see("exposure").exposure_ms == 25.0
    core.setConfig("Channel", "FITC")
    assert watched.see("channel").channel == "FITC"
    core.setXYPosition(200.0, 50.0)
    assert watched.see("position").position == "x 200.0 um, y 50.0 um"
    core.setConfig("Objective", "20X")
    assert watched.see("pixel size").pixel_size_nm == 500.0

    def bin_whole_sensor() -> None:
        core.clearROI()
        core.setProperty("Camera", "Binning", "2")

    _restart(core, bin_whole_sensor)
    binned = watched.see("binning")
    assert (binned.shape, binned.binning, binned.pixel_size_nm) == (Shape(256, 256), 2, 1000.0)
    _restart(core)
    watched.see("restart")
    watched.stop()
    assert [segment.reason for segment in watched.segments] == [
        *("start", "roi", "exposure", "channel", "position", "pixel size", "binning", "restart")
    ]
    assert [segment.index for segment in watched.segments] == list(range(8))
    _expect_every_number(watched)


def test_the_pixel_type_begins_a_segment(core: Any, watch: Callable[[], Watched]) -> None:
    core.startContinuousSequenceAcquisition(0)
    watched = watch()
    watched.see("start")
    _restart(core, lambda: core.setProperty("Camera", "PixelType", "8bit"))
    assert watched.see("pixel type").dtype == "uint8"


@pytest.mark.parametrize("pixel_type", ["32bitRGB", "32bit"])
def test_other_pixels_in_the_middle_end_it(core: Any, watch: Callable[[], Watched], pixel_type: str) -> None:
    core.startContinuousSequenceAcquisition(0)
    watched = watch()
    watched.see("start")
    _restart(core, lambda: core.setProperty("Camera", "PixelType", pixel_type))
    message = watched.wait_for_error()
    assert "expected grey frames of 8 to 16 bits" in message
    assert "\n" not in message


@pytest.mark.parametrize("pixel_type", ["32bitRGB", "32bit"])
def test_other_pixels_are_refused(core: Any, port: int, pixel_type: str) -> None:
    core.setProperty("Camera", "PixelType", pixel_type)
    with pytest.raises(SourceError, match="expected grey frames of 8 to 16 bits"):
        LivePreview(core, port).prepare(HostClock.now())


def test_frames_from_before_are_not_shown(core: Any) -> None:
    core.startSequenceAcquisition(3, 0, True)
    while core.isSequenceRunning():
        pass
    buffer = BufferWatcher(CameraCore(core))
    assert buffer.look().frames == []
    core.startSequenceAcquisition(2, 0, True)
    while core.isSequenceRunning():
        pass
    sighting = buffer.look()
    assert [number for number, _ in sighting.frames] == [0, 1]
    assert sighting.has_restarted
    assert sighting.was_seen_to_end


def test_a_sequence_that_begins_during_a_look_is_one_sequence(core: Any) -> None:
    camera = CameraCore(core)
    core.setExposure(5.0)
    core.startSequenceAcquisition(3, 0, True)
    buffer = BufferWatcher(camera)
    seen: list[int] = []
    while not seen or seen[-1] < 2 or core.isSequenceRunning():
        seen += [number for number, _ in buffer.look().frames]
    time.sleep(LOOK_ANYWAY_S)
    assert buffer.look().frames == []  # and with that it has seen the end
    time.sleep(LOOK_ANYWAY_S)
    ask = camera.is_running

    def ask_just_before_the_next_one_starts() -> bool:
        camera.is_running = ask
        is_running = ask()
        core.startContinuousSequenceAcquisition(0)
        while not core.getRemainingImageCount():
            pass
        return is_running

    camera.is_running = ask_just_before_the_next_one_starts
    restarts, numbers = 0, []
    while len(numbers) < 5:
        sighting = buffer.look()
        restarts += sighting.has_restarted
        numbers += [number for number, _ in sighting.frames]
    core.stopSequenceAcquisition()
    assert restarts == 1
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_frames_that_come_between_two_questions_are_not_missed(core: Any) -> None:
    """The buffer is asked how many it holds, then for the newest: what came in between is held as well."""
    camera = CameraCore(core)
    core.setExposure(5.0)
    core.startContinuousSequenceAcquisition(0)
    buffer = BufferWatcher(camera)
    while not buffer.look().frames:
        pass
    ask, n_asked = camera.n_waiting, 0

    def ask_just_before_two_more_come() -> int:
        nonlocal n_asked
        camera.n_waiting = ask
        while not (n_asked := ask()):
            pass
        while ask() < n_asked + 2:
            pass
        return n_asked

    for _ in range(5):
        # Few are held, as when Micro-Manager's buffer has cleared itself.
        while core.getRemainingImageCount():
            core.popNextImage()
        numbers: list[int] = []
        while not numbers:
            camera.n_waiting = ask_just_before_two_more_come
            numbers = [number for number, _ in buffer.look().frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) >= min(n_asked + 2, MIN_BEHIND)


def test_what_another_consumer_takes_out_is_counted(core: Any) -> None:
    """An acquisition pops its frames: those that it was faster with are missed, and no others."""
    camera = CameraCore(core)
    buffer = BufferWatcher(camera)
    core.setExposure(1.0)
    core.startSequenceAcquisition(20, 0, True)
    while core.getRemainingImageCount() < 1:
        pass
    seen = [number for number, _ in buffer.look().frames]
    while core.isSequenceRunning():
        pass
    for _ in range(15):
        core.popNextImage()
    seen += [number for number, _ in buffer.look().frames]
    assert seen == [seen[0], *range(max(15, seen[0] + 1), 20)]


def test_a_buffer_that_clears_itself_leaves_a_hole_and_no_restart(core: Any) -> None:
    core.setCircularBufferMemoryFootprint(4)
    core.setExposure(1.0)
    core.startContinuousSequenceAcquisition(0)
    buffer = BufferWatcher(CameraCore(core))
    numbers: list[int] = []
    while not numbers or numbers[-1] < 40:
        sighting = buffer.look()
        assert not sighting.has_restarted
        numbers += [number for number, _ in sighting.frames]
        # Eight frames fit: at this pace the core has thrown them away more than once.
        while core.getRemainingImageCount() > 2:
            pass
    core.stopSequenceAcquisition()
    assert numbers == sorted(set(numbers))
