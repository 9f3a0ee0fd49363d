"""The Gaussian localizer: detection, maximum-likelihood fit, precision, filters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import ConfigError, SourceError
from dblink_live.localization.camera import PhotonFrames, to_photons
from dblink_live.localization.detect import Spots, detect_spots
from dblink_live.localization.fit import Fits, fit_spots
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

REGION_PX = 7
"""Side of the square that is fitted around a spot; at the border it is moved inwards."""
NOMINAL_SIGMA_PX = 1.0
"""Width that spots are looked for with when nobody states one; fits then have a free width."""
DEFAULT_THRESHOLD_SIGMA = 5.0
MAX_WANDER_PX = 1.5
"""A fit that ends farther than this from where its spot was detected has followed something else."""
MAX_PRECISION_PX = 0.6
"""A position known no better than this tells a 40 nm grid nothing."""
LEAST_PHOTON_SIGNIFICANCE = 3.0
"""Photons over their own uncertainty."""
_CHUNK_SPOTS = 2048


class GaussianLocalizer:
    """Localizes isolated molecules close to the Cramer-Rao bound, frame by frame.

    Parameters
    ----------
    camera
        Gain, offset and noise. Uncalibrated cameras work; photons and precision are then in counts.
    psf_sigma_px
        Standard deviation of the point spread function; None fits it for every spot.
    threshold_sigma
        Detection threshold in standard deviations of the filtered noise; see `dblink_live.localization.detect`.
    device
        Where to compute.

    Raises
    ------
    ConfigError
        A width or threshold that is not above 0.
    """

    name = "gaussian"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float = DEFAULT_THRESHOLD_SIGMA,
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in (("psf_sigma_px", psf_sigma_px), ("threshold_sigma", threshold_sigma)):
            if value is not None and not value > 0:
                raise ConfigError(f"expected {name} above 0, found {value}")
        self._camera = camera
        self._sigma_px = psf_sigma_px
        self._threshold_sigma = threshold_sigma
        self._device = torch.device(device)

    @torch.inference_mode()
    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Molecules in ``frames`` [N, H, W], numbered ``frame_numbers`` [N], sorted by frame.

        Raises
        ------
        SourceError
            Frames that are no grey images, not finite, smaller than 7 x 7 pixels, or fewer or more than their numbers.
        CalibrationError
            A sensor map of another shape than the frames.
        """
        if len(frames) != len(frame_numbers):
            raise SourceError(f"expected a number for each frame, found {len(frames)} and {len(frame_numbers)}")
        photons = to_photons(frames, self._camera, self._device)
        height, width = frames.shape[1:]
        if min(height, width) < REGION_PX:
            raise SourceError(
                f"expected frames of at least {REGION_PX} x {REGION_PX} pixels, found {height} x {width}; "
                "choose a larger region of the camera"
            )
        if not len(frames):
            return empty_localizations()
        sigma = self._sigma_px or NOMINAL_SIGMA_PX
        spots = detect_spots(photons, sigma, self._threshold_sigma)
        chunks = (slice(first, first + _CHUNK_SPOTS) for first in range(0, len(spots.frame), _CHUNK_SPOTS))
        tables = [
            self._fit(photons, Spots(spots.frame[c], spots.row[c], spots.col[c]), sigma, frame_numbers) for c in chunks
        ]
        return np.concatenate(tables) if tables else empty_localizations()

    def _fit(
        self, photons: PhotonFrames, spots: Spots, sigma_px: float, numbers: npt.NDArray[np.int64]
    ) -> Localizations:
        height, width = photons.read_variance.shape
        top = (spots.row - REGION_PX // 2).clamp(0, height - REGION_PX)
        left = (spots.col - REGION_PX // 2).clamp(0, width - REGION_PX)
        reach = torch.arange(REGION_PX, device=top.device)
        rows, cols = (top[:, None] + reach)[:, :, None], (left[:, None] + reach)[:, None, :]
        fits = fit_spots(
            photons.signal[spots.frame[:, None, None], rows, cols],
            photons.read_variance[rows, cols],
            (spots.col - left).float(),
            (spots.row - top).float(),
            sigma_px,
            fixed_sigma=self._sigma_px is not None,
        )
        good = _is_good(fits, spots.col - left, spots.row - top)
        return _table(fits, left, top, numbers[spots.frame.cpu().numpy()], photons.excess_noise_factor, good)


def localize(frames: FrameArray, camera: Camera, localizer: str = "gaussian", first_frame: int = 0) -> Localizations:
    """Localize ``frames`` [N, H, W] with a localizer by name; their numbers count from ``first_frame``.

    Raises
    ------
    PluginError
        No localizer of that name.
    SourceError, CalibrationError
        As `GaussianLocalizer.localize`.

    Examples
    --------
    >>> from dblink_live.simulate import SCMOS, make_camera
    >>> from dblink_live.types import Shape
    >>> camera = make_camera("filaments", Shape(32, 32), seed=1)
    >>> table = localize(np.stack([camera.frame(n) for n in range(20)]), SCMOS)
    >>> table.dtype.names[:3], bool(len(table) > 10)
    (('frame', 'x', 'y'), True)
    """
    from dblink_live.registry import get_localizer_factory

    numbers = np.arange(first_frame, first_frame + len(frames), dtype=np.int64)
    return get_localizer_factory(localizer)(camera).localize(frames, numbers)


def _is_good(fits: Fits, start_x: Tensor, start_y: Tensor) -> Tensor:
    wander = torch.maximum((fits.x - start_x).abs(), (fits.y - start_y).abs())
    precision = torch.maximum(fits.precision_x, fits.precision_y)
    return (
        fits.has_converged
        & (wander <= MAX_WANDER_PX)
        & (precision <= MAX_PRECISION_PX)
        & (fits.photons >= LEAST_PHOTON_SIGNIFICANCE * fits.precision_photons)
    )


def _table(
    fits: Fits, left: Tensor, top: Tensor, numbers: npt.NDArray[np.int64], excess: float, good: Tensor
) -> Localizations:
    keep = good.cpu().numpy()
    table = empty_localizations(int(keep.sum()))
    columns = {
        "x": fits.x + left,
        "y": fits.y + top,
        # The fit saw electrons divided by the excess noise factor.
        "photons": fits.photons * excess,
        "bg": fits.background * excess,
        "sx": fits.sigma_px,
        "sy": fits.sigma_px,
        "lpx": fits.precision_x,
        "lpy": fits.precision_y,
    }
    for name, values in columns.items():
        table[name] = values[good].cpu().numpy()
    table["frame"] = numbers[keep]
    return table
