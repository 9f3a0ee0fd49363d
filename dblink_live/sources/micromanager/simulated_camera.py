"""A simulated camera as a Micro-Manager device: what the line sees is a real core, with its buffer and its tags.

The device runs inside pymmcore-plus's ``UniMMCore``, which accepts cameras written in Python beside compiled ones.
Frames are rendered ahead in a thread, so that the camera keeps its pace whatever a single frame costs.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pymmcore_plus.experimental.unicore import CameraDevice, UniMMCore

from dblink_live.types import FrameArray, Shape

LABEL = "SimulatedCamera"
AHEAD_BYTES = 512 * 2**20
"""Most memory for rendered frames that wait."""
PREFILL_S = 1.0
"""Seconds of frames that are at least ready before the first one is due."""
SHARE_OF_CORE = 0.25
"""What rendering may take of a core while frames are handed out; what that does not suffice for is rendered before."""
PREFILL_LIMIT_S = 60.0
"""Longest time that is spent on rendering before the start; a camera that would need more falls behind its pace."""


class FrameMaker(Protocol):
    """Makes frames that depend on their number alone."""

    @property
    def shape(self) -> Shape: ...

    def frame(self, number: int) -> npt.NDArray[np.uint16]:
        """Frame ``number`` [H, W]."""
        ...


class RenderAhead:
    """Renders frames 0, 1, 2... in a thread, ahead of their consumer.

    Parameters
    ----------
    maker
        Renders a frame.
    n_frames
        Frames that will be taken; None where unknown.
    """

    def __init__(self, maker: FrameMaker, n_frames: int | None) -> None:
        self._maker = maker
        self._n_frames = n_frames
        self._capacity = max(2, AHEAD_BYTES // (2 * maker.shape.height * maker.shape.width))
        self._ready: queue.Queue[FrameArray | Exception] = queue.Queue(self._capacity)
        self._stopped = threading.Event()
        self._is_handing_out = False
        self._cost_s = 0.0
        self._high_water = self._capacity
        self._thread = threading.Thread(target=self._render, name="render-ahead", daemon=True)
        self._thread.start()

    def prefill(self, interval_s: float) -> None:
        """Return once enough frames are ready to keep a pace of one in ``interval_s``."""
        deadline = time.perf_counter() + PREFILL_LIMIT_S
        while self._thread.is_alive() and time.perf_counter() < deadline:
            if self._cost_s and self._ready.qsize() >= self._n_needed(interval_s):
                break
            time.sleep(0.002)
        self._high_water = max(self._ready.qsize(), math.ceil(PREFILL_S / interval_s))
        self._is_handing_out = True

    def take(self) -> FrameArray:
        """The next frame; raises what rendering it raised."""
        item = self._ready.get()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self) -> None:
        self._stopped.set()

    def _n_needed(self, interval_s: float) -> int:
        """Frames that must be ready for the rest to be rendered with `SHARE_OF_CORE` while they are handed out."""
        least = math.ceil(PREFILL_S / interval_s)
        rendered_a_frame = SHARE_OF_CORE * interval_s / self._cost_s
        total = self._capacity if self._n_frames is None else self._n_frames
        backlog = math.ceil(total * (1.0 - rendered_a_frame))
        return min(max(least, backlog), total, self._capacity)

    def _render(self) -> None:
        number = 0
        while not self._stopped.is_set() and (self._n_frames is None or number < self._n_frames):
            started = time.perf_counter()
            item: FrameArray | Exception
            try:
                item = self._maker.frame(number)
            except Exception as error:
                # Handed over to the camera's thread, where the core can see it.
                item = error
                self._n_frames = number
            cost_s = time.perf_counter() - started
            # A running mean that follows changes within some twenty frames; the first frame costs more than most.
            self._cost_s = cost_s if number <= 1 else 0.95 * self._cost_s + 0.05 * cost_s
            self._put(item)
            number += 1
            if self._is_handing_out:
                self._rest()

    def _rest(self) -> None:
        """Leave the core to others: as long as enough frames wait, and at least for its share."""
        if self._ready.qsize() > self._high_water // 2:
            self._stopped.wait(self._cost_s * (1.0 / SHARE_OF_CORE - 1.0))
        while self._ready.qsize() >= self._high_water and not self._stopped.is_set():
            self._stopped.wait(0.01)

    def _put(self, item: FrameArray | Exception) -> None:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue


class SimulatedCamera(CameraDevice):
    """A camera whose frames come from a `FrameMaker`, at one frame an exposure.

    Parameters
    ----------
    maker
        Renders the frames.
    exposure_ms
        Time between frames. Making the camera takes as long as rendering enough frames for that pace.
    n_frames
        Frames that will be asked for, when known: no more are rendered.
    """

    def __init__(self, maker: FrameMaker, exposure_ms: float, n_frames: int | None = None) -> None:
        super().__init__()
        self._maker = maker
        self._exposure_ms = exposure_ms
        self._n_frames = n_frames
        self._renderer: RenderAhead | None = RenderAhead(maker, n_frames)
        self._renderer.prefill(exposure_ms / 1000.0)

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
        interval_s = self._exposure_ms / 1000.0
        renderer = self._renderer
        if renderer is None:
            renderer = RenderAhead(self._maker, self._n_frames)
            renderer.prefill(interval_s)
        self._renderer = None
        limit = min(value for value in (n, self._n_frames, 2**63) if value is not None)
        try:
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


def core_with(camera: SimulatedCamera, pixel_size_nm: float) -> UniMMCore:
    """A real Micro-Manager core whose camera is the given one, calibrated to a pixel size."""
    core = UniMMCore()
    core.loadPyDevice(LABEL, camera)
    core.initializeDevice(LABEL)
    core.setCameraDevice(LABEL)
    # Without a condition: the core below knows compiled devices only, and could not look a Python one up.
    core.definePixelSizeConfig("sample")
    core.setPixelSizeUm("sample", pixel_size_nm / 1000.0)
    return core
