"""Conversion between nanometres per second and nanometres per frame."""

from __future__ import annotations

from dblink_live.simulate.checks import require

SHORTEST_FRAME_MS = 1e-3
"""A microsecond: shorter than any camera's exposure, and far from dividing by nothing."""


def nm_per_frame(speed_nm_per_s: float, frame_ms: float) -> float:
    """Return the distance per frame, in nm, at ``speed_nm_per_s`` and ``frame_ms`` per frame.

    Frames follow each other without a pause, so the time between them is the exposure.

    Raises
    ------
    ConfigError
        A negative speed, or a frame that takes no time.

    Examples
    --------
    A microtubule that grows by 190 nm/s, at 50 frames per second:

    >>> nm_per_frame(190.0, frame_ms=20.0)
    3.8
    """
    require("speed_nm_per_s", speed_nm_per_s, 0.0)
    require("frame_ms", frame_ms, SHORTEST_FRAME_MS)
    return speed_nm_per_s * frame_ms / 1000.0


def nm_per_second(speed_nm_per_frame: float, frame_ms: float) -> float:
    """The speed in nm/s of something that goes ``speed_nm_per_frame`` in ``frame_ms``: the inverse of `nm_per_frame`.

    Raises
    ------
    ConfigError
        A negative speed, or a frame that takes no time.

    Examples
    --------
    The fastest drift of the released simulator, 0.08 nm a frame and axis, eight times as fast:

    >>> round(nm_per_second(8 * 0.08, frame_ms=20.0), 6)
    32.0
    """
    require("speed_nm_per_frame", speed_nm_per_frame, 0.0)
    require("frame_ms", frame_ms, SHORTEST_FRAME_MS)
    return speed_nm_per_frame * 1000.0 / frame_ms
