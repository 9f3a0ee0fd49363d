"""Decide which fits count as molecules.

What has not converged, wandered off to something else, or is less sure than its own noise is never one. The rest is
the user's to choose.

Shapes: K fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dblink_live.errors import ConfigError
from dblink_live.localization.gaussian.fit_terms import Fits

MAX_WANDER_PX = 1.5
"""A fit that ends farther than this from where its spot was detected has followed something else; in widths of the
point spread function where that is wider than a pixel."""
MAX_PRECISION_PX = 0.6
"""A position known no better than this tells a 40 nm grid nothing."""
MIN_PHOTON_SIGNIFICANCE = 3.0
"""Photons over their own uncertainty."""


@dataclass(frozen=True)
class Filters:
    """Conditions on a localization.

    Raises
    ------
    ConfigError
        A limit that nothing or everything passes by mistake: not a number, or not above 0.
    """

    min_photons: float = 0.0
    """Photo-electrons of a molecule and frame."""
    max_precision_px: float = MAX_PRECISION_PX
    """Larger one of the two standard deviations that a position is stated with."""
    max_misfit: float = math.inf
    """Largest excess of a fit's deviance over its mean, in standard deviations (`misfit`): at about 3, single
    molecules stay, and most of what are two in one goes."""

    def __post_init__(self) -> None:
        if not self.min_photons >= 0:
            raise ConfigError(f"expected min_photons of 0 or more, found {self.min_photons}")
        for name in ("max_precision_px", "max_misfit"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected {name} above 0, found {getattr(self, name)}")

    def passed(
        self, fits: Fits, start: tuple[Tensor, Tensor], expected_px: float, n_pixels: int, n_fitted: int, excess: float
    ) -> Tensor:
        """[K] which ``fits`` are molecules.

        Parameters
        ----------
        start
            [K] x and y at which the fits began, in pixels of the region.
        expected_px
            Width of the point spread function.
        n_pixels, n_fitted
            Pixels of a region, and parameters that were fitted to them.
        excess
            Excess noise factor, by which the fitted photons were divided.
        """
        wander = torch.maximum((fits.x - start[0]).abs(), (fits.y - start[1]).abs())
        precision = torch.maximum(fits.precision_x, fits.precision_y)
        passed = (
            fits.has_converged
            & (wander <= MAX_WANDER_PX * max(1.0, expected_px))
            & (precision <= self.max_precision_px)
            & (fits.photons >= MIN_PHOTON_SIGNIFICANCE * fits.precision_photons)
        )
        if self.min_photons > 0:
            passed &= fits.photons * excess >= self.min_photons
        if self.max_misfit < math.inf:
            passed &= misfit(fits.deviance, n_pixels, n_fitted) <= self.max_misfit
        return passed


def misfit(deviance: Tensor, n_pixels: int, n_fitted: int) -> Tensor:
    """Return the excess of a deviance over that of a true model, in standard deviations.

    Chi-squared with ``n_pixels - n_fitted`` degrees of freedom has that mean and twice that variance (Wilks). Where
    pixels hold less than a few electrons the deviance of a true model is somewhat larger.
    """
    degrees = n_pixels - n_fitted
    return (deviance - degrees) / math.sqrt(2.0 * degrees)
