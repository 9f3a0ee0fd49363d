"""What a panel shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dblink_live.viewer.theme import Tone

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
