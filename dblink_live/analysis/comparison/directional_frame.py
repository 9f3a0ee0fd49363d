"""A tight frame of elongated wavelets, in which images of filaments are sparse.

The frequency plane is cut into rings, one a scale, and each ring into wedges, one a direction; every window is smooth
and even, and their squares add up to one everywhere. The frame is therefore its own inverse (Parseval), its
coefficients are real, and a line is described by the few that lie along it. The partition into rings by pairs of
complementary cosines is that of the steerable pyramid (Simoncelli & Freeman, ICIP 1995).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft2, rfft2

from dblink_live.errors import ConfigError
from dblink_live.types import FloatImage, Shape


class DirectionalFrame:
    """Analysis and synthesis of images of one shape.

    Parameters
    ----------
    shape
        Of the images.
    n_scales
        Rings, each an octave wide; the finest reaches to the corners of the frequency plane.
    n_directions
        Wedges a ring. More of them make longer wavelets, which see across longer gaps.

    Raises
    ------
    ConfigError
        Fewer than 1 scale or 2 directions.

    Examples
    --------
    >>> frame = DirectionalFrame(Shape(20, 31))
    >>> image = np.random.default_rng(0).random((20, 31), dtype=np.float32)
    >>> coefficients = frame.analyse(image)
    >>> bool(np.allclose(frame.synthesise(coefficients), image, atol=1e-5))
    True
    """

    def __init__(self, shape: Shape, n_scales: int = 3, n_directions: int = 16) -> None:
        if n_scales < 1 or n_directions < 2:
            raise ConfigError(f"expected 1 scale and 2 directions or more, found {n_scales} and {n_directions}")
        self.shape = shape
        # The coarsest wavelets reach this far; what wraps around the border falls into the margin.
        margin = 2 ** (n_scales + 1)
        self._padded = Shape(*(_odd_fast_length(side + margin) for side in shape))
        self._windows = _windows(self._padded, n_scales, n_directions)

    @property
    def n_bands(self) -> int:
        """Coefficient images: the low-pass one and one a scale and direction."""
        return len(self._windows)

    def analyse(self, image: FloatImage) -> FloatImage:
        """Coefficients [n_bands, h, w] of ``image`` [H, W]; the low-pass band comes first. h and w exceed H and W."""
        height, width = self.shape
        padding = ((0, self._padded.height - height), (0, self._padded.width - width))
        spectrum = rfft2(np.pad(np.asarray(image, np.float32), padding))
        coefficients: FloatImage = irfft2(self._windows * spectrum, s=self._padded)
        return coefficients

    def synthesise(self, coefficients: FloatImage) -> FloatImage:
        """The image [H, W] of ``coefficients`` [n_bands, h, w]."""
        spectrum = (self._windows * rfft2(coefficients)).sum(axis=0)
        image: FloatImage = irfft2(spectrum, s=self._padded)[: self.shape.height, : self.shape.width]
        return image


def _odd_fast_length(least: int) -> int:
    """The smallest odd length from ``least`` on that Fourier transforms are quick for.

    Odd, because at an even one the highest frequency has no sign, and a wedge could not tell its direction there.
    """
    length = least + 1 - least % 2
    while not _has_small_factors(length):
        length += 2
    return length


def _has_small_factors(length: int) -> bool:
    for factor in (3, 5, 7):
        while length % factor == 0:
            length //= factor
    return length == 1


def _windows(shape: Shape, n_scales: int, n_directions: int) -> FloatImage:
    """Windows [n_bands, h, w // 2 + 1] on the half plane of frequencies; their squares add up to 1."""
    y = np.fft.fftfreq(shape.height)[:, None]
    x = np.fft.rfftfreq(shape.width)[None]
    octave = np.log2(np.maximum(np.hypot(y, x), 1e-9) / 0.5)
    direction = np.mod(np.arctan2(y, x), math.pi)
    wedges = []
    for index in range(n_directions):
        turned = np.mod(direction - math.pi * index / n_directions + math.pi / 2, math.pi) - math.pi / 2
        wedges.append(np.cos(math.pi / 2 * np.clip(np.abs(turned) * n_directions / math.pi, 0.0, 1.0)))
    bands = []
    inside = np.ones_like(octave)
    for scale in range(n_scales):
        # From one octave below the ring's upper edge to that edge, low-pass falls as high-pass rises.
        rise = math.pi / 2 * np.clip(octave + scale + 1, 0.0, 1.0)
        bands += [inside * np.sin(rise) * wedge for wedge in wedges]
        inside = inside * np.cos(rise)
    windows: npt.NDArray[np.float32] = np.stack([inside, *bands]).astype(np.float32)
    return windows
