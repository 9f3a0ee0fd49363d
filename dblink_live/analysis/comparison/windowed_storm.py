"""Conventional localization microscopy at its best: the plain sum over the window length that suits the specimen.

A short window shows little of the structure, a long one smears what moves. The best compromise is found on the truth
itself, an advantage that no other method gets: what is compared with it is compared with the most that a sum can give.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dblink_live.analysis.metrics import Video, best_threshold, windowed_sum
from dblink_live.errors import ConfigError

BLURS_PX = (0.0, 0.7, 1.0, 1.5)
"""Standard deviations of the Gaussian rendering that are tried."""
_N_THRESHOLDS = 30


@dataclass(frozen=True)
class WindowedStorm:
    """How a plain sum is made, and what it scores."""

    half_width: int
    """Windows to either side of the one that is shown."""
    blur_px: float
    threshold: float
    """In rendered counts; above it is structure."""
    f1: float
    """At the tolerance asked for; NaN where the truth is empty."""

    @property
    def n_windows(self) -> int:
        """Windows summed, away from the ends of the video."""
        return 2 * self.half_width + 1


def score_windowed_storm(
    counts: Video,
    truth: Video,
    half_width: int,
    blurs_px: Sequence[float] = BLURS_PX,
    tolerance_px: int = 1,
    windows: slice = slice(None),
) -> WindowedStorm:
    """The sum over +-``half_width`` windows of ``counts`` [T, H, W] at its best blur and threshold.

    ``windows`` says which are scored; all of them are summed.
    """
    if half_width < 0:
        raise ConfigError(f"expected 0 windows or more to either side, found {half_width}")
    tried = []
    for blur in blurs_px:
        image = windowed_sum(counts, half_width, blur)[windows]
        threshold, f1 = best_threshold(image, truth[windows], tolerance_px, _N_THRESHOLDS)
        tried.append(WindowedStorm(half_width, blur, threshold, f1))
    return max(tried, key=lambda found: -math.inf if math.isnan(found.f1) else found.f1)


def best_windowed_storm(
    counts: Video,
    truth: Video,
    blurs_px: Sequence[float] = BLURS_PX,
    tolerance_px: int = 1,
    windows: slice = slice(None),
) -> WindowedStorm:
    """The best sum of any window length.

    Half-widths are doubled from 0 until the video ends, then the interval around the best of them is bisected: F1
    over the window length rises to one maximum and falls, up to noise.

    Parameters
    ----------
    counts
        Localizations [T, H, W].
    truth
        Structure [T, H, W], not 0 where it is.
    blurs_px
        Blurs of the rendering to try; each window length gets its own best one.
    tolerance_px
        How far a pixel may lie from structure to be right.
    windows
        Which are scored.

    Raises
    ------
    ConfigError
        Shapes differ, or values are not finite.
    """
    scored: dict[int, WindowedStorm] = {}

    def f1(half_width: int) -> float:
        if half_width not in scored:
            scored[half_width] = score_windowed_storm(counts, truth, half_width, blurs_px, tolerance_px, windows)
        value = scored[half_width].f1
        return -math.inf if math.isnan(value) else value

    longest = max(0, len(counts) - 1)
    doubled = [0, *itertools.takewhile(lambda width: width < longest, (2**power for power in range(31))), longest]
    ladder = sorted(set(doubled))
    best = int(np.argmax([f1(width) for width in ladder]))
    low, middle, high = ladder[max(0, best - 1)], ladder[best], ladder[min(len(ladder) - 1, best + 1)]
    while high - low > 2:
        left, right = (low + middle) // 2, (middle + high + 1) // 2
        if f1(left) > f1(middle):
            low, middle, high = low, left, middle
        elif f1(right) > f1(middle):
            low, middle, high = middle, right, high
        elif (left, right) == (low, high):
            break
        else:
            low, high = left, right
    return scored[max(scored, key=f1)]
