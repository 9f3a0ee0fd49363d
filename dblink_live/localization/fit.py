"""Maximum-likelihood fit of a pixel-integrated Gaussian to many spots at once.

The model of a pixel is ``N Ey Ex + b + r``: photons, the Gaussian's integral over the pixel along y and x, background
and read variance. With counts of variance equal to their mean it is fitted by Fisher scoring with Levenberg-Marquardt
damping (Smith et al., Nature Methods 2010; Laurence & Chromy, Nature Methods 2010; read variance as in Huang et al.,
Nature Methods 2013). The inverse of the Fisher information at the solution is the Cramer-Rao bound, reported as
precision.

Spots that came to rest leave the computation, so a few stubborn ones cost little. Each spot is computed by itself: the
answer does not depend on its company.

Shapes: K spots, S side of a region in pixels, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

N_PARAMETERS = 5
"""x, y, photons, background and sigma, which is the last because it may be fixed."""
ITERATIONS = 16
"""At most: isolated spots need four to eight, overlapping ones creep along a ridge."""
CONVERGED_PX = 1e-4
"""A step in x, y and sigma below this ends a spot's fit: a hundredth of the best precision there is."""
NEARLY_CONVERGED = 10.0
"""A spot still creeping by less than this many such steps when the iterations are over counts as at rest."""
CONVERGED_SHARE = 1e-3
"""The step in photons, as a share of them, must be below this too: a spot may start at its place by chance."""
ROUNDING = 1e-7
"""Of float32, relative to the counts of a region: a loss of likelihood below it is none."""
_STUCK = 1e6
"""Damping at which a step is too short to matter."""
_COMPACT_BELOW = 0.75
"""The working set is copied to a smaller one when fewer than this share of it still moves."""
LOWEST_PHOTONS = 1.0
LOWEST_BACKGROUND = 1e-2
LARGEST_FALL = 0.2
"""Photons and background keep this share in a step: from 0, where one leap can land them, they hardly come back."""
SIGMA_RANGE_PX = (0.4, 4.0)
"""Widths a fit may have: a narrower spot lies in one pixel, a wider one is no molecule in focus."""


@dataclass(frozen=True)
class Fits:
    """Results [K] on the scale of the fitted counts; positions in pixels of the region, centre of pixel 0 at 0.0."""

    x: Tensor
    y: Tensor
    photons: Tensor
    background: Tensor
    sigma_px: Tensor
    precision_x: Tensor
    """Cramer-Rao bound, standard deviation in pixels."""
    precision_y: Tensor
    precision_photons: Tensor
    deviance: Tensor
    """Twice the logarithm of how much likelier a perfect model would be; for a good one it is chi-squared."""
    has_converged: Tensor
    """[K] bool: the fit came to rest at finite values."""


