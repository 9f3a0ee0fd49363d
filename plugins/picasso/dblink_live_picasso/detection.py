"""Picasso's measure of a spot, the net gradient, in terms of the frame's own noise.

Picasso finds spots where the net gradient (Schnitzbauer et al., "Super-resolution microscopy with DNA-PAINT", Nature
Protocols 2017) exceeds a number that its user finds by trying: it is in camera counts. A live run has nobody who tries,
so here the threshold is a multiple of what pure noise gives.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

_NORMAL_MEDIAN = 0.6745
"""Of the size of a standard normal number."""
_LEAST_NOISE_ADU = 0.5
"""Frames of a flat, dark field have less noise than whole counts can tell."""


def noise_adu(frame: npt.NDArray[np.number]) -> float:
    """Standard deviation of a pixel in counts, from differences of neighbours; molecules are too few to matter.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(noise_adu(rng.normal(500.0, 10.0, (128, 128))))
    10
    """
    differences = np.abs(np.diff(frame.astype(np.float32), axis=1))
    return max(float(np.median(differences)) / (_NORMAL_MEDIAN * math.sqrt(2)), _LEAST_NOISE_ADU)


@functools.cache
def net_gradient_of_noise(box_px: int) -> float:
    """Standard deviation of the net gradient in a frame of independent noise of standard deviation 1.

    The net gradient is a weighted sum of pixels: around a box, differences of neighbours are projected on the direction
    to its centre. The root of the sum of the squared weights is its noise.
    """
    half = box_px // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    distance = np.hypot(y, x)
    distance[half, half] = np.inf
    toward_y, toward_x = -y / distance, -x / distance
    weights = np.zeros((box_px + 2, box_px + 2))
    weights[2:, 1:-1] += toward_y
    weights[:-2, 1:-1] -= toward_y
    weights[1:-1, 2:] += toward_x
    weights[1:-1, :-2] -= toward_x
    return float(np.sqrt(np.square(weights).sum()))
