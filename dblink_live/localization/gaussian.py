"""The Gaussian localizer: detection, maximum-likelihood fit, precision, filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import ConfigError, SourceError
from dblink_live.localization.camera import PhotonFrames, to_photons
from dblink_live.localization.detect import Spots, detect_spots
from dblink_live.localization.fit import N_PARAMETERS, SIGMA_RANGE_PX, Fits, fit_spots, join_fits
from dblink_live.localization.width import LEAST_SIGNIFICANCE, WidthLearner, largest_deviance
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

REGION_PX = 7
"""Least side of the square that is fitted around a spot; at the border it is moved inwards."""
REGION_SIGMAS = 2.0
"""The square reaches so far to each side of a wide spot: less than 4 % of the precision is then lost outside."""
NOMINAL_SIGMA_PX = 1.0
"""Width that spots are looked for with before theirs is known; fits then have a free width."""
LEARNING_FRAMES = 16
"""Frames a step while the width is being learned."""
DEFAULT_THRESHOLD_SIGMA = 5.0
MAX_WANDER_PX = 1.5
"""A fit that ends farther than this from where its spot was detected has followed something else; in widths of the
point spread function where that is wider than a pixel."""
MAX_PRECISION_PX = 0.6
"""A position known no better than this tells a 40 nm grid nothing."""
LEAST_PHOTON_SIGNIFICANCE = 3.0
"""Photons over their own uncertainty."""
_CHUNK_SPOTS = 2048


class GaussianLocalizer:
    """Localizes isolated molecules close to the Cramer-Rao bound, frame by frame.

    Where the width of the point spread function is not stated it is learned from the first hundred clear
    molecules; up to the end of that frame each fit has a width of its own. So a new recording asks for a new localizer.

    Parameters
    ----------
    camera
        Gain, offset and noise. Uncalibrated cameras work; photons and precision are then in counts.
    psf_sigma_px
        Standard deviation of the point spread function; None learns it.
    threshold_sigma
        Detection threshold in standard deviations of the filtered noise; see `dblink_live.localization.detect`.
    device
        Where to compute.

    Raises
    ------
    ConfigError
        A width that no fit can have, or a threshold that is not above 0.
    """

    name = "gaussian"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float = DEFAULT_THRESHOLD_SIGMA,
        device: str | torch.device = "cpu",
    ) -> None:
        if not (threshold_sigma > 0):
            raise ConfigError(f"expected threshold_sigma above 0, found {threshold_sigma}")
        least, most = SIGMA_RANGE_PX
        if psf_sigma_px is not None and not least <= psf_sigma_px <= most:
            raise ConfigError(
                f"expected psf_sigma_px between {least} and {most} camera pixels, found {psf_sigma_px}; "
                "give the standard deviation of a spot in pixels (not in nm), or leave it out and it is learned"
            )
        self._camera = camera
        self._sigma_px = psf_sigma_px
        self._learner = WidthLearner()
        self._threshold_sigma = threshold_sigma
        self._device = torch.device(device)

    @property
    def psf_sigma_px(self) -> float | None:
        """The width in use: as stated, or as learned; None while it is being learned."""
        return self._sigma_px

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
        photons = to_photons(frames, self._camera, self._device)
        if len(frames) != len(frame_numbers):
            raise SourceError(f"expected a number for each frame, found {len(frames)} and {len(frame_numbers)}")
        height, width = frames.shape[1:]
        if min(height, width) < REGION_PX:
            raise SourceError(
                f"expected frames of at least {REGION_PX} x {REGION_PX} pixels, found {height} x {width}; "
                "choose a larger region of the camera"
            )
        tables = []
        first = 0
        while first < len(frames):
            if self._sigma_px is not None:
                tables.append(self._find(photons[first:], self._sigma_px).table(frame_numbers[first:]))
                break
            block = photons[first : first + LEARNING_FRAMES]
            found = self._find(block, sigma_px=None)
            n_used = self._learn(found, len(block))
            tables.append(found.until(n_used).table(frame_numbers[first:]))
            first += n_used
        return np.concatenate(tables) if tables else empty_localizations()

    def _learn(self, found: _Found, n_frames: int) -> int:
        """Learn the width from what was found in ``n_frames`` frames; how many of them were needed."""
        n_used = self._learner.add(n_frames, *found.widths())
        self._sigma_px = self._learner.width_px
        return n_used

    def _find(self, photons: PhotonFrames, sigma_px: float | None) -> _Found:
        """Detect and fit, with a free width where ``sigma_px`` is None."""
        expected_px = sigma_px or NOMINAL_SIGMA_PX
        spots = detect_spots(photons, expected_px, self._threshold_sigma)
        height, width = photons.read_variance.shape
        side = min(max(REGION_PX, 2 * round(REGION_SIGMAS * expected_px) + 1), height, width)
        top = (spots.row - side // 2).clamp(0, height - side)
        left = (spots.col - side // 2).clamp(0, width - side)
        reach = torch.arange(side, device=top.device)
        rows, cols = (top[:, None] + reach)[:, :, None], (left[:, None] + reach)[:, None, :]
        # At least one chunk, if empty, so that there is something to join.
        chunks = [slice(first, first + _CHUNK_SPOTS) for first in range(0, max(1, len(spots.frame)), _CHUNK_SPOTS)]
        fits = join_fits(
            fit_spots(
                photons.signal[spots.frame[chunk, None, None], rows[chunk], cols[chunk]],
                photons.read_variance[rows[chunk], cols[chunk]],
                (spots.col - left)[chunk].float(),
                (spots.row - top)[chunk].float(),
                expected_px,
                fixed_sigma=sigma_px is not None,
            )
            for chunk in chunks
        )
        return _Found.of(spots, fits, left, top, side * side, expected_px, photons.excess_noise_factor)


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


@dataclass(frozen=True)
class _Found:
    """What was found in a batch of frames, sorted by frame, row and column."""

    frame: npt.NDArray[np.int64]
    """[K] index into the batch."""
    rows: Localizations
    """[K] with ``frame`` still to be filled in."""
    tells_width: npt.NDArray[np.bool_]
    """[K] a single bright molecule, as far as its fit can tell."""

    @classmethod
    def of(
        cls, spots: Spots, fits: Fits, left: Tensor, top: Tensor, n_pixels: int, expected_px: float, excess: float
    ) -> _Found:
        """Keep the good fits, in coordinates of the frame."""
        good = _is_good(fits, spots.col - left, spots.row - top, expected_px).cpu().numpy()
        rows = empty_localizations(int(good.sum()))
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
            rows[name] = values.cpu().numpy()[good]
        is_bright = fits.photons > LEAST_SIGNIFICANCE * fits.precision_photons
        is_single = fits.deviance <= largest_deviance(n_pixels, N_PARAMETERS)
        return cls(spots.frame.cpu().numpy()[good], rows, (is_bright & is_single).cpu().numpy()[good])

    def until(self, n_frames: int) -> _Found:
        """Only what lies in the first ``n_frames`` frames."""
        n = int(np.searchsorted(self.frame, n_frames))
        return _Found(self.frame[:n], self.rows[:n], self.tells_width[:n])

    def widths(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Frames and fitted widths of the spots that tell the width."""
        return self.frame[self.tells_width], self.rows["sx"][self.tells_width]

    def table(self, numbers: npt.NDArray[np.int64]) -> Localizations:
        """The rows, each with the number of its frame."""
        self.rows["frame"] = numbers[self.frame]
        return self.rows


def _is_good(fits: Fits, start_x: Tensor, start_y: Tensor, expected_px: float) -> Tensor:
    wander = torch.maximum((fits.x - start_x).abs(), (fits.y - start_y).abs())
    precision = torch.maximum(fits.precision_x, fits.precision_y)
    return (
        fits.has_converged
        & (wander <= MAX_WANDER_PX * max(1.0, expected_px))
        & (precision <= MAX_PRECISION_PX)
        & (fits.photons >= LEAST_PHOTON_SIGNIFICANCE * fits.precision_photons)
    )
