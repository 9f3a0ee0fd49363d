"""Detection of `dblink_live.localization.gaussian.detect` for an accelerator: many frames at once, by torch.

Shapes: N frames, H, W camera pixels, K spots.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.gaussian.band_pass import (
    BACKGROUND_SIGMA_PX,
    MAD_TO_SIGMA,
    MIN_BACKGROUND_E,
    MIN_SCALE,
    POOL_PX,
    BandPass,
    blur,
    gaussian_weights,
    scale_step,
)
from dblink_live.localization.photoelectrons import PhotonFrames

_LATER_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


def detect_batched(frames: PhotonFrames, band_pass: BandPass, threshold_sigma: float) -> Tensor:
    """[K, 3] frame, row and column of the spots of [N, H, W]."""
    signal = frames.signal
    response = blur(signal, band_pass.inner).sub_(blur(signal, band_pass.outer))
    background = _coarse_background(signal)
    n = len(signal)
    if frames.is_calibrated:
        threshold = torch.full((n,), threshold_sigma, device=signal.device)
    else:
        threshold = threshold_sigma * _noise_scale(response, background, band_pass).clamp_min(MIN_SCALE)
    # No pixel of a frame can have a lower threshold than this; where it matters it is computed.
    least = band_pass.norm_squared * background.flatten(1).amin(1) + band_pass.min_read_variance
    may_be = (response >= _highest_nearby(response)) & (
        response > (threshold * least.sqrt() * (1 - 1e-5))[:, None, None]
    )
    frame, row, col = may_be.nonzero().unbind(1)
    spread = _spread_at(background, band_pass, frame, row, col)
    height = response[frame, row, col]
    is_spot = (height > threshold[frame] * spread) & _is_last_of_equals(response, frame, row, col, height)
    return torch.stack([frame, row, col], 1)[is_spot]


def _highest_nearby(values: Tensor) -> Tensor:
    """Largest of each pixel of [N, H, W] and its eight neighbours."""
    along_x = values.clone()
    torch.maximum(along_x[:, :, 1:], values[:, :, :-1], out=along_x[:, :, 1:])
    torch.maximum(along_x[:, :, :-1], values[:, :, 1:], out=along_x[:, :, :-1])
    highest = along_x.clone()
    torch.maximum(highest[:, 1:], along_x[:, :-1], out=highest[:, 1:])
    torch.maximum(highest[:, :-1], along_x[:, 1:], out=highest[:, :-1])
    return highest


def _is_last_of_equals(response: Tensor, frame: Tensor, row: Tensor, col: Tensor, height: Tensor) -> Tensor:
    """[K] whether none of the neighbours that come later is as high."""
    n_rows, n_cols = response.shape[1:]
    is_last = torch.ones_like(height, dtype=torch.bool)
    for dy, dx in _LATER_NEIGHBOURS:
        near_row, near_col = row + dy, col + dx
        inside = (near_row < n_rows) & (near_col >= 0) & (near_col < n_cols)
        near = response[frame, near_row.clamp_max(n_rows - 1), near_col.clamp(0, n_cols - 1)]
        is_last &= ~(inside & (near >= height))
    return is_last


def _coarse_background(signal: Tensor) -> Tensor:
    """Local background on pixels of `POOL_PX` a side [N, H', W']."""
    pooled = F.avg_pool2d(signal[:, None], POOL_PX, ceil_mode=True, count_include_pad=False)[:, 0]
    return blur(pooled, gaussian_weights(BACKGROUND_SIGMA_PX / POOL_PX)).clamp_min_(MIN_BACKGROUND_E)


def _spread_at(background: Tensor, band_pass: BandPass, frame: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Standard deviation [K] of noise in the filtered frames at some pixels."""
    top, bottom, below = _between(row, background.shape[1])
    left, right, beside = _between(col, background.shape[2])
    above, under = (
        background[frame, rows, left] * (1 - beside) + background[frame, rows, right] * beside for rows in (top, bottom)
    )
    level = above * (1 - below) + under * below
    return (band_pass.norm_squared * level + band_pass.read_variance[row, col]).sqrt()


def _between(place: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two coarse pixels, of ``n``, that a pixel lies between, and the share of the second."""
    coarse = ((place + 0.5) / POOL_PX - 0.5).clamp(0, n - 1)
    first = coarse.floor()
    return first.long(), (first.long() + 1).clamp_max(n - 1), coarse - first


def _noise_scale(response: Tensor, background: Tensor, band_pass: BandPass) -> Tensor:
    """[N] noise of each frame over what its counts would have if they were photons."""
    n, height, width = response.shape
    step = scale_step(height, width)
    rows = torch.arange(0, height, step, device=response.device)
    cols = torch.arange(0, width, step, device=response.device)
    frame = torch.arange(n, device=response.device)
    grid = (axis.flatten() for axis in torch.meshgrid(frame, rows, cols, indexing="ij"))
    spread = _spread_at(background, band_pass, *grid).view(n, -1)
    return MAD_TO_SIGMA * (response[:, ::step, ::step].flatten(1) / spread).abs().median(1).values
