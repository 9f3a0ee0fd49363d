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

Every step looks at one frame alone, so the answer does not depend on how frames are batched. On a CPU they come one by
one (`detect_compiled`), on an accelerator many at once (`detect_batched`).

Shapes: N frames, H, W camera pixels, K spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dblink_live.localization.gaussian.band_pass import band_pass_for
from dblink_live.localization.gaussian.detect_batched import detect_batched
from dblink_live.localization.gaussian.detect_compiled import detect_compiled
from dblink_live.localization.parallel import map_parts
from dblink_live.localization.photoelectrons import PhotonFrames

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
    device = frames.signal.device
    is_cpu = device.type == "cpu"
    chunk = max(1, (_CHUNK_PIXELS if is_cpu else _CHUNK_PIXELS_ACCELERATOR) // (height * width))
    band_pass = band_pass_for(frames.read_variance, psf_sigma_px)
    find = detect_compiled if is_cpu else detect_batched

    def detect(first: int) -> Tensor:
        found = find(frames[first : first + chunk], band_pass, threshold_sigma)
        found[:, 0] += first
        return found

    # Beside nothing, so that there is something to join when there are no frames.
    nothing = torch.zeros(0, 3, dtype=torch.long, device=device)
    frame, row, col = torch.cat([nothing, *map_parts(detect, range(0, n, chunk), device)]).unbind(1)
    return Spots(frame, row, col)
