"""Estimate photons of molecules at known positions, which Deep-STORM does not predict.

The frame above its background is taken for a sum of round Gaussians of one width at the found places, and their
photons are those of the non-negative least squares solution, approached by the multiplicative steps of the image space
reconstruction algorithm (Daube-Witherspoon & Muehllehner, IEEE Transactions on Medical Imaging 5, 61, 1986). Steps are
few: of two molecules that the frame can hardly tell apart each gets about half, not one all and the other nothing.
Each molecule's numbers come from its own pixels in the same order always, so batches leave no trace.

Shapes: N frames, H, W camera pixels, K molecules, P pixels about one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

STEPS = 20
REACH_SIGMAS = 3.0
_LEAST = 1e-3
"""Photons that a molecule has at least; from 0 no step leads away."""

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def photons_of(above: Values, frame: Indices, y: Values, x: Values, psf_sigma_px: float) -> Values:
    """[K] photons of molecules at ``y``, ``x`` [K] px in ``frame`` [K], of frames above background [N, H, W]."""
    if not len(frame):
        return np.zeros(0)
    n, height, width = above.shape
    rows, along_y = _shares(y, psf_sigma_px, height)
    cols, along_x = _shares(x, psf_sigma_px, width)
    share = (along_y[:, :, None] * along_x[:, None, :]).reshape(len(frame), -1)
    pixel = ((frame[:, None, None] * height + rows[:, :, None]) * width + cols[:, None, :]).reshape(len(frame), -1)
    wanted = np.maximum((share * above.reshape(-1)[pixel]).sum(axis=1), 0.0)
    photons: Values = np.maximum(wanted / np.square(share).sum(axis=1), _LEAST)
    for _ in range(STEPS):
        model = np.bincount(pixel.reshape(-1), (share * photons[:, None]).reshape(-1), minlength=n * height * width)
        photons = np.maximum(photons * wanted / (share * model[pixel]).sum(axis=1), _LEAST)
    return photons


def _shares(places: Values, psf_sigma_px: float, n_pixels: int) -> tuple[Indices, Values]:
    """Pixels about each place along an axis [K, p], and the share of the light in each; none outside the frame."""
    reach = math.ceil(REACH_SIGMAS * psf_sigma_px)
    middle = np.clip(np.rint(places).astype(np.int64), 0, n_pixels - 1)
    pixel = middle[:, None] + np.arange(-reach, reach + 1)
    from_place = pixel - places[:, None]
    share = ndtr((from_place + 0.5) / psf_sigma_px) - ndtr((from_place - 0.5) / psf_sigma_px)
    inside = (pixel >= 0) & (pixel < n_pixels)
    return np.clip(pixel, 0, n_pixels - 1), np.where(inside, share, 0.0)
