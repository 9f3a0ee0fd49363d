"""From curves in nm to pixels of a grid."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.motion import Points
from dblink_live.types import Grid

Mask = npt.NDArray[np.bool_]


def rasterise(points_nm: Points, grid: Grid, width_nm: float = 0.0) -> Mask:
    """Grid pixels on a band of ``width_nm`` about densely sampled ``points_nm`` [N, 2].

    Those that hold a point, so that no band has holes however coarse the grid, and those whose centre lies within half
    of the width of one. What is outside the grid is dropped.
    """
    height, width = grid.shape
    radius_px = 0.5 * width_nm / grid.pitch_nm
    # The centre of a pixel k steps away is at least k - 1/2 pixels from a point.
    reach = max(0, math.ceil(radius_px - 0.5))
    at = (points_nm - np.asarray(grid.origin_nm)) / grid.pitch_nm
    index = np.floor(at).astype(np.int64)
    near = ((index >= -reach) & (index < np.asarray(grid.shape) + reach)).all(axis=1)
    at, index = at[near], index[near]
    # A frame around the grid takes what falls beside it: no test of every neighbour.
    padded = np.zeros((height + 4 * reach, width + 4 * reach), bool)
    row_starts = (index[:, 0] + 2 * reach) * padded.shape[1]
    columns = index[:, 1] + 2 * reach
    flat = padded.reshape(-1)
    flat[row_starts + columns] = True
    if reach:
        steps = np.arange(-reach, reach + 1)
        distance = steps + 0.5 - (at - index)[:, :, None]  # [N, 2, K], to the centres of the neighbours
        squared = distance**2
        close = squared[:, 0, :, None] + squared[:, 1, None, :] <= radius_px**2
        neighbours = (row_starts[:, None] + steps * padded.shape[1])[:, :, None] + (columns[:, None] + steps)[:, None]
        flat[neighbours[close]] = True
    return padded[2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]
