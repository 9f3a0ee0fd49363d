"""A simulated camera as a Micro-Manager device: what the line sees is a real core, with its buffer and its tags.

The device runs inside pymmcore-plus's ``UniMMCore``, which accepts cameras written in Python beside compiled ones.
Frames are rendered ahead in a thread, so that the camera keeps its pace whatever a single frame costs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pymmcore_plus.experimental.unicore import CameraDevice, UniMMCore

from dblink_live.types import FrameArray, Shape

LABEL = "BlinkingCamera"
AHEAD_BYTES = 64 * 2**20
"""Rendered frames that wait in memory."""
PREFILL_S = 1.0
"""Seconds of frames that are ready before the first one is due."""


class FrameMaker(Protocol):
    """Makes frames that depend on their number alone."""

    shape: Shape

    def frame(self, number: int) -> npt.NDArray[np.uint16]:
        """Frame ``number`` [H, W]."""
        ...


class RenderAhead:
    """Renders frames 0, 1, 2... in a thread, at most ``capacity`` ahead of whoever takes them."""

    def __init__(self, maker: FrameMaker, capacity: int, n_frames: int | None) -> None:
        self._maker = maker
        self._n_frames = n_frames
        self._ready: queue.Queue[FrameArray | Exception] = queue.Queue(capacity)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._render, name="render-ahead", daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Return once ``count`` frames are ready, or all there will be."""
        while self._ready.qsize() < min(count, self._ready.maxsize) and self._thread.is_alive():
            time.sleep(0.002)

    def take(self) -> FrameArray:
        """The next frame; raises what rendering it raised."""
        item = self._ready.get()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self) -> None:
        self._stopped.set()

    def _render(self) -> None:
        number = 0
        while not self._stopped.is_set() and (self._n_frames is None or number < self._n_frames):
            item: FrameArray | Exception
            try:
                item = self._maker.frame(number)
            except Exception as error:
                # Handed over to the camera's thread, where the core can see it.
                item = error
                self._n_frames = number
            while not self._stopped.is_set():
                try:
                    self._ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            number += 1


class BlinkingCamera(CameraDevice):
    """A camera whose frames come from a `FrameMaker`, at one frame an exposure.

    Parameters
    ----------
    maker
        Renders the frames.
    exposure_ms
        Time between frames.
    n_frames
        Frames that will be asked for, when known: no more are rendered.
    """

    def __init__(self, maker: FrameMaker, exposure_ms: float, n_frames: int | None = None) -> None:
        super().__init__()
        self._maker = maker
        self._exposure_ms = exposure_ms
        frame_bytes = 2 * maker.shape.height * maker.shape.width
        self._capacity = max(2, AHEAD_BYTES // frame_bytes)
        self._n_frames = n_frames
        self._renderer: RenderAhead | None = RenderAhead(maker, self._capacity, n_frames)

    def get_exposure(self) -> float:
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        self._exposure_ms = exposure

    def shape(self) -> tuple[int, int]:
        return self._maker.shape.height, self._maker.shape.width

    def dtype(self) -> npt.DTypeLike:
        return np.uint16

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], npt.DTypeLike], npt.NDArray[np.uint16]]
    ) -> Iterator[Mapping[str, str]]:
        """Yield frames 0, 1, 2... of the maker, each when its exposure ends."""
        # The first sequence takes the frames that were rendered since the camera was made.
        renderer = self._renderer or RenderAhead(self._maker, self._capacity, self._n_frames)
        self._renderer = None
        limit = min(value for value in (n, self._n_frames, 2**63) if value is not None)
        try:
            interval_s = self._exposure_ms / 1000.0
            renderer.wait_for(min(limit, max(2, int(PREFILL_S / max(interval_s, 1e-4)))))
            started = time.perf_counter()
            for number in range(limit):
                frame = renderer.take()
                _sleep_until(started + (number + 1) * interval_s)
                get_buffer(self.shape(), self.dtype())[:] = frame
                yield {}
        finally:
            renderer.stop()


def _sleep_until(moment: float) -> None:
    remaining = moment - time.perf_counter()
    if remaining > 0:
        time.sleep(remaining)


def core_with(camera: BlinkingCamera, pixel_size_nm: float) -> UniMMCore:
    """A real Micro-Manager core whose camera is the given one, calibrated to a pixel size."""
    core = UniMMCore()
    core.loadPyDevice(LABEL, camera)
    core.initializeDevice(LABEL)
    core.setCameraDevice(LABEL)
    # Without a condition: the core below knows compiled devices only, and could not look a Python one up.
    core.definePixelSizeConfig("sample")
    core.setPixelSizeUm("sample", pixel_size_nm / 1000.0)
    return core
