"""Fits the spots of a batch of frames, and says which fits are molecules: a first look at all, a second at some.

Shapes: K spots, R of them chosen, S side of a region in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dblink_live.localization.gaussian.filters import Filters, misfit
from dblink_live.localization.gaussian.fit import fit_spots
from dblink_live.localization.gaussian.fit_terms import Fits, join_fits
from dblink_live.localization.gaussian.neighbour_subtraction import MAX_MISFIT, Molecules
from dblink_live.localization.gaussian.psf import N_FITTED, Width
from dblink_live.localization.gaussian.regions import Regions
from dblink_live.localization.parallel import map_parts

_CHUNK_SPOTS = 2048
"""Fitted by a thread in one go, at most: other molecules' light in their regions takes 200 bytes per spot or more."""
_LEAST_CHUNK_SPOTS = 128
"""Fewer are not worth handing to another thread."""
_CHUNK_SPOTS_ACCELERATOR = 1 << 16


@dataclass(frozen=True)
class SpotFitter:
    """Fit the spots of a batch and filter the fits.

    Parameters
    ----------
    regions
        The spots, with their pixels.
    sigma_px
        Width of the point spread function, to start from or to keep.
    width
        What to do about the width.
    filters
        What a molecule must be like.
    excess
        Excess noise factor, by which the pixels were divided.
    """

    regions: Regions
    sigma_px: float
    width: Width
    filters: Filters
    excess: float

    def look(self) -> tuple[Fits, Tensor, Tensor]:
        """The fits of all spots [K], which of them are molecules, and the misfit of those that one look was enough for.

        The misfit [K] of what was looked at again is infinite: no such spot tells the width.
        """
        regions = self.regions
        everything = regions.everything()
        first = join_fits(map_parts(self._fit, _chunks(everything), everything.device))
        misfits = self._misfit(first)
        fits, passed = self._look_again(first, self._passed(everything, first), misfits)
        return fits, passed, misfits

    def _look_again(self, fits: Fits, passed: Tensor, misfits: Tensor) -> tuple[Fits, Tensor]:
        """Fit what was dropped beside much brighter molecules once more, without the light of the known ones."""
        regions = self.regions
        known = Molecules.of(fits, regions, passed)

        def fit_again(dropped: Tensor) -> tuple[Tensor, Fits]:
            is_beside = known.outshine(regions.heights(dropped), *regions.places(dropped), regions.side)
            beside = dropped[is_beside]
            return beside, self._fit(beside, known.light_in(*regions.places(beside), regions.side))

        dropped = (~passed).nonzero().squeeze(1)
        if not len(dropped):
            return fits, passed
        for beside, again in map_parts(fit_again, _chunks(dropped), dropped.device):
            passed[beside] = self._passed(beside, again) & (self._misfit(again) <= MAX_MISFIT)
            misfits[beside] = torch.inf
            fits = fits.replaced(beside, again)
        return fits, passed

    def _fit(self, chosen: Tensor, light: Tensor | None = None) -> Fits:
        """Fit the ``chosen`` spots, of whose pixels ``light`` [S, S, R] is other molecules'."""
        return fit_spots(self.regions, chosen, self.sigma_px, self.width, light)

    def _passed(self, chosen: Tensor, fits: Fits) -> Tensor:
        starts, n_pixels = self.regions.starts(chosen), self.regions.side**2
        return self.filters.passed(fits, starts, self.sigma_px, n_pixels, N_FITTED[self.width], self.excess)

    def _misfit(self, fits: Fits) -> Tensor:
        return misfit(fits.deviance, self.regions.side**2, N_FITTED[self.width])


def _chunks(spots: Tensor) -> list[Tensor]:
    """``spots`` [K] in parts that are fitted together; at least one, if empty, so that there is something to join."""
    if spots.device.type != "cpu":
        return list(torch.split(spots, _CHUNK_SPOTS_ACCELERATOR))
    # As many for one thread as for another.
    n_threads = torch.get_num_threads()
    n_rounds = max(1, math.ceil(len(spots) / (n_threads * _CHUNK_SPOTS)))
    size = max(_LEAST_CHUNK_SPOTS, math.ceil(len(spots) / (n_threads * n_rounds)))
    return list(torch.split(spots, size))
