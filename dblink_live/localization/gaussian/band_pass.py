"""The filter that spots are looked for with: a difference of two Gaussians, and what noise becomes in it.

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OUTER_TO_INNER = 2.0
"""Width of the subtracted Gaussian over that of the point spread function: wide enough to keep the spot's light."""
BACKGROUND_SIGMA_PX = 5.0
"""Width of the Gaussian that estimates the local background."""
MIN_BACKGROUND_E = 0.25
"""A background below this says nothing about noise; photons are then so few that one would pass for a spot."""
MAD_TO_SIGMA = 1.4826
MIN_SCALE = 1e-3
"""Of the noise of a frame: one that has none would be full of spots."""
POOL_PX = 4
"""The background is estimated on pixels of this side: it changes over farther distances."""
_SCALE_STEP_PX = 3
_SCALE_PIXELS = 1 << 14
_REACH_SIGMAS = 2.5
"""Of the filters."""


@dataclass(frozen=True)
class BandPass:
    """The band-pass, and what noise becomes in it."""

    inner: list[float]
    outer: list[float]
    norm_squared: float
    read_variance: Tensor
    """[H, W] of the filtered frame."""
    min_read_variance: Tensor
    """[] of all pixels."""


def band_pass_for(read_variance: Tensor, psf_sigma_px: float) -> BandPass:
    """The filter for spots of that width, on a sensor of ``read_variance`` [H, W]."""
    inner, outer = gaussian_weights(psf_sigma_px), gaussian_weights(OUTER_TO_INNER * psf_sigma_px)
    beyond = (len(outer) - len(inner)) // 2
    widened = [0.0] * beyond + inner + [0.0] * beyond
    # The square of a difference of two separable filters is three separable ones.
    squares = [
        [a * b for a, b in zip(*pair, strict=True)] for pair in ((widened, widened), (widened, outer), (outer, outer))
    ]
    norm_squared = sum(factor * sum(weights) ** 2 for factor, weights in zip((1, -2, 1), squares, strict=True))
    least, most = (float(value) for value in read_variance.aminmax())
    if most == least:
        spread = torch.full_like(read_variance, norm_squared * least)
        return BandPass(inner, outer, norm_squared, spread, spread[0, 0])
    blurred = [blur(read_variance[None], weights)[0] for weights in squares]
    spread = (blurred[0] - 2 * blurred[1] + blurred[2]).clamp_min(0.0)
    return BandPass(inner, outer, norm_squared, spread, spread.amin())


def gaussian_weights(sigma_px: float) -> list[float]:
    """A Gaussian as far as it matters, with a sum of 1."""
    reach = max(1, math.ceil(_REACH_SIGMAS * sigma_px))
    weights = [math.exp(-0.5 * (x / sigma_px) ** 2) for x in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]


def scale_step(height: int, width: int) -> int:
    """Every so many pixels, of every so many rows, are enough to tell the noise of a frame."""
    return _SCALE_STEP_PX if height * width > _SCALE_PIXELS else 1


def blur(frames: Tensor, weights: list[float]) -> Tensor:
    """Convolve [N, H, W] with a separable kernel; the border pixel is repeated outside."""
    return _blur_along(_blur_along(frames, weights, 1), weights, 2)


def _blur_along(frames: Tensor, weights: list[float], dim: int) -> Tensor:
    """Convolve along one axis with a symmetric kernel, as a sum of shifted frames.

    For a single channel this is faster than conv2d.
    """
    reach = len(weights) // 2
    size = frames.shape[dim]
    shape = list(frames.shape)
    shape[dim] = reach
    first, last = frames.narrow(dim, 0, 1).expand(shape), frames.narrow(dim, size - 1, 1).expand(shape)
    padded = torch.cat([first, frames, last], dim)
    blurred = frames * weights[reach]
    for offset, weight in enumerate(weights[:reach]):
        blurred.add_(padded.narrow(dim, offset, size), alpha=weight)
        blurred.add_(padded.narrow(dim, 2 * reach - offset, size), alpha=weight)
    return blurred
