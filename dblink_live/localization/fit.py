"""Maximum-likelihood fit of a pixel-integrated Gaussian to many spots at once.

The model of a pixel is ``N Ey Ex + b + r``: photons, the Gaussian's integral over the pixel along y and x,
background and read
variance. With counts of variance equal to their mean it is fitted by Fisher scoring with Levenberg-Marquardt damping
(Smith et al., Nature Methods 2010; Laurence & Chromy, Nature Methods 2010; read variance as in Huang et al., Nature
Methods 2013). The inverse of the Fisher information at the solution is the Cramer-Rao bound, reported as precision.

Shapes: K spots, S side of a region in pixels, P parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ITERATIONS = 24
"""At most; most spots need six to ten."""
CONVERGED_PX = 1e-4
"""A step in x, y and sigma below this ends a spot's fit: a hundredth of the best precision there is."""
LOWEST_PHOTONS = 1.0
LOWEST_BACKGROUND = 1e-2
SIGMA_RANGE_PX = (0.4, 4.0)


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
    has_converged: Tensor
    """[K] bool: the fit came to rest at finite values."""


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
    observed = (regions + read_variance).clamp_min(0.0)
    n_parameters = 4 if fixed_sigma else 5
    theta = _start(regions, start_x, start_y, psf_sigma_px)
    damping = torch.full_like(start_x, 1e-2)
    model, jacobian = _model(theta, read_variance)
    likelihood = _log_likelihood(observed, model)
    active = torch.ones_like(start_x, dtype=torch.bool)
    for _ in range(ITERATIONS):
        gradient, information = _score_and_information(observed, model, jacobian[:, :n_parameters])
        step = _damped_step(gradient, information, damping)
        proposed = _clamped(theta, step, regions.shape[-1])
        new_model, new_jacobian = _model(proposed, read_variance)
        new_likelihood = _log_likelihood(observed, new_model)
        # A loss within rounding (float32 sums of a few thousand) is no loss: the fit is at rest.
        better = active & (new_likelihood >= likelihood - 1e-6 * likelihood.abs())
        moved = (proposed - theta)[:, [0, 1, 4]].abs().amax(dim=1)
        theta = torch.where(better[:, None], proposed, theta)
        model = torch.where(better[:, None, None], new_model, model)
        jacobian = torch.where(better[:, None, None, None], new_jacobian, jacobian)
        likelihood = torch.where(better, new_likelihood, likelihood)
        damping = torch.where(better, damping * 0.1, damping * 10.0).clamp(1e-6, 1e6)
        active = active & ~(better & (moved < CONVERGED_PX)) & (damping < 1e6)
        if not bool(active.any()):
            break
    _, information = _score_and_information(observed, model, jacobian[:, :n_parameters])
    covariance, info = torch.linalg.inv_ex(information.double())
    variance = covariance.diagonal(dim1=1, dim2=2).float()
    at_rest = (~active) | (moved < 10 * CONVERGED_PX)
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
        has_converged=usable & at_rest,
    )


def _start(regions: Tensor, start_x: Tensor, start_y: Tensor, psf_sigma_px: float) -> Tensor:
    """[K, 5] x, y, photons, background, sigma."""
    side = regions.shape[-1]
    ordered = regions.flatten(1).sort(dim=1).values
    # The lowest third of a region around a spot is background, seen a little too low for being the lowest.
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
    """Integral of a normalized Gaussian over each of ``side`` pixels [K, S], and its derivatives to centre and
    sigma."""
    edges = torch.arange(side + 1, dtype=centre.dtype, device=centre.device) - 0.5
    z = (edges - centre[:, None]) / sigma[:, None]
    cumulative = 0.5 * torch.erf(z / math.sqrt(2.0))
    density = torch.exp(-0.5 * z.square()) / (math.sqrt(2.0 * math.pi) * sigma[:, None])
    return cumulative.diff(dim=1), -density.diff(dim=1), -(z * density).diff(dim=1)


def _score_and_information(observed: Tensor, model: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient [K, P] of the log-likelihood and Fisher information [K, P, P]."""
    j = jacobian.flatten(2)
    weight = 1.0 / model.flatten(1)
    gradient = torch.einsum("kpn,kn->kp", j, observed.flatten(1) * weight - 1.0)
    information = torch.einsum("kpn,kqn->kpq", j * weight[:, None, :], j)
    return gradient, information


def _damped_step(gradient: Tensor, information: Tensor, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step [K, 5]; parameters that are not fitted stay."""
    diagonal = information.diagonal(dim1=1, dim2=2)
    damped = information + torch.diag_embed(damping[:, None] * diagonal + 1e-12)
    solution, info = torch.linalg.solve_ex(damped, gradient)
    solution = torch.where((info == 0)[:, None], solution, torch.zeros_like(solution))
    step = torch.zeros((len(gradient), 5), dtype=gradient.dtype, device=gradient.device)
    step[:, : gradient.shape[1]] = solution.nan_to_num(0.0, 0.0, 0.0)
    return step


def _clamped(theta: Tensor, step: Tensor, side: int) -> Tensor:
    """Take a step, no longer than a pixel, and stay where the model means something."""
    x, y, photons, background, sigma = (theta + step).unbind(1)
    limits = theta[:, :2]
    x = torch.minimum(torch.maximum(x, limits[:, 0] - 1.0), limits[:, 0] + 1.0).clamp(-1.0, side)
    y = torch.minimum(torch.maximum(y, limits[:, 1] - 1.0), limits[:, 1] + 1.0).clamp(-1.0, side)
    photons = torch.maximum(photons, theta[:, 2] * 0.2).clamp_min(LOWEST_PHOTONS)
    return torch.stack([x, y, photons, background.clamp_min(LOWEST_BACKGROUND), sigma.clamp(*SIGMA_RANGE_PX)], dim=1)


def _log_likelihood(observed: Tensor, model: Tensor) -> Tensor:
    """Poisson log-likelihood [K] up to a constant, each pixel against its own saturated value to keep the sums
    small."""
    ratio = torch.where(observed > 0, observed * torch.log(model / observed.clamp_min(1e-12)), torch.zeros_like(model))
    return (ratio - model + observed).sum(dim=(1, 2))
