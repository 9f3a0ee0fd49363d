"""How pixel values become shades: the policy is data, the mathematics is here, and neither knows a GUI.

Super-resolution pictures are mostly empty. The percentiles of all their pixels are (0, 0) and show nothing, so limits
are taken over the pixels that hold something, on a stride that bounds the cost whatever the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLES = 2**15
"""Pixels, approximately, that limits are measured on."""


@dataclass(frozen=True)
class ContrastPolicy:
    """How limits are chosen for one kind of picture.

    Parameters
    ----------
    low_percentile
        Percentile that becomes black; None fixes black at 0.
    high_percentile
        Percentile that becomes the brightest shade.
    above
        Only pixels above this value count; None counts all.
    min_span
        The limits are never closer than this, so that noise alone is not blown up into a picture.
    """

    low_percentile: float | None
    high_percentile: float
    above: float | None
    min_span: float
    gamma: float = 1.0
    """Shades follow the value to this power."""


CAMERA = ContrastPolicy(low_percentile=1.0, high_percentile=99.8, above=None, min_span=8.0)
"""A camera frame in counts: background black, the brightest molecules just saturated."""
SUM = ContrastPolicy(low_percentile=None, high_percentile=99.0, above=0.0, min_span=2.0, gamma=0.5)
"""Localization counts: zero is black, and a single one is visible beside the brightest. The square root gives counts of
every size the same noise in shades."""
RECONSTRUCTION = ContrastPolicy(low_percentile=None, high_percentile=99.0, above=0.02, min_span=0.25)
"""Probability of structure: zero is black; a faint haze stays faint."""


@dataclass(frozen=True)
class Limits:
    """The values shown as black and as the brightest shade."""

    low: float
    high: float


def contrast_limits(image: npt.NDArray[Any], policy: ContrastPolicy) -> Limits:
    """Limits of ``image`` [H, W] under ``policy``. NaN and infinite pixels are not counted.

    Examples
    --------
    >>> sparse = np.zeros((100, 100), np.uint16)
    >>> sparse[::10, ::10] = 7
    >>> contrast_limits(sparse, SUM)
    Limits(low=0.0, high=7.0)
    >>> contrast_limits(np.zeros((8, 8), np.float32), RECONSTRUCTION)
    Limits(low=0.0, high=0.25)
    """
    stride = max(1, int((image.size / SAMPLES) ** 0.5))
    values = image[::stride, ::stride]
    if not np.issubdtype(values.dtype, np.integer):
        values = values[np.isfinite(values)]
    if policy.above is not None:
        # A stride over a nearly empty picture can miss all of it.
        kept = values[values > policy.above]
        if kept.size == 0 and stride > 1:
            whole = image[image > policy.above]
            kept = whole[np.isfinite(whole)]
        values = kept
    if values.size == 0:
        return Limits(0.0, policy.min_span)
    low, high = (
        float(value) for value in np.percentile(values, [policy.low_percentile or 0.0, policy.high_percentile])
    )
    low = 0.0 if policy.low_percentile is None else low
    return Limits(low, max(high, low + policy.min_span))


def to_bytes(image: npt.NDArray[Any], limits: Limits) -> npt.NDArray[np.uint8]:
    """Shades 0 to 255 of ``image`` [H, W], linear between the limits; NaN becomes 0."""
    span = max(limits.high - limits.low, 1e-12)
    scaled = (np.asarray(image, np.float32) - np.float32(limits.low)) * np.float32(255.0 / span)
    # Of a number and NaN these take the number. Half a shade more, since the conversion cuts off and would give 254 for
    # the brightest value.
    shades: npt.NDArray[np.uint8] = (np.fmin(np.fmax(scaled, 0.0), 255.0) + 0.5).astype(np.uint8)
    return shades


def gamma_table(gamma: float) -> npt.NDArray[np.uint8]:
    """Table [256] that bends linear shades to the power ``gamma``: ``table[to_bytes(image, limits)]``.

    Examples
    --------
    >>> gamma_table(0.5)[[0, 64, 255]].tolist()
    [0, 128, 255]
    """
    return np.asarray(np.round(255.0 * (np.arange(256) / 255.0) ** gamma), np.uint8)


def max_pool(image: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """The brightest pixel of every ``factor`` x ``factor`` block of ``image`` [H, W]; the last blocks may be cut off.

    A screen that shows every second pixel of a large picture loses single bright pixels, which are the molecules.

    Examples
    --------
    >>> max_pool(np.array([[0, 9, 0], [0, 0, 0], [0, 0, 5]]), 2)
    array([[9, 0],
           [0, 5]])
    """
    if factor <= 1:
        return image
    return _max_along(_max_along(image, factor, 0), factor, 1)


def _max_along(image: npt.NDArray[Any], factor: int, axis: int) -> npt.NDArray[Any]:
    """The maximum of every ``factor`` rows (or columns): maxima of strided views, which are fast."""
    length = image.shape[axis]
    n_whole, stop = length // factor, length - length % factor
    shape = list(image.shape)
    shape[axis] = -(-length // factor)
    pooled = np.empty(shape, image.dtype)

    def part(array: npt.NDArray[Any], *limits: int | None) -> npt.NDArray[Any]:
        return array[slice(*limits)] if axis == 0 else array[:, slice(*limits)]

    if n_whole:
        whole = part(pooled, 0, n_whole)
        np.maximum(part(image, 0, stop, factor), part(image, 1, stop, factor), out=whole)
        for first in range(2, factor):
            np.maximum(whole, part(image, first, stop, factor), out=whole)
    if stop < length:
        part(image, stop, length).max(axis=axis, keepdims=True, out=part(pooled, n_whole, None))
    return pooled
