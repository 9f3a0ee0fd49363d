"""Offset, noise and gain of every single pixel, from the stacks that photon transfer measures a camera with.

Every pixel of an sCMOS chip has its own amplifier (Huang et al., Nature Methods 10, 653, 2013). What a stack of N
frames says of one pixel is uncertain: its variance to sqrt(2 / dof), its gain hardly better. A map of raw values
would carry that uncertainty into every fit as a pattern that is not there. So each map is drawn towards the value
common to all pixels by the share of its spread that chance explains: empirical Bayes, James & Stein 1961. From few
frames comes a flat map, from many the pixels' own values.

Shapes: H, W camera pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, polygamma

from dblink_live.camera.photon_transfer import GainFacts, StackStatistics
from dblink_live.types import FloatImage

MIN_PAIRS = 20
"""Below so many differences a variance is so skewed that its logarithm tells nothing."""


@dataclass(frozen=True)
class PixelMaps:
    """Facts per pixel; each [H, W] float32."""

    offset_adu: FloatImage
    noise_adu: FloatImage
    """Standard deviation in darkness."""
    electrons_per_adu: FloatImage | None
    """Before electron multiplication; None without a light stack."""
    own_offset: float
    """Share of the offsets' spread that is the pixels' own, 0 to 1, and not chance; the map is drawn to a common
    value by the rest."""
    own_noise: float
    own_gain: float | None


def measure_pixels(
    dark: StackStatistics, lights: Sequence[StackStatistics], gain: GainFacts | None
) -> PixelMaps | None:
    """Maps of the region that the stacks show; None where the dark stack is too short for any.

    Parameters
    ----------
    dark, lights
        As for `measure_gain`, which has found them fit.
    gain
        What they tell of all pixels together; None without light stacks.
    """
    if dark.n_pairs < MIN_PAIRS:
        return None
    offset, own_offset = _drawn(dark.mean_map, np.full(dark.mean_map.shape, dark.variance / dark.n_frames))
    noise, own_noise = _noise(dark)
    gains: FloatImage | None = None
    own_gain = None
    if gain is not None:
        relative, own_gain = _gain(dark, lights)
        gains = (gain.electrons_per_adu * relative).astype(np.float32)
    return PixelMaps(
        offset_adu=offset.astype(np.float32),
        noise_adu=noise.astype(np.float32),
        electrons_per_adu=gains,
        own_offset=own_offset,
        own_noise=own_noise,
        own_gain=own_gain,
    )


def _noise(dark: StackStatistics) -> tuple[npt.NDArray[np.float64], float]:
    """Noise in ADU. Its logarithm is drawn: that of a chi-squared variance has a spread that does not depend on it."""
    half = dark.n_pairs / 2
    variance = dark.variance_map
    # A pixel that is stuck at one count has none; rounding alone would give it 1/12.
    logarithm = np.log(np.maximum(variance, 1 / 12)) - (digamma(half) - np.log(half))
    drawn, own = _drawn(logarithm, np.full(variance.shape, float(polygamma(1, half))))
    noise = np.exp(drawn / 2)
    # Chance is taken out of single pixels; the power of all together is measured well.
    return noise * np.sqrt(dark.variance / np.mean(noise**2)), own


def _gain(dark: StackStatistics, lights: Sequence[StackStatistics]) -> tuple[npt.NDArray[np.float64], float]:
    """Gain of each pixel over that of all, from each pixel's own slope of variance against mean."""
    above = np.zeros(dark.mean_map.shape)
    below = np.zeros(dark.mean_map.shape)
    for light in lights:
        signal = light.mean_map - dark.mean_map
        # One weight a stack: a pixel's own variance, where chance made it small, would claim too much for itself.
        expected = 2 * light.variance**2 / light.n_pairs + 2 * dark.variance**2 / dark.n_pairs
        above += signal * (light.variance_map - dark.variance_map) / expected
        below += signal**2 / expected
    slope = above / below
    common = float(above.sum() / below.sum())
    relative, own = _drawn(slope / common, 1 / (below * common**2))
    # A slope drawn to within a fraction of the common one is above 0; a dead pixel's may not be.
    return 1 / np.maximum(relative, 0.1), own


def _drawn(values: npt.NDArray[np.float64], variance: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """``values``, each known to ``variance``, drawn to their median by the share of their spread that this explains."""
    centre = float(np.median(values))
    spread = float(np.mean((values - centre) ** 2))
    own = max(0.0, 1.0 - float(np.mean(variance)) / spread) if spread > 0 else 0.0
    return centre + own * (values - centre), own
