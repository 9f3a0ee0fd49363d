"""The Gaussian localizer: detection, maximum-likelihood fit, precision, filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.config import AUTO
from dblink_live.device import resolve_device
from dblink_live.errors import ConfigError
from dblink_live.localization.frame_validation import MIN_SIDE_PX, FrameFaults, check_frames
from dblink_live.localization.gaussian.detect import detect_spots
from dblink_live.localization.gaussian.filters import MAX_PRECISION_PX, Filters
from dblink_live.localization.gaussian.fit_and_filter import SpotFitter
from dblink_live.localization.gaussian.fit_terms import SIGMA_RANGE_PX, Fits
from dblink_live.localization.gaussian.psf import N_FITTED, Width
from dblink_live.localization.gaussian.regions import Regions, region_side
from dblink_live.localization.photoelectrons import PhotonFrames, to_photons
from dblink_live.localization.psf_width_fit import MAX_DEVIANCE_SIGMA, MIN_SIGNIFICANCE, WidthLearner
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

NOMINAL_SIGMA_PX = 1.0
"""Width that spots are looked for with before theirs is known; fits then have a free width."""
LEARNING_FRAMES = 16
"""Frames per step while the width is being learned."""
DEFAULT_THRESHOLD_SIGMA = 5.0
_BLOCK_PIXELS = 1 << 24
"""Frames are taken together up to so many pixels (64 MB), however many are given: memory is bounded."""


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
        Detection threshold in standard deviations of the filtered noise; see `detect`.
    fit
        ``fixed`` keeps the width; ``free`` finds one for each molecule, ``elliptic`` one along x and one along y, as
        astigmatic optics ask for. What is stated or learned is then what spots are looked for with.
    min_photons, max_precision_px, max_misfit
        See `dblink_live.localization.gaussian.filters.Filters`.
    device
        Where to compute: cpu, where the fit is compiled, cuda or cuda:N, where torch fits many spots at once. "auto" is
        the CPU.

    Raises
    ------
    ConfigError
        A width that no fit can have, an unknown kind of fit, or a limit that is not above 0.
    ModelError
        No such device.
    """

    name = "gaussian"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float = DEFAULT_THRESHOLD_SIGMA,
        fit: Width = "fixed",
        min_photons: float = 0.0,
        max_precision_px: float = MAX_PRECISION_PX,
        max_misfit: float = float("inf"),
        device: str | torch.device = AUTO,
    ) -> None:
        if not (threshold_sigma > 0):
            raise ConfigError(f"expected threshold_sigma above 0, found {threshold_sigma}")
        if fit not in N_FITTED:
            raise ConfigError(f"expected fit to be one of {', '.join(N_FITTED)}, found {fit!r}")
        least, most = SIGMA_RANGE_PX
        if psf_sigma_px is not None and not least <= psf_sigma_px <= most:
            raise ConfigError(
                f"expected psf_sigma_px between {least} and {most} camera pixels, found {psf_sigma_px}; "
                "give the standard deviation of a spot in pixels (not in nm), or leave it out and it is learned"
            )
        self._camera = camera
        self._sigma_px = psf_sigma_px
        self._is_stated = psf_sigma_px is not None
        self._learner = WidthLearner()
        self._threshold_sigma = threshold_sigma
        self._fit: Width = fit
        self._filters = Filters(min_photons, max_precision_px, max_misfit)
        self._faults = FrameFaults(camera)
        self._device = resolve_device("cpu" if device == AUTO else device)
        self._get_ready()

    @property
    def psf_sigma_px(self) -> float | None:
        """The width in use: as stated, or as learned; None while it is being learned."""
        return self._sigma_px

    def notes(self) -> list[str]:
        """Notes for the user about the result, one sentence each."""
        notes = self._faults.notes()
        if not self._is_stated and self._faults.n_frames:
            notes.append(
                f"gaussian: a width of {self._sigma_px:.3f} px was learned from the first clear molecules"
                if self._sigma_px
                else "gaussian: too few clear single molecules to learn the width from; each was fitted with its own"
            )
        return notes

    @torch.inference_mode()
    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Molecules in ``frames`` [N, H, W], numbered ``frame_numbers`` [N], sorted by frame.

        Raises
        ------
        SourceError
            Frames that are no grey images of 8 or 16 bits, not finite, smaller than 7 x 7 pixels or than the square in
            which a molecule of the stated width is fitted, or fewer or more than their numbers.
        CalibrationError
            A sensor map of another shape than the frames.
        """
        min_side_px = region_side(self._sigma_px) if self._is_stated and self._sigma_px else MIN_SIDE_PX
        check_frames(frames, frame_numbers, min_side_px)
        self._faults.see(frames)
        block = max(1, _BLOCK_PIXELS // (frames.shape[1] * frames.shape[2]))
        tables = [empty_localizations()]
        first = 0
        while first < len(frames):
            n = block if self._sigma_px is not None else min(block, LEARNING_FRAMES)
            photons = to_photons(frames[first : first + n], self._camera, self._device)
            found = self._find(photons, self._sigma_px)
            if self._sigma_px is None:
                n = self._learn(found, len(photons))
                found = found.until(n)
            tables.append(found.table(frame_numbers[first:]))
            first += n
        return np.concatenate(tables)

    @torch.inference_mode()
    def _get_ready(self) -> None:
        """Look for molecules in darkness: what must be compiled, or loaded, is so before a camera waits for it."""
        dark = torch.zeros(1, MIN_SIDE_PX, MIN_SIDE_PX, device=self._device)
        self._find(PhotonFrames(dark, dark[0], 1.0, self._camera.is_calibrated), self._sigma_px)

    def _learn(self, found: _Found, n_frames: int) -> int:
        """Learn the width from what was found in ``n_frames`` frames; how many of them were needed."""
        n_used = self._learner.add(n_frames, *found.widths())
        self._sigma_px = self._learner.width_px
        return n_used

    def _find(self, photons: PhotonFrames, sigma_px: float | None) -> _Found:
        """Detect and fit, with a free width where ``sigma_px`` is None."""
        expected_px = sigma_px or NOMINAL_SIGMA_PX
        width: Width = "free" if sigma_px is None and self._fit == "fixed" else self._fit
        spots = detect_spots(photons, expected_px, self._threshold_sigma)
        regions = Regions.around(spots, photons, expected_px)
        looks = SpotFitter(regions, expected_px, width, self._filters, photons.excess_noise_factor)
        return _Found.of(regions, *looks.look(), photons.excess_noise_factor)


def compile_ahead() -> None:
    """Compile what localizers run on this processor, and keep it on disk, so that no microscope waits for it."""
    for camera in (Camera(100.0), Camera.uncalibrated(100.0)):
        GaussianLocalizer(camera)


@dataclass(frozen=True)
class _Found:
    """Localizations of a batch of frames, sorted by frame, row and column."""

    frame: npt.NDArray[np.int64]
    """[K] index into the batch."""
    rows: Localizations
    """[K] with ``frame`` still to be filled in."""
    tells_width: npt.NDArray[np.bool_]
    """[K] a single bright molecule, as far as its fit can tell."""

    @classmethod
    def of(cls, regions: Regions, fits: Fits, passed: Tensor, misfits: Tensor, excess: float) -> _Found:
        """Keep the fits that ``passed``, in coordinates of the frame."""
        good = passed.cpu().numpy()
        is_clear = fits.photons > MIN_SIGNIFICANCE * fits.precision_photons
        tells_width = (is_clear & (misfits <= MAX_DEVIANCE_SIGMA)).cpu().numpy()
        rows = empty_localizations(int(good.sum()))
        columns = {
            "x": fits.x + regions.left,
            "y": fits.y + regions.top,
            # The fit saw electrons divided by the excess noise factor.
            "photons": fits.photons * excess,
            "bg": fits.background * excess,
            "sx": fits.sigma_x_px,
            "sy": fits.sigma_y_px,
            "lpx": fits.precision_x,
            "lpy": fits.precision_y,
        }
        for name, values in columns.items():
            rows[name] = values.cpu().numpy()[good]
        return cls(regions.spots.frame.cpu().numpy()[good], rows, tells_width[good])

    def until(self, n_frames: int) -> _Found:
        """Only what lies in the first ``n_frames`` frames."""
        n = int(np.searchsorted(self.frame, n_frames))
        return _Found(self.frame[:n], self.rows[:n], self.tells_width[:n])

    def widths(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Frames and fitted widths of the spots that tell the width; of an elliptic one the mean of both."""
        rows = self.rows[self.tells_width]
        return self.frame[self.tells_width], 0.5 * (rows["sx"] + rows["sy"])

    def table(self, numbers: npt.NDArray[np.int64]) -> Localizations:
        """The rows, each with the number of its frame."""
        self.rows["frame"] = numbers[self.frame]
        return self.rows
