"""Finding spots: a band-pass matched to the point spread function, in units of its own noise.

Each frame is filtered with a difference of two Gaussians. Photon noise of background b and read variance r gives the
filtered
frame a standard deviation of ``|k| sqrt(b + r)``, |k| being the filter's norm; a robust scale of each frame (the median
absolute deviation) corrects it where the camera's gain is unknown. What exceeds ``threshold_sigma`` of it and its
eight neighbours is a spot. Pure noise exceeds 5 sigma in about 3 of 10 million pixels, and more often where the
background is below some 10 electrons, since few photons are skewed upwards.

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
_CHUNK_PIXELS = 1 << 21
"""Frames are filtered in chunks of about so many pixels, to stay in memory."""


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
    chunk = max(1, _CHUNK_PIXELS // (height * width))
    found = [
        _detect(frames.signal[first : first + chunk], frames.read_variance, psf_sigma_px, threshold_sigma)
        for first in range(0, n, chunk)
    ]
    for first, spots in zip(range(0, n, chunk), found, strict=True):
        spots[:, 0] += first
    frame, row, col = torch.cat(found).unbind(1)
    return Spots(frame, row, col)


def _detect(signal: Tensor, read_variance: Tensor, psf_sigma_px: float, threshold_sigma: float) -> Tensor:
    """[K, 3] frame, row and column of the spots of [N, H, W]."""
    inner = _gaussian_kernel(psf_sigma_px, signal)
    outer = _gaussian_kernel(OUTER_TO_INNER * psf_sigma_px, signal)
    response = _blur(signal, inner) - _blur(signal, outer)
    background = _blur(signal, _gaussian_kernel(BACKGROUND_SIGMA_PX, signal)).clamp_min(LOWEST_BACKGROUND_E)
    sigma = _difference_norm(inner, outer) * (background + read_variance).sqrt()
    score = response / sigma
    scale = MAD_TO_SIGMA * score.flatten(1).abs().median(dim=1).values[:, None, None]
    # A calibrated camera has scale 1 up to its structure; only a clearly wrong gain is corrected.
    threshold = threshold_sigma * scale.clamp_min(1e-3)
    return ((score > threshold) & _is_local_maximum(score)).nonzero()


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
    reach = len(kernel) // 2
    planes = F.pad(frames.unsqueeze(1), (reach, reach, reach, reach), mode="replicate")
    planes = F.conv2d(F.conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return planes.squeeze(1)


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
