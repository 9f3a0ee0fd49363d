"""The model of a spot, and how well it explains what was counted: for many spots at once.

A pixel is expected to hold ``N Ey Ex + b + r``: photons, the Gaussian's integrals over the pixel along y and x,
background and read variance. Each derivative is a product of something along y and something along x, too, so the
Fisher information needs only one pass over the pixels for each distinct product along x; the rest is done on sums
along a row. Spots lie along the last axis, where their neighbours in memory take the same arithmetic.

Shapes: K spots, S side of a region in pixels, P parameters, X products along x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from dblink_live.localization.gaussian.fit_terms import MIN_RATIO

Width = Literal["fixed", "free", "elliptic"]
"""Treatment of a spot's width: fixed, fitted, or fitted separately along x and y."""
X, Y, PHOTONS, BACKGROUND, SIGMA_X, SIGMA_Y = range(6)
"""Rows of the parameters [6, K], whatever is fitted."""
N_FITTED: dict[Width, int] = {"fixed": 4, "free": 5, "elliptic": 6}

# What each parameter's derivative is along x: slope, integral, 1 or stretch of the Gaussian.
_ALONG_X = (0, 1, 1, 2, 3, 1)


@dataclass(frozen=True)
class _Products:
    """Map sums along rows to elements of the Fisher information."""

    first: Tensor
    """[pairs] parameter p of a pair p <= q."""
    second: Tensor
    along_x: Tensor
    """[pairs] place of the pair's product along x."""
    element: Tensor
    """[P * P] place of an element among the pairs."""
    alone: Tensor
    """[P] place of a parameter's own factor along x."""


@cache
def _products(n_parameters: int, device: torch.device) -> _Products:
    """Made once for each kind of fit: lists of indices are slow to come by."""
    n_factors = 3 if n_parameters == 6 else 2
    place = _places(n_factors)
    factor = {0: 0, 1: 1, 2: n_factors, 3: 2}
    alone = [factor[_ALONG_X[p]] for p in range(n_parameters)]
    pairs = [(p, q) for p in range(n_parameters) for q in range(p, n_parameters)]
    index = {pair: k for k, pair in enumerate(pairs)}
    lists = (
        [p for p, _ in pairs],
        [q for _, q in pairs],
        [place[min(alone[p], alone[q]), max(alone[p], alone[q])] for p, q in pairs],
        [index[min(p, q), max(p, q)] for p in range(n_parameters) for q in range(n_parameters)],
        alone,
    )
    # Not inference tensors: they are cached and used outside of inference, too.
    with torch.inference_mode(mode=False):
        return _Products(*(torch.tensor(values, device=device) for values in lists))


def _places(n_factors: int) -> dict[tuple[int, int], int]:
    """Places of products along x, as `_sums` stacks them: of two factors, single factors, 1."""
    both = [(i, j) for i in range(n_factors) for j in range(i, n_factors)]
    single = [(i, n_factors) for i in range(n_factors)]
    return {pair: place for place, pair in enumerate([*both, *single, (n_factors, n_factors)])}


@cache
def _edges(side: int, device: torch.device) -> Tensor:
    """[S + 1, 1] borders of pixels."""
    with torch.inference_mode(mode=False):
        return torch.arange(side + 1, dtype=torch.float32, device=device)[:, None] - 0.5


@dataclass(frozen=True)
class Explained:
    """Comparison of a model with the measured counts."""

    deviance: Tensor
    """[K] twice the logarithm of how much likelier a perfect model would be; for a good one it is chi-squared."""
    gradient: Tensor
    """[P, K] of the log-likelihood."""
    information: Tensor
    """[P, P, K] Fisher information."""


