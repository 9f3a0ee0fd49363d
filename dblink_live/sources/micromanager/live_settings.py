"""Notices what a user changes in Micro-Manager while frames are watched: each change begins a segment."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame
from dblink_live.sources.segments import reason_of_change, segment_of
from dblink_live.types import Segment

LOOK_EVERY_S = 0.25
"""Between looks at what frames do not carry: exposure, channel, stage. A change is seen so late."""
SHARE = 8
"""Times as long as a look has taken the next one is put off."""
STILL_UM = 1.0
"""A stage that reads out less than this apart stands still: encoders tremble by a tenth of it."""


class SettingsWatcher:
    """What the camera is set to, and what it was.

    Parameters
    ----------
    core
        Only asked.
    clock
        Anchor of the segments' time.
    """

    def __init__(self, core: CameraCore, clock: HostClock) -> None:
        self._core = core
        self._clock = clock
        self._due_at = 0.0
        self._stage_um: tuple[float, float] | None = None
        """Where the segment's frames were taken."""
        self._moving_um: tuple[float, float] | None = None
        self.segment: Segment | None = None
        """What frames belong to now; its index is the caller's."""

    def begin(self, otherwise: str) -> Segment:
        """The segment that begins now: its reason is what has changed, or ``otherwise``.

        Raises
        ------
        SourceError
            The camera delivers colour or more than 16 bits.
        """
        before = self.segment
        self._stage_um = self._core.stage_um
        now = self._read()
        reason = otherwise if before is None else reason_of_change(before, now) or otherwise
        self.segment = replace(now, reason=reason)
        return self.segment

    def is_due(self) -> bool:
        """Return whether settings are to be looked at again."""
        return time.perf_counter() >= self._due_at

    def look(self) -> None:
        """See whether something that frames do not tell has changed; `segment` is then another one."""
        started = time.perf_counter()
        known = self.segment
        if known is not None:
            self._follow_stage()
            now = replace(
                known,
                exposure_ms=self._core.exposure_ms,
                pixel_size_nm=self._core.pixel_size_nm,
                channel=self._core.channel,
                position=self._position,
            )
            reason = reason_of_change(known, now)
            if reason is not None:
                self.segment = replace(now, reason=reason)
        self._set_due(started)

    def differs(self, frame: TaggedFrame) -> bool:
        """Return whether a frame was taken with another region, binning or pixel type."""
        known = self.segment
        if known is None or frame.data.shape != tuple(known.shape) or frame.data.dtype != known.dtype:
            return True
        binning = frame.tags.get("Binning", "").partition("x")[0]
        region = frame.tags.get("ROI", "").split("-")
        if binning.isdigit() and int(binning) != known.binning:
            return True
        return len(region) == 4 and all(map(str.isdigit, region)) and tuple(map(int, region)) != known.roi

    def _read(self) -> Segment:
        started = time.perf_counter()
        # How often frames come is up to Micro-Manager: the exposure is only the least time between them.
        segment = replace(
            segment_of(self._core, self._clock),
            frame_interval_ms=None,
            channel=self._core.channel,
            position=self._position,
            is_preview=True,
        )
        self._set_due(started)
        return segment

    @property
    def _position(self) -> str | None:
        if self._stage_um is None:
            return None
        # Adding 0.0 makes of -0.0 the same place as 0.0.
        x, y = (round(value, 1) + 0.0 for value in self._stage_um)
        return f"x {x:.1f} um, y {y:.1f} um"

    def _set_due(self, started: float) -> None:
        """Settings take their share of the bridge and no more: frames are what it is for."""
        now = time.perf_counter()
        self._due_at = now + max(LOOK_EVERY_S, SHARE * (now - started))

    def _follow_stage(self) -> None:
        """Take a new place for the frames' once the stage has stopped there."""
        now, before = self._core.stage_um, self._moving_um
        self._moving_um = now
        if now is None or before is None or self._stage_um is None:
            return
        if math.dist(now, before) < STILL_UM and math.dist(now, self._stage_um) >= STILL_UM:
            self._stage_um = now


def expect_grey(frame: TaggedFrame) -> None:
    """Refuse a frame of colour or of more than 16 bits.

    Raises
    ------
    SourceError
        It is one.
    """
    if frame.data.dtype.kind != "u" or frame.data.dtype.itemsize > 2 or frame.data.ndim != 2:
        found = frame.tags.get("PixelType", str(frame.data.dtype))
        raise SourceError(
            f"expected grey frames of 8 to 16 bits, found {found}; set the camera's PixelType to 8bit or 16bit"
        )
