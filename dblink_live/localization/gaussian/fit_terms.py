"""Results of a fit of many spots and its stopping rules: the same on a CPU and on an accelerator.

Shapes: K spots, R of them, 6 parameters as of `dblink_live.localization.gaussian.psf`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ITERATIONS = 16
"""At most: isolated spots need four to six, overlapping ones creep along a ridge."""
CONVERGED_PX = 5e-4
"""A step in x, y and width below this ends a spot's fit: what is left after it is far less, a hundredth of the best
precision there is at most."""
NEARLY_CONVERGED = 2.0
"""A spot still creeping by less than this many such steps when the iterations are over counts as at rest."""
CONVERGED_SHARE = 2e-3
"""The step in photons, as a share of them, must be below this too: a spot may start at its place by chance."""
ROUNDING = 2e-7
"""Of float32, relative to the counts of a region: a rise of the deviance below it is none."""
MIN_PHOTONS = 1.0
MIN_BACKGROUND = 1e-2
MAX_FALL = 0.2
"""Photons and background keep this share in a step: from 0, where one leap can land them, they hardly come back."""
SIGMA_RANGE_PX = (0.4, 4.0)
"""Widths a fit may have: a narrower spot lies in one pixel, a wider one is no molecule in focus."""
DEVIANCE_ROUNDING = 1e-6
"""The same, relative to the deviance itself."""
FIRST_DAMPING = 1e-2
"""Levenberg-Marquardt damping at the start, relative to the diagonal of the information."""
MIN_DAMPING = 1e-6
STUCK = 1e6
"""Damping at which a step is too short to matter: no step of any length climbs."""
MIN_START_PHOTONS = 10.0
MIN_DIAGONAL = 1e-12
"""Added to the diagonal of the information, which then has an inverse."""
MIN_RATIO = 1e-12
"""Of counts to model; there is no logarithm of 0."""


@dataclass(frozen=True)
class Fits:
    """Results [K] on the scale of the fitted counts; positions in pixels of the region, centre of pixel 0 at 0.0."""

    x: Tensor
    y: Tensor
    photons: Tensor
    background: Tensor
    sigma_x_px: Tensor
    sigma_y_px: Tensor
    precision_x: Tensor
    """Cramer-Rao bound, standard deviation in pixels."""
    precision_y: Tensor
    precision_photons: Tensor
    deviance: Tensor
    """Twice the logarithm of how much likelier a perfect model would be; for a good one it is chi-squared."""
    has_converged: Tensor
    """[K] bool: the fit came to rest at finite values."""

    def replaced(self, places: Tensor, others: Fits) -> Fits:
        """These fits, with ``others`` [R] at ``places`` [R]."""
        return Fits(
            *(
                mine.index_copy(0, places, new)
                for mine, new in zip(vars(self).values(), vars(others).values(), strict=True)
            )
        )


def join_fits(parts: Iterable[Fits]) -> Fits:
    """The fits of several calls, one after the other."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Fits(*(torch.cat(column) for column in columns))