def explain(observed: Tensor, read_variance: Tensor, theta: Tensor, width: Width) -> Explained:
    """Compare the spots ``theta`` [6, K] with ``observed`` [S, S, K] (y, x), counts plus read variance.

    Counts have a variance equal to their mean, plus ``read_variance`` [S, S, K] (Huang et al., Nature Methods 2013).
    """
    is_free = width != "fixed"
    side = observed.shape[0]
    integral, slope, stretch = _integrated_gaussian(theta[:2], theta[SIGMA_X:], side, is_free)
    (x, y), (x_dx, y_dy), photons = integral, slope, theta[PHOTONS]
    photons_y = photons * y
    model = (photons_y[:, None] * x).add_(theta[BACKGROUND]).add_(read_variance)
    weight = model.reciprocal()
    ratio = observed * weight
    worse = ratio.clamp_min(MIN_RATIO).log_().mul_(observed).sub_(observed).add_(model)
    deviance = total(worse.flatten(0, 1), 0)
    excess = ratio.sub_(1.0)

    one = torch.ones_like(x)
    factors = torch.stack([x_dx, x, stretch[0]] if is_free else [x_dx, x])
    rows = [photons_y, photons * y_dy, y, one]
    if is_free:
        rows += [photons_y, photons * stretch[1]]
    along_y = torch.stack(rows)
    plan = _products(len(along_y), along_y.device)
    n_factors = len(factors)
    products = [factors[i] * factors[j] for i in range(n_factors) for j in range(i, n_factors)]
    sums = _sums(torch.cat([torch.stack(products), factors]), weight)
    both_along_y = along_y.index_select(0, plan.first).mul_(along_y.index_select(0, plan.second))
    pairs = total(sums.index_select(0, plan.along_x).mul_(both_along_y), 1)
    gradient = total(_sums(factors, excess).index_select(0, plan.alone).mul_(along_y), 1)
    information = torch.unflatten(pairs.index_select(0, plan.element), 0, (len(along_y), len(along_y)))
    if width == "free":
        # One width for both axes: what it changes is the sum of what they change.
        gradient = torch.cat([gradient[:SIGMA_X], gradient[SIGMA_X:].sum(0, keepdim=True)])
        information = torch.cat([information[:SIGMA_X], information[SIGMA_X:].sum(0, keepdim=True)])
        information = torch.cat([information[:, :SIGMA_X], information[:, SIGMA_X:].sum(1, keepdim=True)], 1)
    return Explained(2.0 * deviance, gradient, information)


def expected_light(theta: Tensor, side: int) -> Tensor:
    """[S, S, K] (y, x): photons that the spots ``theta`` [6, K] leave in each pixel, without background."""
    (x, y), _, _ = _integrated_gaussian(theta[:2], theta[SIGMA_X:], side, is_free=False)
    light: Tensor = (theta[PHOTONS] * y)[:, None] * x
    return light


def total(values: Tensor, dim: int) -> Tensor:
    """Sum along an axis, in an order that depends on its length alone.

    `torch.sum` goes about it differently with the number of spots, and so rounds with the size of a batch.
    """
    n = values.shape[dim]
    while n > 1:
        half = n // 2
        halved = values.narrow(dim, 0, half) + values.narrow(dim, half, half)
        if n % 2:
            halved.select(dim, 0).add_(values.select(dim, n - 1))
        values, n = halved, half
    return values.select(dim, 0)


def _sums(factors: Tensor, values: Tensor) -> Tensor:
    """Sums along x of ``values`` [S, S, K] times each of ``factors`` [X, S, K], and times 1: [X + 1, S, K]."""
    return torch.cat([total(factors[:, None] * values, 2), total(values, 1)[None]])


def _integrated_gaussian(centre: Tensor, sigma: Tensor, side: int, is_free: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Integrals of unit Gaussians over ``side`` pixels [2, S, K], and their derivatives to centre and width.

    ``centre`` and ``sigma`` [2, K] are those along x and y. The last derivative is empty unless ``is_free``.
    """
    inverse = sigma.reciprocal()[:, None]
    z = (_edges(side, centre.device) - centre[:, None]).mul_(inverse)
    cumulative = torch.erf(z * (1 / math.sqrt(2.0))).mul_(0.5)
    density = torch.exp((z * z).mul_(-0.5)).mul_(inverse * (1 / math.sqrt(2.0 * math.pi)))
    stretch = z.mul_(density) if is_free else z[:0]
    return (
        cumulative[:, 1:] - cumulative[:, :-1],
        density[:, :-1] - density[:, 1:],
        stretch[:, :-1] - stretch[:, 1:],
    )
