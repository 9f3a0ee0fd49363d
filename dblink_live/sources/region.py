"""A recording of which only a region is taken, or whose exposure the user states."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources.segments import saturation_of
from dblink_live.types import Frame, Segment, Shape

_LOG = logging.getLogger(__name__)


class RegionSource:
    """A `FrameSource` over another one.

    Parameters
    ----------
    source
        A recording.
    roi
        x, y, width, height in pixels of its frames; None takes whole frames.
    exposure_ms
        What counts as their exposure, also where the recording states another; None takes what it states.
    """

    def __init__(self, source: FrameSource, roi: tuple[int, int, int, int] | None, exposure_ms: float | None) -> None:
        self._source = source
        self._roi = roi
        self._exposure_ms = exposure_ms
        self._saturation = 2**16 - 1
        self.name = source.name
        self.is_live = source.is_live

    def open(self) -> Segment:
        """Open the recording and describe the frames of the region.

        Raises
        ------
        SourceError
            It cannot be opened, or the region does not lie in its frames.
        """
        return self._changed(self._source.open())

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        """Return the next frames, cropped; raises as the recording does."""
        return [self._cropped(event) for event in self._source.read(max_frames, timeout_s)]

    @property
    def is_finished(self) -> bool:
        """Whether nothing will come any more."""
        return self._source.is_finished

    @property
    def n_frames_expected(self) -> int | None:
        """Number of frames of the recording, where it is known."""
        return self._source.n_frames_expected

    def stop(self) -> None:
        """Take no more frames."""
        self._source.stop()

    def close(self) -> None:
        """Close the recording."""
        self._source.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else the recording can tell."""
        return getattr(self._source, name)

    def _cropped(self, event: SourceEvent) -> SourceEvent:
        if isinstance(event, Segment):
            return self._changed(event)
        if not isinstance(event, Frame) or self._roi is None:
            return event
        x, y, width, height = self._roi
        data = event.data[y : y + height, x : x + width]
        return replace(event, data=data, n_saturated=int(np.count_nonzero(data >= self._saturation)))

    def _changed(self, segment: Segment) -> Segment:
        self._saturation = saturation_of(segment)
        if self._exposure_ms is not None:
            if segment.exposure_ms not in (None, self._exposure_ms):
                _LOG.warning(
                    "%s states an exposure of %g ms; %g ms is taken, as told",
                    self.name, segment.exposure_ms, self._exposure_ms,
                )  # fmt: skip
            segment = replace(segment, exposure_ms=self._exposure_ms)
        if self._roi is None:
            return segment
        x, y, width, height = self._roi
        whole = segment.shape
        if x + width > whole.width or y + height > whole.height:
            raise SourceError(
                f"expected a region within the frames of {whole.width} x {whole.height} pixels, found {width} x "
                f"{height} at {x}, {y}; choose a smaller one"
            )
        # Where the frames lie on the sensor only the recording can tell.
        on_sensor = None if segment.roi is None else (segment.roi[0] + x, segment.roi[1] + y, width, height)
        return replace(segment, shape=Shape(height, width), roi=on_sensor)