def join_fits(parts: Iterable[Fits]) -> Fits:
    """The fits of several calls, one after the other."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Fits(*(torch.cat(column) for column in columns))


def fit_spots(
    regions: Tensor,
    read_variance: Tensor,
    start_x: Tensor,
    start_y: Tensor,
    psf_sigma_px: float,
    fixed_sigma: bool,
) -> Fits:
    """Fit one Gaussian to each of ``regions`` [K, S, S].

    Parameters
    ----------
    regions
        Counts whose variance is their mean plus ``read_variance`` [K, S, S].
    start_x, start_y
        [K] where the spot was detected.
    psf_sigma_px
        Width to start from, or to keep with ``fixed_sigma``.
    """
    n_parameters = N_PARAMETERS - 1 if fixed_sigma else N_PARAMETERS
    theta, has_settled = _climb(regions, read_variance, _start(regions, start_x, start_y, psf_sigma_px), n_parameters)
    model, jacobian = _model(theta, read_variance)
    observed = (regions + read_variance).clamp_min(0.0)
    _, information = _score_and_information(observed, model, jacobian[:, :n_parameters])
    covariance, info = torch.linalg.inv_ex(information.double())
    variance = covariance.diagonal(dim1=1, dim2=2).float()
    usable = (info == 0) & (variance > 0).all(dim=1) & torch.isfinite(theta).all(dim=1)
    deviation = variance.clamp_min(0.0).sqrt()
    return Fits(
        x=theta[:, 0],
        y=theta[:, 1],
        photons=theta[:, 2],
        background=theta[:, 3],
        sigma_px=theta[:, 4],
        precision_x=deviation[:, 0],
        precision_y=deviation[:, 1],
        precision_photons=deviation[:, 2],
        deviance=-2.0 * _log_likelihood(observed, model),
        has_converged=usable & has_settled,
    )


@dataclass
class _Climb:
    """The spots that still move; row i of everything belongs to spot ``index[i]``."""

    index: Tensor
    observed: Tensor
    """[K, S, S] counts plus read variance, not below 0."""
    read_variance: Tensor
    theta: Tensor
    """[K, 5] as of `_start`."""
    model: Tensor
    jacobian: Tensor
    likelihood: Tensor
    damping: Tensor
    """[K] Levenberg-Marquardt damping, relative to the diagonal of the information."""
    last_step: Tensor
    """[K] length of the last step taken, 1 being converged."""
    is_moving: Tensor

    @property
    def is_at_rest(self) -> Tensor:
        return ~self.is_moving | (self.last_step < NEARLY_CONVERGED)

    def moving(self) -> _Climb:
        """Only the spots that move."""
        rows = self.is_moving.nonzero().squeeze(1)
        return _Climb(**{name: value[rows] for name, value in vars(self).items()})


def _climb(regions: Tensor, read_variance: Tensor, start: Tensor, n_parameters: int) -> tuple[Tensor, Tensor]:
    """Climb the likelihood from ``start`` [K, 5]; where it ended, and which spots came to rest [K]."""
    result = start.clone()
    has_settled = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    model, jacobian = _model(start, read_variance)
    observed = (regions + read_variance).clamp_min(0.0)
    now = _Climb(
        index=torch.arange(len(start), device=start.device),
        observed=observed,
        read_variance=read_variance,
        theta=start,
        model=model,
        jacobian=jacobian,
        likelihood=_log_likelihood(observed, model),
        damping=torch.full_like(start[:, 0], 1e-2),
        last_step=torch.full_like(start[:, 0], math.inf),
        is_moving=torch.ones_like(has_settled),
    )
    for _ in range(ITERATIONS):
        _step(now, n_parameters)
        n_moving = int(now.is_moving.sum())
        if n_moving < _COMPACT_BELOW * len(now.index):
            result[now.index] = now.theta
            has_settled[now.index] = now.is_at_rest
            now = now.moving()
        if not n_moving:
            break
    result[now.index] = now.theta
    has_settled[now.index] = now.is_at_rest
    return result, has_settled


def _step(now: _Climb, n_parameters: int) -> None:
    """One damped step of each spot that moves, kept where the likelihood does not fall."""
    gradient, information = _score_and_information(now.observed, now.model, now.jacobian[:, :n_parameters])
    proposed = _clamped(now.theta, _damped_step(now.theta, gradient, information, now.damping), now.model.shape[-1])
    model, jacobian = _model(proposed, now.read_variance)
    likelihood = _log_likelihood(now.observed, model)
    loss_of_rounding = 1e-6 * now.likelihood.abs() + ROUNDING * now.observed.sum(dim=(1, 2))
    better = now.is_moving & (likelihood >= now.likelihood - loss_of_rounding)
    change = (proposed - now.theta).abs()
    length = torch.maximum(
        change[:, [0, 1, 4]].amax(dim=1) / CONVERGED_PX, change[:, 2] / (CONVERGED_SHARE * proposed[:, 2])
    )
    now.theta = torch.where(better[:, None], proposed, now.theta)
    now.model = torch.where(better[:, None, None], model, now.model)
    now.jacobian = torch.where(better[:, None, None, None], jacobian, now.jacobian)
    now.last_step = torch.where(better, length, now.last_step)
    now.likelihood = torch.where(better, likelihood, now.likelihood)
    now.damping = torch.where(better, now.damping * 0.1, now.damping * 10.0).clamp(1e-6, _STUCK)
    # No step of any length climbs: this is the top, as well as float32 can tell.
    now.is_moving = now.is_moving & ~(better & (length < 1.0)) & (now.damping < _STUCK)


def _start(regions: Tensor, start_x: Tensor, start_y: Tensor, psf_sigma_px: float) -> Tensor:
    """[K, 5] x, y, photons, background, sigma."""
    side = regions.shape[-1]
    ordered = regions.flatten(1).sort(dim=1).values
    # The lower half of a region around a spot is background: a little too low for being the lowest pixels, a little too
    # high for the spot's tail.
    background = ordered[:, : side * side // 2].mean(dim=1).clamp_min(LOWEST_BACKGROUND)
    photons = (regions - background[:, None, None]).sum(dim=(1, 2)).clamp_min(10.0)
    return torch.stack([start_x, start_y, photons, background, torch.full_like(start_x, psf_sigma_px)], dim=1)


def _model(theta: Tensor, read_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Expected counts [K, S, S] and their derivatives [K, 5, S, S] with respect to x, y, photons, background, sigma."""
    side = read_variance.shape[-1]
    x, y, photons, background, sigma = theta.unbind(1)
    along_x, along_x_dx, along_x_ds = _integrated_gaussian(x, sigma, side)
    along_y, along_y_dy, along_y_ds = _integrated_gaussian(y, sigma, side)
    n = photons[:, None, None]
    shape = along_y[:, :, None] * along_x[:, None, :]
    jacobian = torch.stack(
        [
            n * along_y[:, :, None] * along_x_dx[:, None, :],
            n * along_y_dy[:, :, None] * along_x[:, None, :],
            shape,
            torch.ones_like(shape),
            n * (along_y_ds[:, :, None] * along_x[:, None, :] + along_y[:, :, None] * along_x_ds[:, None, :]),
        ],
        dim=1,
    )
    return n * shape + background[:, None, None] + read_variance, jacobian


