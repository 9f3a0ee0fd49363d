"""Subtract much brighter neighbours, such as fiducial beads, and fit the spots beside them again.

The flank of a bright neighbour in a spot's region spoils its fit, and the spot would be dropped: within several pixels
of a bead nothing would be found. Where a spot was dropped beside a much brighter one that was not, the light of all
known molecules, as their own fits tell it, is taken from its region, and it is fitted again. The photon noise of that
light stays: it is added to the read variance, which the model reckons with (`dblink_live.localization.gaussian.psf`).

Not for crowds of molecules alike: there it would find one in a hundred more, for a third more time.

Shapes: K spots, R of them looked at again, P pairs of one of them and a molecule near it, S side of a region in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dblink_live.localization.gaussian.fit_terms import Fits
from dblink_live.localization.gaussian.psf import SIGMA_X, SIGMA_Y, Y, expected_light
from dblink_live.localization.gaussian.regions import Regions

REACH_SIGMAS = 4.0
"""A molecule shines into a region from so far outside it, in widths of the point spread function."""
MIN_RATIO = 5.0
"""So many times as bright as the spot, both at their highest pixel, its neighbour must be."""
MAX_MISFIT = 3.0
"""A molecule found after subtraction must fit its pixels: light that the model of the neighbour leaves over, such as
the rings of a real bead, is no molecule."""


@dataclass(frozen=True)
class Molecules:
    """The molecules that are known so far, sorted by frame and row."""

    line: Tensor
    """[K] where their spots lie: rows, counted through all frames of the batch."""
    n_rows: int
    """Of a frame."""
    reach_px: float
    """No farther from the row of its spot does any of them shine."""
    theta: Tensor
    """[6, K] as of `dblink_live.localization.gaussian.psf`, places in pixels of the frame."""

    @classmethod
    def of(cls, fits: Fits, regions: Regions, known: Tensor) -> Molecules:
        """Those of the ``fits`` of ``regions`` [K] that are ``known`` [K]."""
        spots, n_rows = regions.spots, regions.n_rows
        theta = torch.stack(
            [
                fits.x + regions.left,
                fits.y + regions.top,
                fits.photons,
                torch.zeros_like(fits.x),
                fits.sigma_x_px,
                fits.sigma_y_px,
            ]
        )[:, known]
        wander = (theta[Y] - spots.row[known]).abs()
        reach = (wander + REACH_SIGMAS * theta[SIGMA_Y]).amax() if theta.shape[1] else wander.new_zeros(())
        return cls((spots.frame * n_rows + spots.row)[known], n_rows, float(reach), theta)

    def light_in(self, frame: Tensor, left: Tensor, top: Tensor, side: int) -> Tensor:
        """[S, S, R] photons that they leave in the regions at ``left``, ``top`` [R] of ``frame`` [R]."""
        spot, molecule = self._near_pairs(frame, left, top, side)
        theta = self.theta[:, molecule]
        theta[:2] -= torch.stack([left, top])[:, spot]
        light = torch.zeros(side, side, len(frame), device=frame.device)
        # One after the other, in the order of the pairs: the sum rounds alike whatever else there is.
        return light.index_add_(2, spot, expected_light(theta, side))

    def outshine(self, height: Tensor, frame: Tensor, left: Tensor, top: Tensor, side: int) -> Tensor:
        """[R] bool: in which regions, of spots ``height`` [R] photons high, a much brighter one leaves light."""
        spot, molecule = self._near_pairs(frame, left, top, side)
        _, _, photons, _, sigma_x, sigma_y = self.theta[:, molecule]
        is_brighter = photons / (2 * math.pi * sigma_x * sigma_y) > MIN_RATIO * height[spot]
        outshone = torch.zeros(len(frame), dtype=torch.bool, device=frame.device)
        outshone[spot[is_brighter]] = True
        return outshone

    def _near_pairs(self, frame: Tensor, left: Tensor, top: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """[P] each: a region, and a molecule of the same frame in it or near it."""
        reach = math.ceil(self.reach_px)
        # Only those with about its rows: all of a frame would be too many to look at.
        lowest = frame * self.n_rows + (top - reach).clamp_min(0)
        highest = frame * self.n_rows + (top + side - 1 + reach).clamp_max(self.n_rows - 1)
        first = torch.searchsorted(self.line, lowest)
        n = torch.searchsorted(self.line, highest, right=True) - first
        spot = torch.repeat_interleave(torch.arange(len(frame), device=frame.device), n)
        before = torch.cumsum(n, 0) - n
        molecule = torch.arange(len(spot), device=frame.device) - before[spot] + first[spot]
        middle = torch.stack([left, top])[:, spot] + (side - 1) / 2
        farthest = (side - 1) / 2 + REACH_SIGMAS * self.theta[SIGMA_X:, molecule]
        is_near = ((self.theta[:2, molecule] - middle).abs() <= farthest).all(0)
        return spot[is_near], molecule[is_near]
