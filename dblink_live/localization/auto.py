"""Sparse frames to the Gaussian fit, crowded ones to the neural localizer.

In sparse frames the fit reaches the Cramer-Rao bound and is several times faster; where spots overlap it merges them,
and the network tells them apart. Which is the case is judged frame by frame from the frames so far
(`dblink_live.localization.crowding`), so the answer does not depend on how frames were batched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from dblink_live.config import AUTO
from dblink_live.device import resolve_device
from dblink_live.errors import ConfigError
from dblink_live.interfaces import Localizer
from dblink_live.localization.crowding import crowding
from dblink_live.localization.frame_validation import FrameFaults, check_frames
from dblink_live.localization.gaussian.filters import MAX_PRECISION_PX
from dblink_live.localization.gaussian.localizer import DEFAULT_THRESHOLD_SIGMA, NOMINAL_SIGMA_PX, GaussianLocalizer
from dblink_live.localization.gaussian.psf import Width
from dblink_live.localization.neural.dense import DenseLocalizer
from dblink_live.localization.photoelectrons import to_photons
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

CROWDED = 0.04
"""Neighbours of a spot within three widths above which frames go to the network: there it finds more, and more
precisely, on simulated frames (docs/explanation/localizers.md). It is 0.2 molecules per square micrometre at a width of
109 nm."""
SPARSE = 0.03
"""Below this they go back to the fit. In between everything stays as it is."""
_MEMORY = 0.98
"""Weight of the past in the running averages, a frame."""


class AutoLocalizer:
    """Picks between `GaussianLocalizer` and `DenseLocalizer` by how crowded the frames are.

    Parameters
    ----------
    camera, psf_sigma_px, device
        As of both.
    threshold_sigma
        As of `GaussianLocalizer`; also the threshold of the spots that are counted.
    fit, min_photons, max_precision_px, max_misfit
        As of `GaussianLocalizer`, for what it fits.

    Raises
    ------
    ConfigError
        As `GaussianLocalizer`. A width that the network was not trained for is none: all frames are then fitted.
    """

    name = "auto"

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
        self._camera = camera
        self._faults = FrameFaults(camera)
        self._device = resolve_device("cpu" if device == AUTO else device)
        self._counting_sigma_px = psf_sigma_px or NOMINAL_SIGMA_PX
        self._threshold_sigma = threshold_sigma
        self._sparse = GaussianLocalizer(
            camera, psf_sigma_px, threshold_sigma, fit, min_photons, max_precision_px, max_misfit, device
        )
        self._dense: DenseLocalizer | None = None
        self._refusal = ""
        try:
            self._dense = DenseLocalizer(camera, psf_sigma_px, device=device)
        except ConfigError as error:
            self._refusal = str(error)
        self._neighbours = self._spots = 0.0
        self._is_crowded = False
        self._n_sparse = self._n_dense = 0

    def notes(self) -> list[str]:
        """Notes for the user: the choice, and unusual findings; one sentence each."""
        faults = self._faults.notes()
        if self._dense is None:
            return [f"auto: gaussian for all frames, for the dense localizer does not fit: {self._refusal}", *faults]
        level = self._neighbours / self._spots if self._spots else 0.0
        chosen = (
            f"auto: gaussian for {self._n_sparse} frames, dense for {self._n_dense}; neighbours of a spot within three "
            f"widths at the end: {level:.3f}, crowded from {CROWDED:g}"
        )
        return [chosen, *self._dense.width_notes(), *faults]

    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Molecules in ``frames`` [N, H, W], numbered ``frame_numbers`` [N], sorted by frame.

        Raises
        ------
        SourceError, CalibrationError
            As `GaussianLocalizer.localize`.
        """
        check_frames(frames, frame_numbers)
        self._faults.see(frames)
        if self._dense is None or not len(frames):
            return self._sparse.localize(frames, frame_numbers)
        is_crowded = self._judge(frames)
        self._n_dense += int(is_crowded.sum())
        self._n_sparse += int((~is_crowded).sum())
        changes = np.flatnonzero(np.diff(is_crowded)) + 1
        tables = [empty_localizations()]
        for first, stop in zip([0, *changes.tolist()], [*changes.tolist(), len(frames)], strict=True):
            if first < stop:
                localizer: Localizer = self._dense if is_crowded[first] else self._sparse
                tables.append(localizer.localize(frames[first:stop], frame_numbers[first:stop]))
        return np.concatenate(tables)

    @torch.inference_mode()
    def _judge(self, frames: FrameArray) -> npt.NDArray[np.bool_]:
        """[N] whether each frame, with those before it, is crowded."""
        photons = to_photons(frames, self._camera, self._device)
        found = crowding(photons, self._counting_sigma_px, self._threshold_sigma)
        judged = np.zeros(len(frames), bool)
        for index, (neighbours, spots) in enumerate(zip(*(values.tolist() for values in found), strict=True)):
            self._neighbours = _MEMORY * self._neighbours + neighbours
            self._spots = _MEMORY * self._spots + spots
            limit = SPARSE if self._is_crowded else CROWDED
            # Without a spot there is nothing to judge by.
            if self._spots > 0:
                self._is_crowded = self._neighbours > limit * self._spots
            judged[index] = self._is_crowded
        return judged
