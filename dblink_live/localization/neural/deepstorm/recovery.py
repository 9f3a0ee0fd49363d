"""From the network's image to a list of molecules: the peaks of its heat map.

The heat map is the image smoothed as in training (`smoothed`). A molecule is
a fine pixel above its eight neighbours; its place is the top of the parabola through the logarithms of the peak and its
neighbours, along each axis, which is exact for the Gaussians that the network was taught. Its height is 1 where the
network is sure of molecule and place, and less where it spreads its bet.

Shapes: N frames, h, w fine pixels, K molecules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.neural.deepstorm.network import SPIKE, smoothed

SURE_PEAK = SPIKE / (2 * math.pi)
"""Of the heat map of one molecule in the middle of a fine pixel, drawn as a Gaussian of one fine pixel."""
_LEAST_LOG = 1e-3
"""Neighbours lower than this share of the peak count as this: the logarithm needs a number above 0."""


@dataclass(frozen=True)
class Peaks:
    """[K], sorted by frame, row and column."""

    frame: Tensor
    """Index into the batch."""
    x: Tensor
    """Camera pixels, centre of pixel 0 at 0.0."""
    y: Tensor
    height: Tensor
    """Of the heat map, 1 being a sure molecule."""


def peaks(image: Tensor, upsampling: int, min_height: float) -> Peaks:
    """Molecules in ``image`` [N, h, w] whose heat map is at least ``min_height`` high."""
    heat = F.pad(smoothed(image), (1, 1, 1, 1)) / SURE_PEAK
    inner = heat[:, 1:-1, 1:-1]
    highest = F.max_pool2d(heat[:, None], 3, stride=1)[:, 0]
    frame, row, col = ((inner >= min_height) & (inner == highest)).nonzero().unbind(1)
    step = torch.arange(3, device=row.device)
    near = heat[frame[:, None, None], (row[:, None] + step)[:, :, None], (col[:, None] + step)[:, None, :]]
    # Of equal neighbours, the last one is the peak.
    after = torch.cat([near[:, 1, 2:], near[:, 2]], dim=1)
    is_last = (after < near[:, 1, 1:2]).all(1)
    frame, row, col, near = frame[is_last], row[is_last], col[is_last], near[is_last]
    height = near[:, 1, 1]
    return Peaks(
        frame=frame,
        x=_in_camera_pixels(col + _top(near[:, 1]), upsampling),
        y=_in_camera_pixels(row + _top(near[:, :, 1]), upsampling),
        height=height,
    )


def _top(values: Tensor) -> Tensor:
    """[K] where the parabola through the logarithms of ``values`` [K, 3], the middle one highest, has its top."""
    least = _LEAST_LOG * values[:, 1:2]
    before, peak, after = torch.maximum(values, least).log().unbind(1)
    bend = 2 * peak - before - after
    return 0.5 * (after - before) / bend.clamp_min(1e-6)


def _in_camera_pixels(fine: Tensor, upsampling: int) -> Tensor:
    return (fine + 0.5) / upsampling - 0.5
