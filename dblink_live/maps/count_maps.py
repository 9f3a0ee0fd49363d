"""Maps of localization counts that know the pitch of their grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

PITCH_TOLERANCE = 0.005
"""Relative difference of two pitches that are still the same scale: 2.6 pixels over 512."""


class CountMaps(np.ndarray[tuple[int, ...], np.dtype[np.uint16]]):
    """Localizations per pixel and window, [T, H, W] or [H, W], on a grid of known pitch.

    An array like any other. Selected windows, a crop, a copy and arithmetic pixel by pixel keep the pitch; whatever
    changes the pixels (strides, reshaping, reduction) makes it unknown, and ``np.asarray`` gives a plain array.

    Parameters
    ----------
    counts
        The maps.
    pitch_nm
        Side of a pixel.

    Examples
    --------
    >>> maps = CountMaps(np.zeros((2, 4, 4), np.uint16), pitch_nm=40.0)
    >>> maps[0, 1:3].pitch_nm, (maps + 1).pitch_nm, maps[:, ::2, ::2].pitch_nm
    (40.0, 40.0, None)
    """

    pitch_nm: float | None = None
    """Side of a pixel; None where the pixels are no longer those of the grid."""

    def __new__(cls, counts: npt.ArrayLike, pitch_nm: float) -> CountMaps:
        maps = np.asarray(counts).view(cls)
        maps.pitch_nm = pitch_nm
        return maps

    def __array_finalize__(self, obj: object) -> None:
        keeps_pixels = isinstance(obj, CountMaps) and self.ndim >= 2 and self.shape[-2:] == obj.shape[-2:]
        self.pitch_nm = obj.pitch_nm if keeps_pixels and isinstance(obj, CountMaps) else None

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, CountMaps):
            has_same_axes = found.ndim >= 2 and found.strides[-2:] == self.strides[-2:]
            found.pitch_nm = self.pitch_nm if has_same_axes else None
        return found


def is_same_pitch(found_nm: float, expected_nm: float) -> bool:
    """Return whether two pitches are the same scale."""
    return math.isclose(found_nm, expected_nm, rel_tol=PITCH_TOLERANCE)
