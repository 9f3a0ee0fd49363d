"""Baselines for a network: sums of the counts, at the settings that are best on the scored videos themselves.

Two sums stand for what a microscopist has without a network: the centred sum over +-k windows, which needs the future,
and the leaky sum, which does not. Both are blurred as localization images usually are, and cut at their best threshold.
Tuned on the answer, they have an advantage that no network is given.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dblink_live.analysis.metrics import Video, f1_at_thresholds, leaky_sum, windowed_sum
from dblink_live.errors import ConfigError
from dblink_live.types import FloatImage

HALF_WIDTHS = (5, 10, 20, 40, 80)
TIME_CONSTANTS = (5, 10, 20, 40, 80)
BLURS_PX = (0.7, 1.0, 1.5, 2.0)
N_THRESHOLDS = 60


@dataclass(frozen=True)
class BestSum:
    """The best settings of a sum, one for all videos, and the mean F1 at 1 px that they give."""

    f1_1px: float
    windows: int
    """Half-width, or time constant."""
    blur_px: float
    threshold: float
    """Of the blurred sum, in localizations per pixel."""


def best_plain_sum(counts: Sequence[Video], truth: Sequence[Video], every: int = 1) -> BestSum:
    """The centred sum over +-k windows.

    Parameters
    ----------
    counts, truth
        Localization counts and structure of each video, [T, H, W].
    every
        Score only each ``every``-th window.

    Raises
    ------
    ConfigError
        A video's counts and structure differ in shape, or there is none.
    """
    return _best(counts, truth, HALF_WIDTHS, windowed_sum, every)


def best_leaky_sum(counts: Sequence[Video], truth: Sequence[Video], every: int = 1) -> BestSum:
    """The sum that forgets, which can be shown live; parameters and errors as `best_plain_sum`."""
    return _best(counts, truth, TIME_CONSTANTS, leaky_sum, every)


def score_plain_sum(settings: BestSum, counts: Sequence[Video], truth: Sequence[Video], every: int = 1) -> float:
    """Mean F1 at 1 px of the centred sum at settings that were found on *other* videos, as a network's threshold is.

    Parameters as for `best_plain_sum`.
    """
    cut = np.array([settings.threshold])
    sums = (windowed_sum(video, settings.windows, settings.blur_px)[::every] for video in counts)
    return float(np.mean([f1_at_thresholds(image, s[::every], cut)[0] for image, s in zip(sums, truth, strict=True)]))


def _best(
    counts: Sequence[Video],
    truth: Sequence[Video],
    lengths: Sequence[int],
    summed: Callable[[Video, int, float], FloatImage],
    every: int,
) -> BestSum:
    shapes = [(np.shape(video), np.shape(structure)) for video, structure in zip(counts, truth, strict=True)]
    if not shapes or any(found != wanted or len(found) != 3 for found, wanted in shapes):
        raise ConfigError(
            f"expected counts and structure of one shape [T, H, W] for each video, found {shapes}; "
            "bin the localizations on the grid of the structure"
        )
    tried = []
    for length, blur_px in itertools.product(lengths, BLURS_PX):
        sums = [summed(video, length, blur_px)[::every] for video in counts]
        cuts = np.linspace(0.0, max(float(image.max(initial=0.0)) for image in sums), N_THRESHOLDS + 1)[:-1]
        scores = [f1_at_thresholds(image, video[::every], cuts) for image, video in zip(sums, truth, strict=True)]
        mean = np.mean(scores, axis=0)
        best = int(mean.argmax())
        tried.append(BestSum(float(mean[best]), length, blur_px, float(cuts[best])))
    return max(tried, key=lambda best: best.f1_1px)
