"""Cores that the tests of the camera process have built inside it. Imported there by name, so it imports little."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dblink_live.errors import SourceError, SourceLostError
from dblink_live.sources.frame_producer import FrameSink, HostClock, ProducerPlan, StopSignal
from dblink_live.types import Gap, GapCause, Segment, Shape


@dataclass
class Rectangle:
    """As java.awt.Rectangle appears through pycromanager."""

    x: int
    y: int
    width: int
    height: int


@dataclass
class TaggedImage:
    pix: np.ndarray
    tags: dict[str, str]


class SnakeCaseCore:
    """Speaks like pycromanager's Core with the Java backend: snake_case, flat signed pixels, tagged images.

    ``numbers`` are the image numbers that it hands over; a negative one makes the driver raise there.
    """

    def __init__(self, numbers: list[int], *, endless: bool = False, interval_s: float = 0.0) -> None:
        self._numbers = numbers
        self._endless = endless
        self._interval_s = interval_s
        self._next = 0
        self._running = False

    def get_camera_device(self) -> str:
        return "Snake"

    def get_number_of_camera_channels(self) -> int:
        return 1

    def get_image_height(self) -> int:
        return 3

    def get_image_width(self) -> int:
        return 5

    def get_bytes_per_pixel(self) -> int:
        return 2

    def get_number_of_components(self) -> int:
        return 1

    def get_image_bit_depth(self) -> int:
        return 12

    def get_exposure(self) -> float:
        return 1.0

    def get_pixel_size_um(self) -> float:
        return 0.0

    def get_roi(self) -> Rectangle:
        return Rectangle(7, 8, 5, 3)

    def get_property(self, label: str, name: str) -> str:
        return {"Binning": "2x2"}[name]

    def set_circular_buffer_memory_footprint(self, megabytes: int) -> None:
        pass

    def start_sequence_acquisition(self, n: int, interval_ms: float, stop_on_overflow: bool) -> None:
        assert stop_on_overflow
        self._running = True

    def stop_sequence_acquisition(self) -> None:
        self._running = False

    def is_sequence_running(self) -> bool:
        return self._running and (self._endless or self._next < len(self._numbers))

    def is_buffer_overflowed(self) -> bool:
        return False

    def get_remaining_image_count(self) -> int:
        if self._endless:
            return 1 if self._running else 0
        return len(self._numbers) - self._next

    def pop_next_tagged_image(self) -> TaggedImage:
        time.sleep(self._interval_s)
        number = self._next if self._endless else self._numbers[self._next]
        self._next += 1
        if number < 0:
            raise RuntimeError("the driver broke")
        # 40000 does not fit a signed 16-bit integer: Java hands over the same bits with a sign.
        pixels = np.full(15, 40_000, np.uint16).view(np.int16)
        return TaggedImage(pixels, {"ImageNumber": str(number), "Height": "3", "Width": "5"})

    def unload_all_devices(self) -> None:
        pass


def snake(numbers: str, endless: bool = False, interval_s: float = 0.0) -> SnakeCaseCore:
    """A `SnakeCaseCore`; numbers separated by commas."""
    return SnakeCaseCore([int(n) for n in numbers.split(",") if n], endless=endless, interval_s=interval_s)


def demo_camera(
    pixel_type: str = "16bit",
    pop_delay_s: float = 0.0,
    hangs_after: int | None = None,
    fails_after_s: float | None = None,
    failure: str = "ends",
    exposure_ms: float = 2.0,
) -> Any:
    """A real core with DemoCamera, whose popping can be slowed down.

    It can hang after so many frames, as a driver does that does not notice that its camera is gone; or it can end its
    sequence or crash in the middle, as drivers do that notice it in their ways.
    """
    import mm_test_adapters
    import pymmcore

    class SlowCore(pymmcore.CMMCore):
        n_popped = 0
        is_hung = False

        def popNextImageMD(self, *args: Any) -> np.ndarray:  # noqa: N802
            time.sleep(pop_delay_s)
            image = super().popNextImageMD(*args)
            self.n_popped += 1
            if self.n_popped == hangs_after:
                super().stopSequenceAcquisition()
                self.is_hung = True
            return image

        def getRemainingImageCount(self) -> int:  # noqa: N802
            return 0 if self.is_hung else super().getRemainingImageCount()

        def isSequenceRunning(self, *args: Any) -> bool:  # noqa: N802
            return self.is_hung or super().isSequenceRunning(*args)

        def stopSequenceAcquisition(self, *args: Any) -> None:  # noqa: N802
            self.is_hung = False
            super().stopSequenceAcquisition(*args)

        def startSequenceAcquisition(self, *args: Any) -> None:  # noqa: N802
            super().startSequenceAcquisition(*args)
            if fails_after_s is not None:
                threading.Timer(fails_after_s, self.fail).start()

        def fail(self) -> None:
            if failure == "crashes":
                super().setProperty("Cam", "SimulateCrash", "Dereference Null Pointer")
            super().stopSequenceAcquisition()

    core = SlowCore()
    core.setDeviceAdapterSearchPaths([mm_test_adapters.device_adapter_path()])
    core.loadDevice("Cam", "DemoCamera", "DCam")
    core.initializeAllDevices()
    core.setCameraDevice("Cam")
    core.setProperty("Cam", "PixelType", pixel_type)
    core.setExposure(exposure_ms)
    return core


def demo_that_lists_modules() -> Any:
    """The real ``mm:core`` builder; raises when it has brought in what the camera process must not import."""
    from dblink_live.sources.micromanager.core import build_core

    core = build_core("MMConfig_demo.cfg")
    found = {"torch", "zarr", "tensorstore", "PySide6", "PyQt6", "qtpy"} & set(sys.modules)
    if found:
        raise ImportError(f"the camera process imported {sorted(found)}")
    return core


def crashes() -> Any:
    """A driver that takes the process down."""
    os._exit(7)


def prints_a_lot() -> Any:
    """A chatty driver: more on standard output than a pipe holds."""
    os.write(1, b"driver says hello\n" * 20_000)
    return snake("0,1,2")


class LeavingFeed:
    """Gives three frames and goes away, each time that it is opened.

    ``count`` counts the times in a file, which outlives the process; the second time it is not there at all, and from
    the third on it stays.
    """

    def __init__(self, count: str) -> None:
        times = Path(count)
        self.n_times = len(times.read_text(encoding="utf-8")) + 1 if times.exists() else 1
        times.write_text("x" * self.n_times, encoding="utf-8")
        if self.n_times == 2:
            raise SourceError("expected the other program, found nobody")

    def prepare(self, clock: HostClock) -> ProducerPlan:
        shape = Shape(4, 6) if self.n_times == 1 else Shape(40, 60)
        return ProducerPlan(Segment(0, shape, "uint16"), 2 * shape.height * shape.width, fps=10.0)

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        shape = (4, 6) if self.n_times == 1 else (40, 60)
        for number in range(3):
            sink.write_frame(0, number, 0, np.full(shape, self.n_times, np.uint16))
        if self.n_times == 1:
            sink.write_gap(Gap(0, 2, None, GapCause.PREVIEW))
            raise SourceLostError("the other program was closed")
        while order() is StopSignal.GO_ON:
            time.sleep(0.001)

    def close(self) -> None: ...


def leaving(count: str) -> LeavingFeed:
    """A `LeavingFeed`."""
    return LeavingFeed(count)


def fails_for_good() -> LeavingFeed:
    """A feed that is opened and then fails for a reason that no new start will mend."""

    class Failing(LeavingFeed):
        def __init__(self) -> None:
            self.n_times = 1

        def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
            raise SourceError("expected grey frames, found colour")

    return Failing()
