"""Finding spots: a band-pass matched to the point spread function, in units of its own noise.

Each frame is filtered with a difference of two Gaussians. Photon noise of background b and read variance r gives the
filtered frame a standard deviation of ``|k| sqrt(b + r)``, |k| being the filter's norm. Where the camera is not
calibrated its gain is unknown, and a robust scale of each frame (the median absolute deviation) corrects it; a
calibrated camera needs none, and in crowded frames such a scale would count molecules as noise. What exceeds
``threshold_sigma`` of it and its eight neighbours is a spot.

Spots in pure noise, a million pixels, measured (the Gaussian tail would be 32 at 4 sigma and 0.3 at 5; few photons are
skewed upwards). The filters after the fit remove about half of them.

    background    4 sigma    5 sigma
      1 e/px        199        14
     10 e/px         80         3
    100 e/px         37         0.5

Every step looks at one frame alone, so the answer does not depend on how frames are batched.

Shapes: N frames, H, W camera pixels, K spots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.camera import PhotonFrames

OUTER_TO_INNER = 2.0
"""Width of the subtracted Gaussian over that of the point spread function: wide enough to keep the spot's light."""
BACKGROUND_SIGMA_PX = 5.0
"""Width of the Gaussian that estimates the local background."""
LOWEST_BACKGROUND_E = 0.25
"""A background below this says nothing about noise; photons are then so few that one would pass for a spot."""
MAD_TO_SIGMA = 1.4826
_CHUNK_PIXELS = 1 << 18
"""Frames are filtered in chunks of about so many pixels: 1 MB, which stays in the cache."""
_CHUNK_PIXELS_ACCELERATOR = 1 << 24
"""Elsewhere than on a CPU few large chunks are faster: 64 MB."""


@dataclass(frozen=True)
class Spots:
    """Pixels that hold a spot, sorted by frame, row and column."""

    frame: Tensor
    """[K] index into the batch."""
    row: Tensor
    col: Tensor


def detect_spots(frames: PhotonFrames, psf_sigma_px: float, threshold_sigma: float) -> Spots:
    """Spots in ``frames``, those at the border included."""
    n, height, width = frames.signal.shape
    chunk_pixels = _CHUNK_PIXELS if frames.signal.device.type == "cpu" else _CHUNK_PIXELS_ACCELERATOR
    chunk = max(1, chunk_pixels // (height * width))
    found = [_detect(frames[first : first + chunk], psf_sigma_px, threshold_sigma) for first in range(0, n, chunk)]
    for first, spots in zip(range(0, n, chunk), found, strict=True):
        spots[:, 0] += first
    frame, row, col = torch.cat(found).unbind(1)
    return Spots(frame, row, col)


def _detect(frames: PhotonFrames, psf_sigma_px: float, threshold_sigma: float) -> Tensor:
    """[K, 3] frame, row and column of the spots of [N, H, W]."""
    signal = frames.signal
    inner = _gaussian_kernel(psf_sigma_px, signal)
    outer = _gaussian_kernel(OUTER_TO_INNER * psf_sigma_px, signal)
    response = _blur(signal, inner) - _blur(signal, outer)
    background = _blur(signal, _gaussian_kernel(BACKGROUND_SIGMA_PX, signal)).clamp_min(LOWEST_BACKGROUND_E)
    sigma = _difference_norm(inner, outer) * (background + frames.read_variance).sqrt()
    score = response / sigma
    is_spot = _is_local_maximum(score)
    if frames.is_calibrated:
        return (is_spot & (score > threshold_sigma)).nonzero()
    scale = MAD_TO_SIGMA * score.flatten(1).abs().median(dim=1).values[:, None, None]
    return (is_spot & (score > threshold_sigma * scale.clamp_min(1e-3))).nonzero()


def _is_local_maximum(score: Tensor) -> Tensor:
    """True where a pixel of [N, H, W] exceeds its eight neighbours; of equal ones, the last counts."""
    padded = F.pad(score, (1, 1, 1, 1), value=-math.inf)
    height, width = score.shape[1:]
    is_maximum = torch.ones_like(score, dtype=torch.bool)
    for dy in range(3):
        for dx in range(3):
            neighbour = padded[:, dy : dy + height, dx : dx + width]
            if (dy, dx) < (1, 1):
                is_maximum &= score >= neighbour
            elif (dy, dx) > (1, 1):
                is_maximum &= score > neighbour
    return is_maximum


def _blur(frames: Tensor, kernel: Tensor) -> Tensor:
    """Convolve [N, H, W] with a separable kernel; the border pixel is repeated outside."""
    weights = kernel.tolist()
    return _blur_along(_blur_along(frames, weights, 1), weights, 2)


def _blur_along(frames: Tensor, weights: list[float], dim: int) -> Tensor:
    """Convolve along one axis with a symmetric kernel, as a sum of shifted frames.

    On a CPU this is several times faster than conv2d with its single channel.
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


def _gaussian_kernel(sigma_px: float, like: Tensor) -> Tensor:
    reach = max(1, math.ceil(3 * sigma_px))
    x = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-0.5 * (x / sigma_px).square())
    return kernel / kernel.sum()


def _difference_norm(inner: Tensor, outer: Tensor) -> float:
    """Square root of the sum of squares of the difference of two separable kernels."""
    pad = (len(outer) - len(inner)) // 2
    inner = F.pad(inner, (pad, pad))
    product = float((inner * outer).sum())
    return math.sqrt(float(inner.square().sum()) ** 2 - 2 * product**2 + float(outer.square().sum()) ** 2)
