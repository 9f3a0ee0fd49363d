"""Photon and camera noise, fast enough for a camera of a million pixels a hundred times per second."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from dblink_live.types import Camera, CountImage, FloatImage

_LEVELS = 1 << 16


@lru_cache(maxsize=8)
def poisson_quantiles(mean: float) -> FloatImage:
    """The quantiles (k + 1/2) / 65536 of a Poisson distribution, [65536].

    Looking a random 16-bit number up here costs a fifteenth of drawing from the distribution. What is lost are the
    values rarer than one in 131,072; for 20 photons the mean errs by less than 1e-4 and the variance by 0.05 %.
    """
    largest = math.ceil(mean + 12 * math.sqrt(mean) + 12)
    k = np.arange(largest + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    log_mean = math.log(mean) if mean > 0 else -math.inf
    probability = np.exp(k[1:] * log_mean - mean - log_factorial[1:])
    cumulative = np.cumsum(np.concatenate([[math.exp(-mean)], probability]))
    quantiles = np.searchsorted(cumulative, (np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)
    quantiles.setflags(write=False)
    return quantiles


def photo_electrons(signal_e: FloatImage, background_e: float, rng: np.random.Generator) -> FloatImage:
    """Poisson photo-electrons [H, W] of a ``signal_e`` that is 0 nearly everywhere on an even ``background_e``.

    A sum of Poisson numbers is one itself, so the background comes from a table and only lit pixels are drawn.
    """
    electrons = poisson_quantiles(background_e)[rng.integers(0, _LEVELS, size=signal_e.shape, dtype=np.uint16)]
    lit = np.flatnonzero(signal_e)
    electrons.reshape(-1)[lit] += rng.poisson(signal_e.reshape(-1)[lit])
    return electrons


def digitise(electrons: FloatImage, camera: Camera, rng: np.random.Generator) -> CountImage:
    """Counts that ``camera`` makes of photo-electrons [H, W]: multiplication, read noise, gain, offset, saturation."""
    if camera.em_gain > 1:
        # Stochastic multiplication of n electrons: gamma of shape n and scale g (Basden et al. 2003), of excess
        # noise factor 2.
        multiplied = rng.standard_gamma(np.maximum(electrons, 1e-9), dtype=np.float32)
        electrons = np.where(electrons > 0, multiplied * np.float32(camera.em_gain), np.float32(0))
    if np.any(camera.read_noise_e):
        electrons = electrons + rng.standard_normal(electrons.shape, dtype=np.float32) * camera.read_noise_e
    counts = np.rint(electrons / camera.electrons_per_adu + camera.offset_adu)
    digitised: CountImage = np.clip(counts, 0, 2**camera.bit_depth - 1).astype(np.uint16)
    return digitised
