"""Network input: photons above the local background, in units of the background's noise.

In these units a molecule looks the same on a dark and on a bright background, behind a quiet and behind a noisy camera,
so that one network serves them all. What the units hide is said in two more channels: the width of the point spread
function, and the variance of the background in electrons (a molecule of 100 units adds much noise of its own to a
background of 1 electron and little to one of 1000).

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.photoelectrons import PhotonFrames

CONTEXT_FRAMES = 2
"""Frames before the one in question that the network sees beside it. None after it: a live localizer cannot wait."""
CHANNELS = 2 * (CONTEXT_FRAMES + 1) + 2
MIN_VARIANCE = 0.25
"""Variance in electrons that a background has at least; from 0, quotients would be anything."""
MIN_BRIGHTNESS = 10.0
"""Photons over width and noise below which a molecule cannot be found (2.8 standard deviations of a matched filter)."""
_POOL_PX = 2
_LOWEST_WITHIN = 7
"""Side, in pooled pixels, of the square whose lowest value is taken for background."""
_BELOW_MEAN_SIGMA = 1.0
"""Depth of the lowest smoothed pixel of pure background below its mean, in standard deviations of a pixel."""
_LINEAR_SCALE = 1 / 16
_WIDTH_SCALE = 2.0
_MAD_TO_SIGMA = 1.4826
_LAPLACIAN_NORM = 6.0
"""Of the filter (1, -2, 1) along both axes: the root of the sum of its squared weights."""


@dataclass(frozen=True)
class NetworkInput:
    """Frames as the network wants them."""

    units: Tensor
    """[N, H, W] photons above background over the background's noise."""
    noise: Tensor
    """[N, H, W] that noise, a standard deviation, on the scale of the frames."""
    background: Tensor
    """[N, H, W] on the scale of the frames."""
    variance_e: Tensor
    """[N, H, W] the background's variance in electrons."""

    def __len__(self) -> int:
        return len(self.units)


def prepare(frames: PhotonFrames) -> NetworkInput:
    """Take the background from ``frames`` and divide by its noise; each frame by itself."""
    background, noise, variance_e = _background_and_noise(frames)
    return NetworkInput((frames.signal - background) / noise, noise, background, variance_e)


def _background_and_noise(frames: PhotonFrames) -> tuple[Tensor, Tensor, Tensor]:
    """Local background and its standard deviation on the frames' scale, and its variance in electrons."""
    smooth = F.avg_pool2d(_padded(frames.signal, 1), 3, stride=1)
    lowest = _lowest_nearby(smooth)
    if frames.is_calibrated:
        # The lowest of many noisy values lies below their mean by about one standard deviation of a pixel.
        spread = (lowest.clamp_min(MIN_VARIANCE) + frames.read_variance).sqrt()
        background = lowest + _BELOW_MEAN_SIGMA * spread
        variance = background.clamp_min(0.0) + frames.read_variance + MIN_VARIANCE
        return background, variance.sqrt(), variance
    # Without gain and offset, what a pixel scatters is measured. Taken for Poisson noise it tells electrons a count.
    scatter = _scatter(frames.signal)
    background = lowest + _BELOW_MEAN_SIGMA * scatter
    level = background.flatten(1).median(dim=1).values[:, None, None].clamp_min(MIN_VARIANCE)
    share = (background / level).clamp(0.2, 5.0)
    electrons_per_count = (level / scatter.square()).clamp(1e-3, 1e3)
    return background, scatter * share.sqrt(), (level * electrons_per_count * share).clamp_min(MIN_VARIANCE)


def _lowest_nearby(smooth: Tensor) -> Tensor:
    """The lowest value within some 14 pixels, itself smoothed; [N, H, W] of ``smooth``'s shape."""
    height, width = smooth.shape[1:]
    pooled = F.avg_pool2d(smooth[:, None], _POOL_PX, ceil_mode=True)
    reach = _LOWEST_WITHIN // 2
    # Along one axis after the other: 14 comparisons a pixel instead of 49.
    along_y = F.max_pool2d(-pooled, (_LOWEST_WITHIN, 1), stride=1, padding=(reach, 0))
    lowest = -F.max_pool2d(along_y, (1, _LOWEST_WITHIN), stride=1, padding=(0, reach))
    even = F.avg_pool2d(lowest, _LOWEST_WITHIN, stride=1, padding=reach, count_include_pad=False)
    return F.interpolate(even, scale_factor=_POOL_PX, mode="nearest")[:, 0, :height, :width]


def _scatter(signal: Tensor) -> Tensor:
    """[N, 1, 1] standard deviation of a pixel's noise, from second differences that smooth spots hardly have.

    Immerkaer, Computer Vision and Image Understanding 64, 300 (1996), with a median for robustness.
    """
    along_y = signal[:, 2:] - 2 * signal[:, 1:-1] + signal[:, :-2]
    both = along_y[:, :, 2:] - 2 * along_y[:, :, 1:-1] + along_y[:, :, :-2]
    spread = _MAD_TO_SIGMA * both.flatten(1).abs().median(dim=1).values / _LAPLACIAN_NORM
    return spread.clamp_min(1e-3)[:, None, None]


def _padded(frames: Tensor, reach: int) -> Tensor:
    return F.pad(frames[:, None], (reach, reach, reach, reach), mode="replicate")[:, 0]


def channels(units: Tensor, variance_e: Tensor, log_sigma_px: Tensor) -> Tensor:
    """The network's input [N, CHANNELS, H, W].

    Parameters
    ----------
    units
        [N, CONTEXT_FRAMES + 1, H, W] `NetworkInput.units` of a frame and of those before it, itself first; zeros stand
        for frames that are not there.
    variance_e
        [N, H, W] `NetworkInput.variance_e` of the frame itself.
    log_sigma_px
        [N] natural logarithm of the width of the point spread function in pixels.
    """
    width = (log_sigma_px * _WIDTH_SCALE)[:, None, None, None].expand(-1, 1, *units.shape[2:])
    level = (variance_e.log10()[:, None] - 2.0) * 0.5
    # Bright molecules would drown faint ones: a compressed copy shows both.
    return torch.cat([units * _LINEAR_SCALE, torch.asinh(units * 0.5), width, level], dim=1)


def log_units(photons: Tensor, noise: Tensor) -> Tensor:
    """Natural logarithm of photons in units of the noise: the scale on which the network states brightness."""
    return (photons / noise).clamp_min(math.exp(-2.0)).log()


def seen_in(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Input of `channels`: units of the frame itself [N, H, W] and the width in pixels [N]."""
    return inputs[:, 0] / _LINEAR_SCALE, (inputs[:, 2 * (CONTEXT_FRAMES + 1), 0, 0] / _WIDTH_SCALE).exp()
