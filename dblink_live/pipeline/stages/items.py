"""What travels from stage to stage, beside maps and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.types import Camera, Frame, FrameArray, Gap, Grid, Localizations, Segment


@dataclass(frozen=True)
class SegmentStart:
    """A segment begins; what follows belongs to it."""

    segment: Segment
    camera: Camera
    grid: Grid
    note: str | None = None
    """A line for the run's log."""


@dataclass(frozen=True)
class FrameBatch:
    """Frames that follow each other."""

    frames: list[Frame]

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """[N], the camera's numbers."""
        return np.array([frame.number for frame in self.frames], dtype=np.int64)

    @property
    def times_ns(self) -> npt.NDArray[np.int64]:
        """[N], host times."""
        return np.array([frame.t_host_ns for frame in self.frames], dtype=np.int64)

    @property
    def data(self) -> FrameArray:
        """[N, H, W], copied."""
        return np.stack([frame.data for frame in self.frames])  # type: ignore[return-value]  # all of one dtype


@dataclass(frozen=True)
class LocalizedFrames:
    """A `FrameBatch` with the molecules that were found in it."""

    numbers: npt.NDArray[np.int64]
    times_ns: npt.NDArray[np.int64]
    localizations: Localizations


@dataclass(frozen=True)
class SegmentEnd:
    """Nothing follows in this segment."""

    segment: int
    gap: Gap | None = None
    """The loss that ended it, which lies in no window."""
    notes: tuple[str, ...] = ()
    """What the localizer has to say about it."""


ForLocalize = SegmentStart | FrameBatch | Gap | SegmentEnd
ForBin = SegmentStart | LocalizedFrames | Gap | SegmentEnd
