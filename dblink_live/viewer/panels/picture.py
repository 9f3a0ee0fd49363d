"""What a panel shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dblink_live.viewer.theme import Tone, grouped

Slot = Literal["camera", "sum", "reconstruction", "trust"]
SLOTS: tuple[Slot, ...] = ("camera", "sum", "reconstruction", "trust")
"""The four places for pictures, in reading order."""

TINT_NONE, TINT_UNSUPPORTED, TINT_ERROR = 0, 1, 2
"""Classes of `Picture.tint`: nothing, predicted without molecules, predicted to be wrong by the network itself."""


@dataclass(frozen=True)
class Picture:
    """Pixels [H, W], where they lie, and what to call them.

    Parameters
    ----------
    image
        The pixels.
    pitch_nm
        Side of a pixel.
    origin_nm
        (y, x) of the outer corner of pixel (0, 0), from the outer corner of the camera's field.
    caption
        Which frame or window it is.
    badge
        A word that must not be overlooked, and its colour.
    tint
        [H, W] uint8, a class per pixel (`TINT_NONE`, ...) that is coloured over the picture; None for no colour.
    marks_nm
        [N, 2], (y, x) of places that are circled; None for no circles.
    """

    image: npt.NDArray[Any]
    pitch_nm: float
    origin_nm: tuple[float, float] = (0.0, 0.0)
    caption: str = ""
    badge: str = ""
    badge_tone: Tone = Tone.FAINT
    tint: npt.NDArray[np.uint8] | None = None
    marks_nm: npt.NDArray[np.float64] | None = None

    @property
    def extent_nm(self) -> tuple[float, float]:
        """(height, width) of the field that it covers."""
        return self.image.shape[0] * self.pitch_nm, self.image.shape[1] * self.pitch_nm

    def value_at(self, y_nm: float, x_nm: float) -> float | None:
        """The value of the pixel that holds a position, or None outside.

        Examples
        --------
        >>> picture = Picture(np.array([[1, 2], [3, 4]]), pitch_nm=40.0)
        >>> picture.value_at(41.0, 39.0), picture.value_at(81.0, 0.0)
        (3.0, None)
        """
        row = int(np.floor((y_nm - self.origin_nm[0]) / self.pitch_nm))
        col = int(np.floor((x_nm - self.origin_nm[1]) / self.pitch_nm))
        height, width = self.image.shape
        return float(self.image[row, col]) if 0 <= row < height and 0 <= col < width else None


def window_name(segment: int, window: int) -> str:
    """Return how a window is called: counted from 1, within its segment, as `--segment` of ``export`` names it.

    Examples
    --------
    >>> window_name(0, 38), window_name(2, 0)
    ('window 39', 'segment 2, window 1')
    """
    number = f"window {grouped(window + 1)}"
    return number if segment == 0 else f"segment {segment}, {number}"


def cropped(picture: Picture, corner_nm: tuple[float, float], size_nm: tuple[float, float]) -> Picture:
    """Return the pixels of ``picture`` that touch a region, with the origin that they then have.

    Parameters
    ----------
    corner_nm
        (y, x) of the region's upper left corner.
    size_nm
        (height, width) of the region.

    Examples
    --------
    >>> part = cropped(Picture(np.arange(16).reshape(4, 4), 40.0), (40.0, 80.0), (80.0, 40.0))
    >>> part.image.tolist(), part.origin_nm
    ([[6], [10]], (40.0, 80.0))
    """
    first, stop = [], []
    for axis in (0, 1):
        begin = (corner_nm[axis] - picture.origin_nm[axis]) / picture.pitch_nm
        end = begin + size_nm[axis] / picture.pitch_nm
        # A corner on the edge of a pixel is not to take in the next one after a rounding error.
        first.append(min(max(int(np.floor(begin + 1e-6)), 0), picture.image.shape[axis]))
        stop.append(min(max(int(np.ceil(end - 1e-6)), first[-1]), picture.image.shape[axis]))
    origin = tuple(picture.origin_nm[axis] + first[axis] * picture.pitch_nm for axis in (0, 1))
    image = picture.image[first[0] : stop[0], first[1] : stop[1]]
    return replace(picture, image=image, origin_nm=(origin[0], origin[1]))