def _integrated_gaussian(centre: Tensor, sigma: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Integral of a unit Gaussian over each of ``side`` pixels [K, S], and its derivatives to centre and sigma."""
    edges = torch.arange(side + 1, dtype=centre.dtype, device=centre.device) - 0.5
    z = (edges - centre[:, None]) / sigma[:, None]
    cumulative = 0.5 * torch.erf(z / math.sqrt(2.0))
    density = torch.exp(-0.5 * z.square()) / (math.sqrt(2.0 * math.pi) * sigma[:, None])
    return cumulative.diff(dim=1), -density.diff(dim=1), -(z * density).diff(dim=1)


def _score_and_information(observed: Tensor, model: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient [K, P] of the log-likelihood and Fisher information [K, P, P]."""
    j = jacobian.flatten(2)
    weight = 1.0 / model.flatten(1)
    gradient = (j * (observed.flatten(1) * weight - 1.0)[:, None, :]).sum(dim=2)
    # Not a matrix product: its last bits depend on where in memory a matrix lies, and so on the batch.
    information = ((j * weight[:, None, :])[:, :, None, :] * j[:, None, :, :]).sum(dim=3)
    return gradient, information


def _damped_step(theta: Tensor, gradient: Tensor, information: Tensor, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step [K, 5]; parameters that are not fitted stay.

    Where the background would fall too far it goes to its bound, and the other parameters take the step that is best
    with it there: cutting it off afterwards would leave them a step that makes no sense.
    """
    damped = information + torch.diag_embed(damping[:, None] * information.diagonal(dim1=1, dim2=2) + 1e-12)
    solution = _solved(damped, gradient)
    bound = (theta[:, 3] * LARGEST_FALL).clamp_min(LOWEST_BACKGROUND) - theta[:, 3]
    held = (solution[:, 3] < bound).nonzero().squeeze(1)
    if len(held):
        others = torch.ones_like(damped[0])
        others[3, :] = others[:, 3] = 0.0
        left = gradient[held] - damped[held, :, 3] * bound[held, None]
        left[:, 3] = bound[held]
        only_background = 1.0 - others.diagonal()
        solution[held] = _solved(damped[held] * others + torch.diag(only_background), left)
    step = torch.zeros_like(theta)
    step[:, : gradient.shape[1]] = solution
    return step


def _solved(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions [K, P] of K linear systems; 0 where there is none."""
    solution, info = torch.linalg.solve_ex(matrices, right)
    return torch.where((info == 0)[:, None], solution, torch.zeros_like(solution)).nan_to_num(0.0, 0.0, 0.0)


def _clamped(theta: Tensor, step: Tensor, side: int) -> Tensor:
    """Take a step, no longer than a pixel, and stay where the model means something."""
    x, y, photons, background, sigma = (theta + step).unbind(1)
    limits = theta[:, :2]
    x = torch.minimum(torch.maximum(x, limits[:, 0] - 1.0), limits[:, 0] + 1.0).clamp(-1.0, side)
    y = torch.minimum(torch.maximum(y, limits[:, 1] - 1.0), limits[:, 1] + 1.0).clamp(-1.0, side)
    photons = torch.maximum(photons, theta[:, 2] * LARGEST_FALL).clamp_min(LOWEST_PHOTONS)
    background = torch.maximum(background, theta[:, 3] * LARGEST_FALL).clamp_min(LOWEST_BACKGROUND)
    return torch.stack([x, y, photons, background, sigma.clamp(*SIGMA_RANGE_PX)], dim=1)


def _log_likelihood(observed: Tensor, model: Tensor) -> Tensor:
    """Poisson log-likelihood [K] less that of the perfect model: small sums lose little in float32."""
    ratio = torch.where(observed > 0, observed * torch.log(model / observed.clamp_min(1e-12)), torch.zeros_like(model))
    return (ratio - model + observed).sum(dim=(1, 2))
