"""Lines one pixel wide that are moved by interpolation, as the released simulator of DBlink moves them.

That simulator draws filaments once as lines one pixel wide, and shifts and then turns the picture, each with cubic
splines: a line that stands still stays one pixel wide, one that has moved by half a pixel is gray and two to three
pixels wide. Emitters are drawn evenly from every pixel above 15 of 255, and so is the truth here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dblink_live.simulate.structures.raster import Mask

STRUCTURE_ABOVE = 15.0 / 255.0
"""Gray value from which the released simulator takes a pixel for structure."""


class GrayLines:
    """A picture of lines that drifts and turns as a whole.

    Parameters
    ----------
    lines
        [H, W] structure before it has moved.
    velocity_px
        (y, x) in pixels per frame.
    rotation_deg
        Degrees per frame, about the centre; positive turns y towards x.
    """

    def __init__(self, lines: Mask, velocity_px: tuple[float, float], rotation_deg: float) -> None:
        self._spline = ndimage.spline_filter(lines.astype(np.float64), order=3)
        self._velocity = np.asarray(velocity_px)
        self._rate = math.radians(rotation_deg)
        self._centre = (np.asarray(lines.shape) - 1) / 2

    def mask_at(self, frame: float) -> Mask:
        """[H, W] structure at ``frame``."""
        shifted = ndimage.shift(self._spline, self._velocity * frame, order=3, prefilter=False, mode="grid-constant")
        angle = self._rate * frame
        cos, sin = math.cos(angle), math.sin(angle)
        back = np.array([[cos, sin], [-sin, cos]])  # from places in the turned picture to places in the one before
        gray: npt.NDArray[np.float64] = ndimage.affine_transform(
            shifted, back, self._centre - back @ self._centre, order=3, mode="grid-constant"
        )
        moved: Mask = gray > STRUCTURE_ABOVE
        return moved
