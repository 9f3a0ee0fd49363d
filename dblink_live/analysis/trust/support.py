"""Support of a pixel: what was seen there, how long ago, and whether half of the data say the same.

A learned prior can invent structure. Two maps, which do not depend on the network, test it:

- *support*: how many localizations lie near a pixel within some windows before and after, and how old the nearest is;
- *split consistency*: the same network on two halves of the data, drawn from different frames. What both draw is in the
  data, or in the prior of the network, which both share; what only one draws rests on a few localizations.

The reverse is the share of localizations where nothing is drawn: noise, and structure that the network does not know.

How well each of them finds pixels that are wrong is measured by ``python -m benchmarks.trust``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, uniform_filter

from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import FloatImage

HALF_WIDTH = 24
"""Windows before and after. More tell wrong pixels better where structure is slow, and worse where it is fast."""
RADIUS_PX = 1
"""Chessboard distance within which a localization supports a pixel: about its precision at 40 nm."""
MIN_LOCALIZATIONS = 2
"""Localizations of a supported pixel: a single one may be noise."""


class Maps(Protocol):
    """Maps [T, H, W] that are read window by window: a NumPy array, or a stored one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> npt.NDArray[np.generic]: ...


@dataclass(frozen=True)
class Support:
    """Localizations near each pixel of one window."""

    n_localizations: npt.NDArray[np.int64]
    """[H, W], within the radius and the windows before and after."""
    age_windows: FloatImage
    """[H, W], windows from here to the nearest of them in time, before or after; infinite where there is none."""


def support(counts: Maps, window: int, half_width: int = HALF_WIDTH, radius_px: int = RADIUS_PX) -> Support:
    """Support of every pixel of ``window``.

    Parameters
    ----------
    counts
        [T, H, W], localizations per pixel and window.
    window
        In [0, T).
    half_width
        Windows before and after that count; at the ends of the video there are fewer.
    radius_px
        How far a localization may lie, in the chessboard distance: 1 is the 3 x 3 neighbourhood.

    Raises
    ------
    ConfigError
        There is no such window, the array is no video, or a reach is negative.

    Examples
    --------
    >>> counts = np.zeros((9, 5, 5), np.uint16)
    >>> counts[3, 2, 2] = 2
    >>> seen = support(counts, window=5, half_width=4, radius_px=1)
    >>> int(seen.n_localizations[1, 1]), float(seen.age_windows[1, 1]), float(seen.age_windows[0, 0])
    (2, 2.0, inf)
    """
    n_windows, height, width = _check(counts, half_width, radius_px)
    if not 0 <= window < n_windows:
        raise ConfigError(f"expected a window in [0, {n_windows}), found {window}")
    first, stop = max(0, window - half_width), min(n_windows, window + half_width + 1)
    near = np.asarray(counts[first:stop], np.int64)
    age = np.full((height, width), np.inf, np.float32)
    for distance, seen in zip(np.abs(np.arange(first, stop) - window), near, strict=True):
        age[(seen > 0) & (age > distance)] = distance
    side = 2 * radius_px + 1
    # The nearest in time of all that lie within the radius.
    reach = -maximum_filter(-age, side, mode="constant", cval=-np.inf)
    return Support(_neighbourhood_sum(near.sum(axis=0), side), reach)


def supported_fraction(
    pictures: Maps,
    counts: Maps,
    threshold: float,
    half_width: int = HALF_WIDTH,
    radius_px: int = RADIUS_PX,
    min_localizations: int = MIN_LOCALIZATIONS,
    every: int = 1,
) -> float:
    """Share of the predicted pixels, over all pictures, with ``min_localizations`` or more near them.

    Parameters
    ----------
    pictures
        [T, H, W], probability of structure in [0, 1].
    counts
        [T, H, W] of the same windows.
    threshold
        A pixel above it is predicted.
    every
        Only one picture in so many is looked at.

    Raises
    ------
    ConfigError
        Shapes differ, the threshold is not inside (0, 1), or a reach is negative.
    AnalysisError
        Nothing is predicted anywhere, or a picture holds NaN.
    """
    n_windows, _, _ = _check(counts, half_width, radius_px)
    _check_pictures(pictures, counts, threshold)
    side = 2 * radius_px + 1
    n_predicted = n_supported = 0
    total = np.asarray(counts[0:half_width], np.int64).sum(axis=0)
    for window in range(n_windows):
        # The sum over the windows around this one, moved on by one.
        entering, leaving = window + half_width, window - half_width - 1
        if entering < n_windows:
            total += np.asarray(counts[entering : entering + 1], np.int64)[0]
        if leaving >= 0:
            total -= np.asarray(counts[leaving : leaving + 1], np.int64)[0]
        if window % every:
            continue
        predicted = _picture(pictures, window) > threshold
        n_predicted += int(np.count_nonzero(predicted))
        n_supported += int(np.count_nonzero(_neighbourhood_sum(total, side)[predicted] >= min_localizations))
    if n_predicted == 0:
        raise AnalysisError(f"expected pixels above the threshold {threshold:g}, found none in {n_windows} pictures")
    return n_supported / n_predicted


