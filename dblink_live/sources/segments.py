"""Segments of a camera: what a core says of its frames, and what makes the next segment begin."""

from __future__ import annotations

import math

import numpy as np

from dblink_live.latency import CORE_BUFFER_S
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.types import Segment

MIN_BUFFER_MB = 16
MAX_BUFFER_MB = 2048
"""A large sensor is read far less often than its exposure of 1 ms would allow; this much memory is the limit."""

_REASONS = {
    "dtype": "pixel type",
    "bit_depth": "pixel type",
    "binning": "binning",
    "roi": "roi",
    "shape": "roi",
    "exposure_ms": "exposure",
    "channel": "channel",
    "position": "position",
    "pixel_size_nm": "pixel size",
}
"""Reason for a new segment by the fact that changed; where several change at once, the first one here names it."""


def segment_of(core: CameraCore, clock: HostClock, *, interval_ms: float | None = None) -> Segment:
    """The segment that would begin now, of index 0.

    Parameters
    ----------
    core
        Its camera's settings are read.
    clock
        Anchor of the segment's time.
    interval_ms
        Time between frames where it is known; None takes the exposure.

    Raises
    ------
    SourceError
        The camera delivers colour or more than 16 bits.
    """
    dtype = core.pixel_dtype()
    exposure_ms = core.exposure_ms
    interval_ms = exposure_ms if interval_ms is None else interval_ms
    return Segment(
        index=0,
        shape=core.shape,
        dtype=dtype,
        exposure_ms=exposure_ms,
        frame_interval_ms=interval_ms if interval_ms > 0 else None,
        pixel_size_nm=core.pixel_size_nm,
        roi=core.roi,
        binning=core.binning,
        wall_clock_anchor_ns=clock.wall_anchor_ns,
        host_anchor_ns=clock.host_anchor_ns,
        bit_depth=min(core.bit_depth, 8 if dtype == "uint8" else 16),
    )


def frame_bytes_of(segment: Segment) -> int:
    """Bytes of one of its frames."""
    return segment.shape.height * segment.shape.width * np.dtype(segment.dtype).itemsize


def buffer_mb(frame_bytes: int, fps: float) -> int:
    """Size of a core's circular buffer: `CORE_BUFFER_S` of frames, within `MIN_BUFFER_MB` and `MAX_BUFFER_MB`."""
    return min(max(MIN_BUFFER_MB, math.ceil(CORE_BUFFER_S * fps * frame_bytes / 2**20)), MAX_BUFFER_MB)


def saturation_of(segment: Segment) -> int:
    """Lowest saturated count."""
    bits = segment.bit_depth or 8 * np.dtype(segment.dtype).itemsize
    return (1 << bits) - 1


def reason_of_change(before: Segment, now: Segment) -> str | None:
    """Why ``now`` is another segment than ``before``; None where their frames belong together.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from dblink_live.types import Shape
    >>> segment = Segment(0, Shape(64, 64), "uint16", exposure_ms=10.0)
    >>> reason_of_change(segment, replace(segment, exposure_ms=20.0, channel="DAPI"))
    'exposure'
    >>> reason_of_change(segment, segment) is None
    True
    """
    for name, reason in _REASONS.items():
        if getattr(before, name) != getattr(now, name):
            return reason
    return None
