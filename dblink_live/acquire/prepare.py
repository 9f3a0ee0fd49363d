"""Sets the camera as asked, and dimensions what stands between it and a reader."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dblink_live.acquire.core import CameraCore
from dblink_live.acquire.layout import RingShape
from dblink_live.acquire.pump import HostClock
from dblink_live.errors import SourceError
from dblink_live.types import CameraRecipe, Segment

BUFFER_S = 3.0
"""Seconds of frames that the core's circular buffer holds: it bridges hiccups of the pop loop."""
RING_S = 6.0
"""Seconds of frames that the ring holds: it bridges hiccups of the reader."""
MIN_BUFFER_MB = 16
MAX_BUFFER_MB = 2048
"""A large sensor is read far less often than its exposure of 1 ms would allow; this much memory is the limit."""
MIN_RING_SLOTS = 64
MAX_RING_BYTES = 2**30


@dataclass(frozen=True)
class CameraPlan:
    """A camera that is ready to start."""

    segment: Segment
    ring: RingShape
    buffer_mb: int
    saturation: int
    """Lowest saturated count."""


def prepare(core: CameraCore, recipe: CameraRecipe, clock: HostClock) -> CameraPlan:
    """Apply a recipe's settings to the camera and say what frames will come.

    Raises
    ------
    SourceError
        The camera refuses a setting, or delivers colour or more than 16 bits.
    """
    if recipe.binning is not None:
        core.set_binning(recipe.binning)
    if recipe.roi is not None:
        core.set_roi(*recipe.roi)
    exposure_ms = _exposure_ms(recipe)
    if exposure_ms is not None:
        core.set_exposure_ms(exposure_ms)
    dtype = core.pixel_dtype()
    shape = core.shape
    n_bytes = shape.height * shape.width * (1 if dtype == "uint8" else 2)
    interval_ms = 1000.0 / recipe.fps if recipe.fps else core.exposure_ms
    fps = 1000.0 / max(interval_ms, 0.5)
    buffer_mb = recipe.buffer_mb or min(max(MIN_BUFFER_MB, math.ceil(BUFFER_S * fps * n_bytes / 2**20)), MAX_BUFFER_MB)
    core.set_buffer_mb(buffer_mb)
    bit_depth = min(core.bit_depth, 8 if dtype == "uint8" else 16)
    segment = Segment(
        index=0,
        shape=shape,
        dtype=dtype,
        exposure_ms=core.exposure_ms,
        frame_interval_ms=interval_ms if interval_ms > 0 else None,
        pixel_size_nm=core.pixel_size_nm,
        roi=core.roi,
        binning=core.binning,
        wall_clock_anchor_ns=clock.wall_anchor_ns,
        host_anchor_ns=clock.host_anchor_ns,
        bit_depth=bit_depth,
    )
    return CameraPlan(segment, ring_shape(n_bytes, fps), buffer_mb, saturation=2**bit_depth - 1)


def ring_shape(frame_bytes: int, fps: float) -> RingShape:
    """A ring of about `RING_S` seconds, within `MAX_RING_BYTES`."""
    wanted = max(MIN_RING_SLOTS, math.ceil(RING_S * fps))
    affordable = max(4, MAX_RING_BYTES // frame_bytes)
    return RingShape(n_slots=min(wanted, affordable), slot_bytes=frame_bytes)


def _exposure_ms(recipe: CameraRecipe) -> float | None:
    if recipe.fps is None:
        return recipe.exposure_ms
    interval_ms = 1000.0 / recipe.fps
    if recipe.exposure_ms is None:
        return interval_ms
    if recipe.exposure_ms > interval_ms * (1 + 1e-6):
        raise SourceError(
            f"expected an exposure of at most {interval_ms:g} ms at {recipe.fps:g} frames a second, "
            f"found exposure_ms={recipe.exposure_ms:g}; lower one of the two"
        )
    return recipe.exposure_ms
