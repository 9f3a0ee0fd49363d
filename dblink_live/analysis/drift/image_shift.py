"""The shift between two pictures, to a fraction of a pixel, from the peak of their cross-correlation."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq

from dblink_live.types import FloatImage

BLUR_SIGMA_PX = 1.0
"""Both pictures are blurred by this much: the peak then is wide enough for a parabola, and single pixels do not win."""
FIT_RADIUS_PX = 2
"""The parabola is fitted to the pixels within this distance of the peak."""


class Shift(NamedTuple):
    """How far one picture lies from another."""

    y_px: float
    x_px: float
    correlation: float
    """Height of the peak, 1 for pictures that are equal but for a shift."""


class Reference:
    """A picture that others are compared with; its transform is kept.

    Parameters
    ----------
    picture
        [H, W], finite and not the same everywhere.
    max_shift_px
        Farther shifts are not looked for.
    """

    def __init__(self, picture: FloatImage, max_shift_px: float) -> None:
        self._reach = max(1, min(math.ceil(max_shift_px), min(picture.shape) - 1))
        # Room for the shift at the borders: the transform is periodic, the sample is not.
        self._padded = tuple(next_fast_len(side + self._reach, real=True) for side in picture.shape)
        frequency_y, frequency_x = fftfreq(self._padded[0])[:, None], rfftfreq(self._padded[1])
        # Both pictures are blurred: the Gaussian counts twice.
        self._blur = np.exp(-4 * (math.pi * BLUR_SIGMA_PX) ** 2 * (frequency_y**2 + frequency_x**2))
        self._spectrum, self._norm = self._transform(picture)

    def shift_of(self, picture: FloatImage) -> Shift:
        """Return where ``picture`` [H, W] lies against the reference; positive is down and to the right."""
        spectrum, norm = self._transform(picture)
        return self.shift_of_spectrum(spectrum, norm)

    def shift_of_spectrum(self, spectrum: npt.NDArray[np.complexfloating], norm: float) -> Shift:
        """The same of a picture that is transformed already, by a `Reference` of equal shape and reach."""
        surface = irfft2(spectrum * self._spectrum.conj() * self._blur, s=self._padded)
        reach = self._reach
        surface = np.roll(surface, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
        y, x = _peak(surface)
        height = float(surface.max()) / (self._norm * norm) if self._norm * norm > 0 else 0.0
        return Shift(y - reach, x - reach, height)

    @property
    def spectrum(self) -> tuple[npt.NDArray[np.complexfloating], float]:
        """The transform of the reference and the norm of the blurred picture: what `shift_of_spectrum` takes."""
        return self._spectrum, self._norm

    def _transform(self, picture: FloatImage) -> tuple[npt.NDArray[np.complexfloating], float]:
        # Without its mean, a picture of even background has no peak at zero shift.
        spectrum = rfft2(picture - picture.mean(), s=self._padded)
        # Parseval on the half plane: its columns but the first (and the last, of an even width) stand for two.
        weight = np.full(spectrum.shape[1], 2.0)
        weight[0] = 1.0
        if self._padded[1] % 2 == 0:
            weight[-1] = 1.0
        power = float((np.abs(spectrum) ** 2 * self._blur * weight).sum()) / math.prod(self._padded)
        return spectrum, math.sqrt(power)


def _peak(surface: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Row and column of the highest point, from a parabola around the highest pixel."""
    row, col = np.unravel_index(int(surface.argmax()), surface.shape)
    radius = min(FIT_RADIUS_PX, row, col, surface.shape[0] - 1 - row, surface.shape[1] - 1 - col)
    if radius < 1:
        return float(row), float(col)
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    near = dy**2 + dx**2 <= radius**2 + 0.5
    dy, dx = dy[near], dx[near]
    values = surface[row - radius : row + radius + 1, col - radius : col + radius + 1][near]
    terms = np.stack([np.ones_like(dy), dy, dx, dy**2, dx**2, dy * dx], axis=1)
    _, by, bx, cy, cx, cyx = np.linalg.lstsq(terms, values, rcond=None)[0]
    curvature = 4 * cy * cx - cyx**2
    if cy >= 0 or curvature <= 0:  # no maximum: the field is too small, or the picture a line without an end
        return float(row), float(col)
    y, x = (cyx * bx - 2 * cx * by) / curvature, (cyx * by - 2 * cy * bx) / curvature
    return (float(row + y), float(col + x)) if max(abs(y), abs(x)) <= 1.0 else (float(row), float(col))
