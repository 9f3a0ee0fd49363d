"""Finding spots: a band-pass matched to the point spread function, in units of its own noise.

Each frame is filtered with a difference of two Gaussians. Photon noise of background b and read variance r gives the
filtered frame a variance of ``|k|^2 b + (k^2 * r)``, k being the filter; the second term is a map of the sensor, in
which a noisy pixel makes all pixels about it noisy. Where the camera is not calibrated its gain is unknown, and a
robust scale of each frame (the median absolute deviation) corrects it; a calibrated camera needs none, and in crowded
frames such a scale would count molecules as noise. What exceeds ``threshold_sigma`` of it and its eight neighbours is a
spot.

Spots in pure noise, a million pixels, measured (the Gaussian tail would be 32 at 4 sigma and 0.3 at 5; few photons are
skewed upwards). The filters after the fit remove about half of them.

    background    4 sigma    5 sigma
      1 e/px        186        11
     10 e/px         68         1.6
    100 e/px         38         0.5

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
from dblink_live.localization.threads import map_parts

OUTER_TO_INNER = 2.0
"""Width of the subtracted Gaussian over that of the point spread function: wide enough to keep the spot's light."""
BACKGROUND_SIGMA_PX = 5.0
"""Width of the Gaussian that estimates the local background."""
LOWEST_BACKGROUND_E = 0.25
"""A background below this says nothing about noise; photons are then so few that one would pass for a spot."""
MAD_TO_SIGMA = 1.4826
_REACH_SIGMAS = 2.5
"""Of the filters."""
_POOL_PX = 4
"""The background is estimated on pixels of this side: it changes over farther distances."""
_SCALE_STEP_PX = 3
"""Every third pixel of every third row tells the scale of a frame of more than `_SCALE_PIXELS`."""
_SCALE_PIXELS = 1 << 14
_CHUNK_PIXELS = 1 << 18
"""Frames are filtered in chunks of about so many pixels: 1 MB, which stays in the cache."""
_CHUNK_PIXELS_ACCELERATOR = 1 << 24
"""Elsewhere than on a CPU few large chunks are faster: 64 MB."""
_LATER_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Spots:
    """Pixels that hold a spot, sorted by frame, row and column."""

    frame: Tensor
    """[K] index into the batch."""
    row: Tensor
    col: Tensor


@dataclass(frozen=True)
class _Filter:
    """The band-pass, and what noise becomes in it."""

    inner: list[float]
    outer: list[float]
    norm_squared: float
    read_variance: Tensor
    """[H, W] of the filtered frame."""
    least_read_variance: Tensor
    """[] of all pixels."""


def detect_spots(frames: PhotonFrames, psf_sigma_px: float, threshold_sigma: float) -> Spots:
    """Spots in ``frames``, those at the border included."""
    n, height, width = frames.signal.shape
    device = frames.signal.device
    chunk_pixels = _CHUNK_PIXELS if device.type == "cpu" else _CHUNK_PIXELS_ACCELERATOR
    chunk = max(1, chunk_pixels // (height * width))
    band_pass = _filter_for(frames.read_variance, psf_sigma_px)

    def detect(first: int) -> Tensor:
        found = _detect(frames[first : first + chunk], band_pass, threshold_sigma)
        found[:, 0] += first
        return found

    # Beside nothing, so that there is something to join when there are no frames.
    nothing = torch.zeros(0, 3, dtype=torch.long, device=device)
    frame, row, col = torch.cat([nothing, *map_parts(detect, range(0, n, chunk), device)]).unbind(1)
    return Spots(frame, row, col)


def _filter_for(read_variance: Tensor, psf_sigma_px: float) -> _Filter:
    inner, outer = _gaussian_weights(psf_sigma_px), _gaussian_weights(OUTER_TO_INNER * psf_sigma_px)
    beyond = (len(outer) - len(inner)) // 2
    widened = [0.0] * beyond + inner + [0.0] * beyond
    # The square of a difference of two separable filters is three separable ones.
    squares = [
        [a * b for a, b in zip(*pair, strict=True)] for pair in ((widened, widened), (widened, outer), (outer, outer))
    ]
    norm_squared = sum(factor * sum(weights) ** 2 for factor, weights in zip((1, -2, 1), squares, strict=True))
    least = float(read_variance.min())
    if float(read_variance.max()) == least:
        # One number for all pixels: shown as a map, without the memory of one.
        spread = torch.full((1, 1), norm_squared * least, device=read_variance.device).expand_as(read_variance)
        return _Filter(inner, outer, norm_squared, spread, spread[0, 0])
    blurred = [_blur(read_variance[None], weights)[0] for weights in squares]
    spread = (blurred[0] - 2 * blurred[1] + blurred[2]).clamp_min(0.0)
    return _Filter(inner, outer, norm_squared, spread, spread.amin())


def _detect(frames: PhotonFrames, band_pass: _Filter, threshold_sigma: float) -> Tensor:
    """[K, 3] frame, row and column of the spots of [N, H, W]."""
    signal = frames.signal
    response = _blur(signal, band_pass.inner).sub_(_blur(signal, band_pass.outer))
    background = _coarse_background(signal)
    n = len(signal)
    if frames.is_calibrated:
        threshold = torch.full((n,), threshold_sigma, device=signal.device)
    else:
        threshold = threshold_sigma * _noise_scale(response, background, band_pass).clamp_min(1e-3)
    # No pixel of a frame can have a lower threshold than this; where it matters it is computed.
    least = band_pass.norm_squared * background.flatten(1).amin(1) + band_pass.least_read_variance
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
    """Local background on pixels of `_POOL_PX` a side [N, H', W']."""
    pooled = F.avg_pool2d(signal[:, None], _POOL_PX, ceil_mode=True, count_include_pad=False)[:, 0]
    return _blur(pooled, _gaussian_weights(BACKGROUND_SIGMA_PX / _POOL_PX)).clamp_min_(LOWEST_BACKGROUND_E)


def _spread_at(background: Tensor, band_pass: _Filter, frame: Tensor, row: Tensor, col: Tensor) -> Tensor:
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
    coarse = ((place + 0.5) / _POOL_PX - 0.5).clamp(0, n - 1)
    first = coarse.floor()
    return first.long(), (first.long() + 1).clamp_max(n - 1), coarse - first


def _noise_scale(response: Tensor, background: Tensor, band_pass: _Filter) -> Tensor:
    """[N] noise of each frame over what its counts would have if they were photons."""
    n, height, width = response.shape
    step = _SCALE_STEP_PX if height * width > _SCALE_PIXELS else 1
    rows = torch.arange(0, height, step, device=response.device)
    cols = torch.arange(0, width, step, device=response.device)
    frame = torch.arange(n, device=response.device)
    grid = (axis.flatten() for axis in torch.meshgrid(frame, rows, cols, indexing="ij"))
    spread = _spread_at(background, band_pass, *grid).view(n, -1)
    return MAD_TO_SIGMA * (response[:, ::step, ::step].flatten(1) / spread).abs().median(1).values


def _blur(frames: Tensor, weights: list[float]) -> Tensor:
    """Convolve [N, H, W] with a separable kernel; the border pixel is repeated outside."""
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


def _gaussian_weights(sigma_px: float) -> list[float]:
    reach = max(1, math.ceil(_REACH_SIGMAS * sigma_px))
    weights = [math.exp(-0.5 * (x / sigma_px) ** 2) for x in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]
