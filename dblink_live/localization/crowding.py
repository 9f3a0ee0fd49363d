"""Measure how crowded frames are around their molecules, to choose between fit and neural localizer.

A field may be empty but for a dense structure, so the density is not that of the field but that which the spots find
about themselves: other spots in a square around each, a square micrometre or two. It is stated as the number of
neighbours that a spot would have within three widths of the point spread function. Spots on top of each other are
detected as one, so in very crowded frames it is too low; but there it is far above any limit.

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.gaussian.detect import detect_spots
from dblink_live.localization.photoelectrons import PhotonFrames

_SIDE_SIGMAS = 16
"""Side of the square in widths."""
_NEAR_SIGMAS = 3.0


def crowding(
    frames: PhotonFrames, psf_sigma_px: float, threshold_sigma: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Neighbours within three widths, summed over the spots of each frame [N], and how many spots it has [N]."""
    n, height, width = frames.signal.shape
    spots = detect_spots(frames, psf_sigma_px, threshold_sigma)
    is_spot = torch.zeros_like(frames.signal)
    is_spot[spots.frame, spots.row, spots.col] = 1.0
    reach = round(0.5 * _SIDE_SIGMAS * psf_sigma_px)
    others = _within(is_spot, reach)[spots.frame, spots.row, spots.col].round() - 1.0
    area = _extent(spots.row, reach, height) * _extent(spots.col, reach, width)
    near_px = math.pi * (_NEAR_SIGMAS * psf_sigma_px) ** 2
    neighbours = (near_px * others.double() / area).cpu().numpy()
    frame = spots.frame.cpu().numpy()
    summed = np.bincount(frame, neighbours, minlength=n).astype(np.float64)
    return summed, np.bincount(frame, minlength=n).astype(np.int64)


def _within(values: Tensor, reach: int) -> Tensor:
    """Sums [N, H, W] over squares that reach so many pixels from their middle."""
    side = 2 * reach + 1
    rows = F.avg_pool2d(values[:, None], (side, 1), stride=1, padding=(reach, 0)) * side
    return (F.avg_pool2d(rows, (1, side), stride=1, padding=(0, reach)) * side)[:, 0]


def _extent(place: Tensor, reach: int, size: int) -> Tensor:
    """Pixels of a row or column of ``size`` within ``reach`` of each ``place``."""
    return (place + reach).clamp_max(size - 1) - (place - reach).clamp_min(0) + 1
