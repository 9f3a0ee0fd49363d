"""Frames that can be looked at, and what was odd about them.

What cannot be localized at all is an error. What can, but not well, is counted and told afterwards: a live run must not
end because the shutter was closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.types import Camera, FrameArray

MIN_SIDE_PX = 7
"""Of frames: a point spread function has to fit in."""


def check_frames(frames: FrameArray, frame_numbers: npt.NDArray[np.int64], min_side_px: int = MIN_SIDE_PX) -> None:
    """Refuse what are no frames [N, H, W] of 8 or 16 bits or finite floating point numbers, one number for each.

    Raises
    ------
    SourceError
        They are not.
    """
    if frames.ndim != 3 or frames.dtype.kind not in "uif":
        raise SourceError(f"expected grey frames [N, H, W], found {frames.dtype} of shape {frames.shape}")
    if frames.dtype.kind == "i" or (frames.dtype.kind == "u" and frames.dtype.itemsize > 2):
        raise SourceError(
            f"expected frames of 8 or 16 bits (uint8, uint16) or floating point counts, found {frames.dtype}; a camera "
            "gives no such counts: export the frames as 16-bit, without scaling"
        )
    if len(frames) != len(frame_numbers):
        raise SourceError(f"expected a number for each frame, found {len(frames)} and {len(frame_numbers)}")
    height, width = frames.shape[1:]
    if min(height, width) < min_side_px:
        raise SourceError(
            f"expected frames of at least {min_side_px} x {min_side_px} pixels for the point spread function, "
            f"found {height} x {width}; choose a larger region of the camera"
        )
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise SourceError("expected finite counts, found NaN or infinity; export the frames as 16-bit integers")


@dataclass
class FrameFaults:
    """Counts odd frames as they pass."""

    camera: Camera
    n_frames: int = 0
    n_saturated: int = 0
    n_even: int = 0
    n_dark: int = 0

    def see(self, frames: FrameArray) -> None:
        """Look at frames [N, H, W]."""
        if not frames.size:
            return
        lowest, highest = frames.min(axis=(1, 2)), frames.max(axis=(1, 2))
        bit_depth = min(8 * frames.dtype.itemsize, self.camera.bit_depth)
        self.n_frames += len(frames)
        self.n_saturated += int((highest >= 2**bit_depth - 1).sum())
        self.n_even += int((lowest == highest).sum())
        self.n_dark += int((highest <= np.min(self.camera.offset_adu)).sum()) if self.camera.is_calibrated else 0

    def notes(self) -> list[str]:
        """A sentence for each kind of fault that was seen."""
        of = f"of {self.n_frames} frames"
        notes = []
        if self.n_saturated:
            notes.append(
                f"{self.n_saturated} {of} have saturated pixels: photons and precision there are wrong; use less light "
                "or a shorter exposure"
            )
        if self.n_even:
            notes.append(f"{self.n_even} {of} have the same count in every pixel: no picture, or a closed shutter")
        if self.n_dark:
            notes.append(
                f"{self.n_dark} {of} lie nowhere above the camera's offset: nothing is left of them; check offset_adu"
            )
        return notes