def left_out_fraction(
    pictures: Maps, counts: Maps, threshold: float, radius_px: int = RADIUS_PX, every: int = 1
) -> float:
    """Share of the localizations, over all windows, farther than ``radius_px`` from everything their picture predicts.

    Parameters and errors as `supported_fraction`, but for a video without localizations, which is an `AnalysisError`.

    Examples
    --------
    >>> pictures, counts = np.zeros((1, 9, 9), np.float32), np.zeros((1, 9, 9), np.uint16)
    >>> pictures[0, 4, 4], counts[0, 5, 5], counts[0, 4, 7] = 0.9, 3, 1
    >>> left_out_fraction(pictures, counts, threshold=0.5)
    0.25
    """
    n_windows, _, _ = _check(counts, 0, radius_px)
    _check_pictures(pictures, counts, threshold)
    side = 2 * radius_px + 1
    n_all = n_near = 0
    for window in range(0, n_windows, every):
        seen = np.asarray(counts[window : window + 1], np.int64)[0]
        near = maximum_filter(_picture(pictures, window) > threshold, side, mode="constant")
        n_all += int(seen.sum())
        n_near += int(seen[near].sum())
    if n_all == 0:
        raise AnalysisError(f"expected localizations, found none in {n_windows} windows")
    return 1.0 - n_near / n_all


def split_consistency(
    first: npt.NDArray[np.generic], second: npt.NDArray[np.generic], radius_px: int = 1
) -> FloatImage:
    """Structure that two pictures made from different halves of the data agree upon, [..., H, W] in [0, 1].

    The smaller of the two probabilities, each taken as the highest within ``radius_px``: a line that one half draws a
    pixel beside the other's is the same line.

    Examples
    --------
    >>> one, other = np.zeros((4, 4)), np.zeros((4, 4))
    >>> one[1, 1], other[1, 2], one[3, 3] = 0.9, 0.8, 0.7
    >>> agreed = split_consistency(one, other)
    >>> [round(float(agreed[at]), 1) for at in ((1, 1), (3, 3))]
    [0.8, 0.0]
    """
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if a.shape != b.shape or a.ndim < 2:
        raise ConfigError(f"expected two pictures [H, W] or videos of one shape, found {a.shape} and {b.shape}")
    if radius_px < 0:
        raise ConfigError(f"expected a radius of 0 px or more, found {radius_px}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise AnalysisError("expected finite values, found NaN or infinity; remove these pictures")
    size = (1,) * (a.ndim - 2) + (2 * radius_px + 1,) * 2
    return np.asarray(np.minimum(maximum_filter(a, size), maximum_filter(b, size)), np.float32)


def _check(counts: Maps, half_width: int, radius_px: int) -> tuple[int, int, int]:
    if len(counts.shape) != 3:
        raise ConfigError(f"expected counts [T, H, W], found shape {tuple(counts.shape)}")
    if half_width < 0 or radius_px < 0:
        raise ConfigError(f"expected reaches of 0 or more, found {half_width} windows and {radius_px} px")
    n_windows, height, width = counts.shape
    return n_windows, height, width


def _check_pictures(pictures: Maps, counts: Maps, threshold: float) -> None:
    if tuple(pictures.shape) != tuple(counts.shape):
        raise ConfigError(f"expected pictures and counts of one shape, found {pictures.shape} and {counts.shape}")
    if not 0.0 < threshold < 1.0:
        raise ConfigError(f"expected a threshold between 0 and 1, found {threshold}")


def _picture(pictures: Maps, window: int) -> FloatImage:
    picture: FloatImage = np.asarray(pictures[window : window + 1], np.float32)[0]
    if not np.isfinite(picture).all():
        raise AnalysisError(f"expected finite values, found NaN or infinity in picture {window}; remove it")
    return picture


def _neighbourhood_sum(values: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    mean = uniform_filter(values.astype(np.float64), side, mode="constant")
    return np.asarray(np.rint(mean * side**2), np.int64)
