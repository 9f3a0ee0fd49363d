"""What a network has to beat: sums of the counts, at the settings that are best on the very videos that are scored.

Two sums stand for what a microscopist has without a network: the centred sum over +-k windows, which needs the future,
and the leaky sum, which does not. Both are blurred as localization images usually are, and cut at their best threshold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dblink_live.analysis.metrics import f1_at_thresholds, leaky_sum, windowed_sum
from dblink_live.simulate.video import Video
from dblink_live.types import FloatImage

HALF_WIDTHS = (5, 10, 20, 40, 80)
TIME_CONSTANTS = (5, 10, 20, 40, 80)
BLURS_PX = (0.7, 1.0, 1.5, 2.0)
N_THRESHOLDS = 60


@dataclass(frozen=True)
class Best:
    """The best settings of a sum, one for all videos, and the mean F1 at 1 px that they give."""

    f1_1px: float
    windows: int
    """Half-width, or time constant."""
    blur_px: float


def best_plain_sum(videos: Sequence[Video], every: int = 1) -> Best:
    """The centred sum; only every ``every``-th window is scored."""
    return _best(videos, HALF_WIDTHS, lambda video, k, blur: windowed_sum(video.counts, k, blur), every)


def best_leaky_sum(videos: Sequence[Video], every: int = 1) -> Best:
    """The sum that forgets, which can be shown live; only every ``every``-th window is scored."""
    return _best(videos, TIME_CONSTANTS, lambda video, tau, blur: leaky_sum(video.counts, tau, blur), every)


def _best(
    videos: Sequence[Video], lengths: Sequence[int], summed: Callable[[Video, int, float], FloatImage], every: int
) -> Best:
    tried = []
    for length, blur_px in itertools.product(lengths, BLURS_PX):
        sums = [summed(video, length, blur_px)[::every] for video in videos]
        cuts = np.linspace(0.0, max(float(image.max()) for image in sums), N_THRESHOLDS + 1)[:-1]
        scores = [
            f1_at_thresholds(image, video.truth[::every], cuts) for image, video in zip(sums, videos, strict=True)
        ]
        tried.append(Best(float(np.mean(scores, axis=0).max()), length, blur_px))
    return max(tried, key=lambda best: best.f1_1px)
