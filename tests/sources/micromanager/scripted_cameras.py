"""Simulated cameras whose every pixel is known, built inside the camera process by the tests of the Python device."""

from __future__ import annotations

from typing import Any

import numpy as np

from dblink_live.types import Shape

SHAPE = Shape(12, 20)


class Numbered:
    """Frames that carry their number in each pixel, with the pixel's index added."""

    shape = SHAPE

    def __init__(self, breaks_at: int | None = None) -> None:
        self._breaks_at = breaks_at

    def frame(self, number: int) -> np.ndarray:
        if number == self._breaks_at:
            raise RuntimeError("the specimen dried out")
        return (np.arange(SHAPE.height * SHAPE.width, dtype=np.uint16) + number).reshape(SHAPE)


def numbered(n_frames: int | None = None, breaks_at: int | None = None) -> Any:
    """A core with a `SimulatedCamera` of numbered frames."""
    from dblink_live.sources.micromanager.simulated_camera import SimulatedCamera, core_with

    return core_with(SimulatedCamera(Numbered(breaks_at), exposure_ms=1.0, n_frames=n_frames), pixel_size_nm=108.0)
