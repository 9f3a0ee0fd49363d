"""The width of the point spread function from crowded frames, in which no molecule stands alone.

Between two frames some molecules have switched on and others off. The difference of the frames shows these and nothing
that stands still, each with the shape of the point spread function, at places and with signs of their own. Its
autocovariance is therefore that of the point spread function alone: ``exp(-d^2 / 4 s^2)`` at a distance d, where
``s^2`` is the squared width plus 1/12 for the pixel. White noise adds at distance 0 only, which is left out.

Shapes: N differences, H, W camera pixels, D distances.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import next_fast_len
from torch import Tensor

REACH_PX = 5
"""Farthest distance along an axis that is looked at."""
MIN_EXPLAINED = 0.9
"""Share of the covariances' variance that the fit must explain, else nothing is known yet."""
_WIDTHS_PX = np.linspace(0.4, 4.0, 361)
_PIXEL_VARIANCE = 1.0 / 12.0

_Values = npt.NDArray[np.float64]


class CrowdedWidth:
    """Gathers differences of frames; the order and grouping in which they come does not matter but for rounding."""

    def __init__(self) -> None:
        step = np.arange(-REACH_PX, REACH_PX + 1)
        rows, cols = np.meshgrid(step, step, indexing="ij")
        # A covariance is the same in opposite directions.
        half = (rows > 0) | ((rows == 0) & (cols > 0))
        self._rows, self._cols = rows[half], cols[half]
        self._squared_px = (self._rows**2 + self._cols**2).astype(np.float64)
        self._sum = np.zeros(len(self._rows))

    def add(self, differences: Tensor) -> None:
        """Take [N, H, W] into account; one after the other, so that batches leave no trace in the sum."""
        height, width = differences.shape[1:]
        # Beyond the reach, more zeros change nothing, and some sizes are transformed three times as fast.
        size = tuple(next_fast_len(side + REACH_PX, real=True) for side in (height, width))
        n_pairs = (height - np.abs(self._rows)) * (width - np.abs(self._cols))
        for difference in differences:
            spectrum = torch.fft.rfft2((difference - difference.mean()).double(), s=size)
            covariance = torch.fft.irfft2(spectrum.abs().square(), s=size)
            self._sum += covariance[self._rows, self._cols].cpu().numpy() / n_pairs

    @property
    def width_px(self) -> float | None:
        """Standard deviation of the point spread function in pixels; None while the frames do not tell."""
        centred = self._sum - self._sum.mean()
        total = float(centred @ centred)
        if total == 0.0:
            return None
        shapes = np.exp(-self._squared_px / (4 * (_WIDTHS_PX[:, None] ** 2 + _PIXEL_VARIANCE)))
        shapes -= shapes.mean(axis=1, keepdims=True)
        amplitude = shapes @ centred
        explained: _Values = np.where(amplitude > 0, amplitude**2 / np.square(shapes).sum(axis=1), 0.0) / total
        best = int(explained.argmax())
        is_inside = 0 < best < len(_WIDTHS_PX) - 1
        return float(_WIDTHS_PX[best]) if is_inside and explained[best] >= MIN_EXPLAINED else None


def learning_frames(height: int, width: int) -> int:
    """Frames of this size that are enough to learn from: a few million pixels, and no fewer than 8 frames."""
    return 1 << max(3, min(7, round(math.log2((1 << 21) / (height * width)))))
