"""Count points per pixel: the one place where positions become maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.types import Shape

MAX_COUNT = int(np.iinfo(np.uint16).max)
"""Largest count in a map of uint16; more points than that in a pixel count as so many."""

Indices = npt.NDArray[np.integer]


def is_inside(rows: Indices, cols: Indices, shape: Shape) -> npt.NDArray[np.bool_]:
    """Return for each pixel index (row, column) whether it lies in a field of ``shape``."""
    inside: npt.NDArray[np.bool_] = (rows >= 0) & (rows < shape.height) & (cols >= 0) & (cols < shape.width)
    return inside


def count_per_pixel(rows: Indices, cols: Indices, shape: Shape) -> npt.NDArray[np.int64]:
    """Return how many points lie in each pixel, int64 [H, W]; points outside of ``shape`` are left out.

    Examples
    --------
    >>> count_per_pixel(np.array([0, 0, 5]), np.array([1, 1, 0]), Shape(2, 2))
    array([[0, 2],
           [0, 0]])
    """
    inside = is_inside(rows, cols, shape)
    flat = np.bincount(rows[inside] * shape.width + cols[inside], minlength=shape.height * shape.width)
    return flat.astype(np.int64, copy=False).reshape(shape)


def count_per_window(
    windows: Indices, rows: Indices, cols: Indices, n_windows: int, shape: Shape
) -> npt.NDArray[np.uint16]:
    """Return how many points lie in each pixel of each window, uint16 [T, H, W], at most `MAX_COUNT`.

    Parameters
    ----------
    windows
        [N] window of each point, in [0, ``n_windows``).
    rows, cols
        [N] pixel of each point; points outside of ``shape`` are left out.
    """
    height, width = shape
    inside = is_inside(rows, cols, shape)
    flat = (windows[inside] * height + rows[inside]) * width + cols[inside]
    counts = np.zeros(n_windows * height * width, np.uint16)
    # Maps are sparse: counting the occupied pixels alone needs no second array of the size of the video.
    occupied, n_points = np.unique(flat, return_counts=True)
    counts[occupied] = np.minimum(n_points, MAX_COUNT)
    return counts.reshape(n_windows, height, width)
