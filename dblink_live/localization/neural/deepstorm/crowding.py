"""Crowding around a molecule: the density of others found near it.

Where many were found, more stood too close to be told apart, and a place that stands for two is wrong by half their
distance.

Shapes: K molecules.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

REACH_SIGMAS = 16.0
"""Half the side of the square in which others are counted, in widths of the point spread function: so wide that chance
counts little in it."""
LEAST = 0.002
"""Molecules a square width that are added: where none was found, not none but few are to be expected."""

Values = npt.NDArray[np.float64]


def crowding_about(
    frame: npt.NDArray[np.int64], y: Values, x: Values, shape: tuple[int, int], psf_sigma_px: float
) -> Values:
    """[K] others a square width about molecules at ``y``, ``x`` [K] px in ``frame`` [K] of ``shape`` [2] px."""
    if not len(frame):
        return np.zeros(0)
    reach_px = REACH_SIGMAS * psf_sigma_px
    # Frames lie so far from each other that no square reaches from one to the next.
    places = np.stack([frame * (3 * reach_px), y, x], axis=1)
    others = KDTree(places).query_ball_point(places, reach_px, p=np.inf, return_length=True) - 1
    area_px = np.ones(len(frame))
    for place, side in zip((y, x), shape, strict=True):
        # Of the square, what lies in the frame; a place at the border may lie a little outside.
        area_px *= np.minimum(place + reach_px, side - 0.5) - np.maximum(place - reach_px, -0.5)
    crowding: Values = LEAST + others * psf_sigma_px**2 / area_px
    return crowding
