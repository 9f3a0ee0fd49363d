"""The fit of `fit` for a CPU: one spot after the other, compiled, in double precision.

The same start, steps, limits and end as in `fit_batched`. A spot stays in the cache from its
start to its end, and takes as many steps as it needs.

Shapes: N frames, H, W camera pixels, K spots, S side of a region in pixels, 6 parameters as of
`dblink_live.localization.gaussian.psf`, the first of which are fitted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.localization.gaussian.compiled import compiled
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
from dblink_live.localization.gaussian.psf import BACKGROUND, N_FITTED, PHOTONS, SIGMA_X, SIGMA_Y, Width, X, Y
from dblink_live.localization.gaussian.psf_compiled import N_PARAMETERS, Floats, Gaussian, Model, Spot, explain_one
from dblink_live.localization.gaussian.regions import Regions

Image = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

_NARROWEST_PX, _WIDEST_PX = SIGMA_RANGE_PX


class _System(NamedTuple):
    """Linear equations for a step."""

    matrix: Floats
    """[6, 6]"""
    right: Floats
    """[6]"""
    eliminated: Floats
    """[6, 6] room to work in."""
    solution: Floats
    """[6]"""


def fit_compiled(regions: Regions, chosen: Tensor, light: Tensor | None, psf_sigma_px: float, width: Width) -> Fits:
    """Fit the ``chosen`` [K] spots, as `dblink_live.localization.gaussian.fit.fit_spots`."""
    n = len(chosen)
    theta = np.empty((N_PARAMETERS, n))
    variance = np.zeros((N_PARAMETERS, n))
    deviance = np.empty(n)
    has_converged = np.empty(n, np.bool_)
    frame, left, top = (place.contiguous().numpy() for place in regions.places(chosen))
    start_x, start_y = (start.contiguous().numpy() for start in regions.starts(chosen))
    _fit_all(
        regions.signal.view(-1, regions.n_rows, regions.n_cols).numpy(),
        regions.read_variance.view(regions.n_rows, regions.n_cols).numpy(),
        np.zeros((regions.side, regions.side, 0), np.float32) if light is None else light.contiguous().numpy(),
        frame,
        left,
        top,
        start_x,
        start_y,
        float(psf_sigma_px),
        N_FITTED[width],
        theta,
        variance,
        deviance,
        has_converged,
    )
    x, y, photons, background, sigma_x_px, sigma_y_px = torch.from_numpy(theta).float().unbind(0)
    precision_x, precision_y, precision_photons, *_ = torch.from_numpy(variance).sqrt().float().unbind(0)
    return Fits(
        x=x,
        y=y,
        photons=photons,
        background=background,
        sigma_x_px=sigma_x_px,
        sigma_y_px=sigma_y_px,
        precision_x=precision_x,
        precision_y=precision_y,
        precision_photons=precision_photons,
        deviance=torch.from_numpy(deviance).float(),
        has_converged=torch.from_numpy(has_converged),
    )


@compiled
def _fit_all(
    signal: npt.NDArray[np.float32],
    read_variance: Image,
    light: npt.NDArray[np.float32],
    frame: Places,
    left: Places,
    top: Places,
    start_x: npt.NDArray[np.float32],
    start_y: npt.NDArray[np.float32],
    psf_sigma_px: float,
    n_fitted: int,
    theta: Floats,
    variance: Floats,
    deviance: Floats,
    has_converged: npt.NDArray[np.bool_],
) -> None:
    """Fit every spot, and write ``theta`` and ``variance`` [6, K], ``deviance`` and ``has_converged`` [K].

    ``signal`` is [N, H, W], ``read_variance`` [H, W]; ``light`` [S, S, K] (y, x), or [S, S, 0] where there is none.
    """
    side = len(light)
    has_light = light.shape[2] > 0
    spot = Spot(np.empty((side, side)), np.empty((side, side)))
    along_x = Gaussian(np.empty(side), np.empty(side), np.empty(side))
    along_y = Gaussian(np.empty(side), np.empty(side), np.empty(side))
    n, square = N_PARAMETERS, (N_PARAMETERS, N_PARAMETERS)
    model = Model(np.empty(n), np.empty(n), np.empty(square))
    proposed = Model(np.empty(n), np.empty(n), np.empty(square))
    system = _System(np.empty(square), np.empty(n), np.empty(square), np.empty(n))
    for k in range(len(frame)):
        for y in range(side):
            for x in range(side):
                row, col = top[k] + y, left[k] + x
                # The photon noise of other molecules' light stays.
                others = light[y, x, k] if has_light else np.float32(0.0)
                spot.observed[y, x] = np.float64(signal[frame[k], row, col]) - others
                spot.read_variance[y, x] = np.float64(read_variance[row, col]) + others
        model.theta[X], model.theta[Y] = start_x[k], start_y[k]
        model.theta[SIGMA_X] = model.theta[SIGMA_Y] = psf_sigma_px
        _start(spot.observed, model.theta)
        counts = 0.0
        for y in range(side):
            for x in range(side):
                spot.observed[y, x] = max(spot.observed[y, x] + spot.read_variance[y, x], 0.0)
                counts += spot.observed[y, x]
        model, proposed, explained, is_at_rest = _climb(
            spot, counts, model, proposed, along_x, along_y, system, n_fitted
        )
        deviance[k] = explained
        has_converged[k] = is_at_rest and _invert_diagonal(model.information, n_fitted, system, variance[:, k])
        for p in range(N_PARAMETERS):
            theta[p, k] = model.theta[p]
            has_converged[k] &= math.isfinite(theta[p, k])


@compiled
def _start(region: Floats, theta: Floats) -> None:
    """Write the photons and the background that a fit of ``region`` [S, S] begins with."""
    side = len(region)
    total = top = bottom = left = right = 0.0
    for i in range(side):
        top += region[0, i]
        bottom += region[side - 1, i]
        left += region[i, 0]
        right += region[i, side - 1]
        for j in range(side):
            total += region[i, j]
    # The two darkest: a neighbour brightens one side or two; the spot's own tail is in all.
    darkest = min(top, bottom, left, right)
    next_darkest = min(max(top, bottom), max(left, right), max(min(top, bottom), min(left, right)))
    background = max((darkest + next_darkest) / (2 * side), MIN_BACKGROUND)
    theta[BACKGROUND] = background
    theta[PHOTONS] = max(total - side * side * background, MIN_START_PHOTONS)


@compiled
def _climb(
    spot: Spot,
    counts: float,
    model: Model,
    proposed: Model,
    along_x: Gaussian,
    along_y: Gaussian,
    system: _System,
    n_fitted: int,
) -> tuple[Model, Model, float, bool]:
    """Climb the likelihood from ``model``: where it ended, the other one, the deviance, whether it is at rest."""
    deviance = explain_one(spot, model, along_x, along_y, n_fitted)
    damping = FIRST_DAMPING
    length = math.inf
    for _ in range(ITERATIONS):
        _damped_step(model, damping, system, n_fitted)
        _take_step(model.theta, system.solution, proposed.theta, len(spot.observed), n_fitted)
        found = explain_one(spot, proposed, along_x, along_y, n_fitted)
        if found <= deviance + DEVIANCE_ROUNDING * abs(deviance) + ROUNDING * counts:
            length = _step_length(model.theta, proposed.theta)
            model, proposed = proposed, model
            deviance = found
            damping = max(damping * 0.1, MIN_DAMPING)
            if length < 1.0:
                return model, proposed, deviance, True
        else:
            damping *= 10.0
            if damping >= STUCK:
                # No step of any length climbs: this is the top.
                return model, proposed, deviance, True
    return model, proposed, deviance, length < NEARLY_CONVERGED


@compiled
def _damped_step(model: Model, damping: float, system: _System, n_fitted: int) -> None:
    """Write the Levenberg-Marquardt step into ``system.solution``.

    Where the background would fall too far it goes to its bound, and the other parameters take the step that is best
    with it there: cutting it off afterwards would leave them a step that makes no sense.
    """
    matrix, right = system.matrix, system.right
    for p in range(n_fitted):
        right[p] = model.gradient[p]
        for q in range(n_fitted):
            matrix[p, q] = model.information[p, q]
        matrix[p, p] = matrix[p, p] * (1.0 + damping) + MIN_DIAGONAL
    _solve(system, n_fitted)
    background = model.theta[BACKGROUND]
    lowest = max(background * MAX_FALL, MIN_BACKGROUND) - background
    if system.solution[BACKGROUND] < lowest:
        for p in range(n_fitted):
            right[p] -= matrix[p, BACKGROUND] * lowest
            matrix[p, BACKGROUND] = matrix[BACKGROUND, p] = 0.0
        matrix[BACKGROUND, BACKGROUND] = 1.0
        right[BACKGROUND] = lowest
        _solve(system, n_fitted)
    for p in range(n_fitted):
        if not math.isfinite(system.solution[p]):
            system.solution[p] = 0.0


@compiled
def _solve(system: _System, n: int) -> None:
    """Solve the first ``n`` equations, without a choice of pivots, which positive definite matrices do not need."""
    matrix, solution = system.eliminated, system.solution
    for p in range(n):
        solution[p] = system.right[p]
        for q in range(n):
            matrix[p, q] = system.matrix[p, q]
    for pivot in range(n):
        inverse = 1.0 / matrix[pivot, pivot]
        for p in range(pivot + 1, n):
            factor = matrix[p, pivot] * inverse
            for q in range(pivot + 1, n):
                matrix[p, q] -= factor * matrix[pivot, q]
            solution[p] -= factor * solution[pivot]
    for p in range(n - 1, -1, -1):
        for q in range(p + 1, n):
            solution[p] -= matrix[p, q] * solution[q]
        solution[p] /= matrix[p, p]


@compiled
def _take_step(theta: Floats, step: Floats, taken: Floats, side: int, n_fitted: int) -> None:
    """Write ``theta`` plus ``step``, no farther than a pixel, and where the model means something, into ``taken``."""
    for p in (X, Y):
        taken[p] = min(max(theta[p] + step[p], theta[p] - 1.0, -1.0), theta[p] + 1.0, float(side))
    taken[PHOTONS] = max(theta[PHOTONS] + step[PHOTONS], theta[PHOTONS] * MAX_FALL, MIN_PHOTONS)
    taken[BACKGROUND] = max(theta[BACKGROUND] + step[BACKGROUND], theta[BACKGROUND] * MAX_FALL, MIN_BACKGROUND)
    for p in (SIGMA_X, SIGMA_Y):
        change = 0.0
        if n_fitted > SIGMA_X:
            change = step[min(p, n_fitted - 1)]
        taken[p] = min(max(theta[p] + change, _NARROWEST_PX), _WIDEST_PX)


@compiled
def _step_length(theta: Floats, taken: Floats) -> float:
    """Length of a step, 1 being converged."""
    moved_px = 0.0
    for p in (X, Y, SIGMA_X, SIGMA_Y):
        moved_px = max(moved_px, abs(taken[p] - theta[p]))
    brightened = abs(taken[PHOTONS] - theta[PHOTONS]) / taken[PHOTONS]
    longer: float = max(moved_px / CONVERGED_PX, brightened / CONVERGED_SHARE)
    return longer


@compiled
def _invert_diagonal(information: Floats, n: int, system: _System, variance: Floats) -> bool:
    """Write the diagonal of the inverse of the information, not below 0; whether all of it is finite and above 0."""
    for p in range(n):
        for q in range(n):
            system.matrix[p, q] = information[p, q]
    is_usable = True
    for p in range(n):
        for q in range(n):
            system.right[q] = 1.0 if q == p else 0.0
        _solve(system, n)
        value = system.solution[p]
        is_usable = is_usable and math.isfinite(value) and value > 0.0
        variance[p] = value if value > 0.0 else 0.0
    return is_usable
