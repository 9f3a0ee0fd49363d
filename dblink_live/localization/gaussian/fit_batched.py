"""The fit of `dblink_live.localization.gaussian.fit` for an accelerator: many spots at once, by torch.

Spots that came to rest leave the computation, so a few stubborn ones cost little. Each spot is computed by itself and
by the same instructions wherever it lies in memory: the answer does not depend on its company.

Shapes: K spots, S side of a region in pixels, P parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from dblink_live.localization.gaussian.fit_terms import (
    CONVERGED_PX,
    CONVERGED_SHARE,
    DEVIANCE_ROUNDING,
    FIRST_DAMPING,
    ITERATIONS,
    MAX_FALL,
    MIN_BACKGROUND,
    MIN_DAMPING,
    MIN_DIAGONAL,
    MIN_PHOTONS,
    MIN_START_PHOTONS,
    NEARLY_CONVERGED,
    ROUNDING,
    SIGMA_RANGE_PX,
    STUCK,
    Fits,
)
from dblink_live.localization.gaussian.psf import (
    BACKGROUND,
    N_FITTED,
    PHOTONS,
    SIGMA_X,
    SIGMA_Y,
    Explained,
    Width,
    X,
    Y,
    explain,
    total,
)
from dblink_live.localization.gaussian.regions import Regions
from dblink_live.localization.gaussian.solve import inverse_diagonal, solve

_COMPACT_BELOW = 0.75
"""The working set is copied to a smaller one when fewer than this share of it still moves."""
_LANES = 16
"""Spots are filled up to a multiple of this: the last few numbers of an array may be computed by other instructions."""


def fit_batched(regions: Regions, chosen: Tensor, light: Tensor | None, psf_sigma_px: float, width: Width) -> Fits:
    """Fit the ``chosen`` [K] spots, as `dblink_live.localization.gaussian.fit.fit_spots`."""
    n = len(chosen)
    chosen = _filled_up(chosen)
    signal, read_variance = regions.pixels(chosen)
    if light is not None:
        # The photon noise of that light stays.
        light = light[..., _filled_up(torch.arange(n, device=chosen.device))]
        signal, read_variance = signal - light, read_variance + light
    start = _start(signal, *regions.starts(chosen), psf_sigma_px)
    theta, at_end, has_settled = _climb((signal + read_variance).clamp_min_(0.0), read_variance, start, width)
    variance = inverse_diagonal(at_end.information)
    usable = (torch.isfinite(variance) & (variance > 0)).all(0) & torch.isfinite(theta).all(0)
    deviation = variance.clamp_min(0.0).sqrt().float()
    return Fits(
        x=theta[X, :n],
        y=theta[Y, :n],
        photons=theta[PHOTONS, :n],
        background=theta[BACKGROUND, :n],
        sigma_x_px=theta[SIGMA_X, :n],
        sigma_y_px=theta[SIGMA_Y, :n],
        precision_x=deviation[X, :n],
        precision_y=deviation[Y, :n],
        precision_photons=deviation[PHOTONS, :n],
        deviance=at_end.deviance[:n],
        has_converged=(usable & has_settled)[:n],
    )


def _filled_up(index: Tensor) -> Tensor:
    """``index`` [K] up to a multiple of `_LANES`, with its last one over and over: its copies fare as it does."""
    beyond = -len(index) % _LANES if len(index) else 0
    return torch.cat([index, index[-1:].expand(beyond)]) if beyond else index


@dataclass
class _Climb:
    """The spots that still move; place i along the last axis of everything belongs to spot ``index[i]``."""

    index: Tensor
    observed: Tensor
    """[S, S, K] counts plus read variance, not below 0."""
    read_variance: Tensor
    counts: Tensor
    """[K] of a region."""
    theta: Tensor
    """[6, K] as of `dblink_live.localization.gaussian.psf`."""
    deviance: Tensor
    gradient: Tensor
    information: Tensor
    damping: Tensor
    """[K] Levenberg-Marquardt damping, relative to the diagonal of the information."""
    last_step: Tensor
    """[K] length of the last step taken, 1 being converged."""
    is_moving: Tensor

    def moving(self) -> _Climb:
        """Only the spots that move."""
        places = _filled_up(self.is_moving.nonzero().squeeze(1))
        return _Climb(**{name: value.index_select(-1, places) for name, value in vars(self).items()})

    def hand_in(self, results: tuple[Tensor, ...]) -> None:
        """Write what became of the spots into arrays of all spots."""
        at_rest = ~self.is_moving | (self.last_step < NEARLY_CONVERGED)
        values = (self.theta, self.deviance, self.gradient, self.information, at_rest)
        for result, value in zip(results, values, strict=True):
            result[..., self.index] = value


def _climb(observed: Tensor, read_variance: Tensor, start: Tensor, width: Width) -> tuple[Tensor, Explained, Tensor]:
    """Climb the likelihood from ``start`` [6, K]: where it ended, what it explains, which spots came to rest [K]."""
    first = explain(observed, read_variance, start, width)
    n = start.shape[1]
    now = _Climb(
        index=torch.arange(n, device=start.device),
        observed=observed,
        read_variance=read_variance,
        counts=total(observed.flatten(0, 1), 0),
        theta=start,
        deviance=first.deviance,
        gradient=first.gradient,
        information=first.information,
        damping=torch.full_like(start[0], FIRST_DAMPING),
        last_step=torch.full_like(start[0], math.inf),
        is_moving=torch.ones_like(start[0], dtype=torch.bool),
    )
    has_settled = torch.zeros_like(now.is_moving)
    results = (start.clone(), first.deviance.clone(), first.gradient.clone(), first.information.clone(), has_settled)
    for _ in range(ITERATIONS):
        _step(now, width)
        n_moving = int(now.is_moving.sum())
        if n_moving < _COMPACT_BELOW * len(now.index):
            now.hand_in(results)
            now = now.moving()
        if not n_moving:
            break
    now.hand_in(results)
    return results[0], Explained(*results[1:4]), has_settled


def _step(now: _Climb, width: Width) -> None:
    """One damped step of each spot that moves, kept where the likelihood does not fall."""
    proposed = _clamped(now.theta, _damped_step(now, width), now.observed.shape[0])
    found = explain(now.observed, now.read_variance, proposed, width)
    rounding = DEVIANCE_ROUNDING * now.deviance.abs() + ROUNDING * now.counts
    better = now.is_moving & (found.deviance <= now.deviance + rounding)
    change = (proposed - now.theta).abs()
    moved_px = torch.maximum(change[[X, Y]].amax(0), change[SIGMA_X:].amax(0))
    length = torch.maximum(moved_px / CONVERGED_PX, change[PHOTONS] / (CONVERGED_SHARE * proposed[PHOTONS]))
    now.theta = torch.where(better, proposed, now.theta)
    now.deviance = torch.where(better, found.deviance, now.deviance)
    now.gradient = torch.where(better, found.gradient, now.gradient)
    now.information = torch.where(better, found.information, now.information)
    now.last_step = torch.where(better, length, now.last_step)
    now.damping = torch.where(better, now.damping * 0.1, now.damping * 10.0).clamp(MIN_DAMPING, STUCK)
    # No step of any length climbs: this is the top, as well as float32 can tell.
    now.is_moving = now.is_moving & ~(better & (length < 1.0)) & (now.damping < STUCK)


def _start(regions: Tensor, start_x: Tensor, start_y: Tensor, psf_sigma_px: float) -> Tensor:
    """[6, K] what a fit begins with."""
    side = len(regions)
    sides = torch.stack([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    # A neighbour brightens one side or two; the spot's own tail is in all.
    background = (total(sides, 1) / side).sort(0).values[:2].mean(0).clamp_min(MIN_BACKGROUND)
    photons = (total(regions.flatten(0, 1), 0) - side**2 * background).clamp_min(MIN_START_PHOTONS)
    sigma = torch.full_like(start_x, psf_sigma_px)
    return torch.stack([start_x, start_y, photons, background, sigma, sigma])


def _damped_step(now: _Climb, width: Width) -> Tensor:
    """Levenberg-Marquardt step [6, K]; parameters that are not fitted stay.

    Where the background would fall too far it goes to its bound, and the other parameters take the step that is best
    with it there: cutting it off afterwards would leave them a step that makes no sense.
    """
    damped = now.information.clone()
    damped.diagonal(dim1=0, dim2=1).mul_(1.0 + now.damping[:, None]).add_(MIN_DIAGONAL)
    solution = _solved(damped, now.gradient)
    lowest = (now.theta[BACKGROUND] * MAX_FALL).clamp_min(MIN_BACKGROUND) - now.theta[BACKGROUND]
    held = (solution[BACKGROUND] < lowest).nonzero().squeeze(1)
    if len(held):
        held = _filled_up(held)
        system, bound = damped[..., held], lowest[held]
        left = now.gradient[:, held] - system[BACKGROUND] * bound
        left[BACKGROUND] = bound
        system[BACKGROUND], system[:, BACKGROUND] = 0.0, 0.0
        system[BACKGROUND, BACKGROUND] = 1.0
        solution[:, held] = _solved(system, left)
    step = torch.zeros_like(now.theta)
    step[: N_FITTED[width]] = solution
    if width == "free":
        step[SIGMA_Y] = step[SIGMA_X]
    return step


def _solved(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions [P, K] of K linear systems; 0 where there is none."""
    return solve(matrices, right[:, None])[:, 0].nan_to_num(0.0, 0.0, 0.0)


def _clamped(theta: Tensor, step: Tensor, side: int) -> Tensor:
    """Take a step, no longer than a pixel, and stay where the model means something."""
    share, shift, least, most = _limits(side, theta.device)
    lowest = torch.maximum(theta * share - shift, least)
    highest = torch.minimum(theta * share + shift, most)
    highest[PHOTONS:] = most[PHOTONS:]
    return torch.minimum(torch.maximum(theta + step, lowest), highest)


@cache
def _limits(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[6, 1] each: a parameter stays above a share of itself less a shift, and between least and most."""
    narrow, wide = SIGMA_RANGE_PX
    rows = [
        (1.0, 1.0, -1.0, float(side)),
        (1.0, 1.0, -1.0, float(side)),
        (MAX_FALL, 0.0, MIN_PHOTONS, math.inf),
        (MAX_FALL, 0.0, MIN_BACKGROUND, math.inf),
        (0.0, 0.0, narrow, wide),
        (0.0, 0.0, narrow, wide),
    ]
    with torch.inference_mode(mode=False):
        share, shift, least, most = torch.tensor(rows, device=device).T[:, :, None].unbind(0)
    return share, shift, least, most
