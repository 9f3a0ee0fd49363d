"""The model of a spot of `dblink_live.localization.gaussian.psf` for a CPU: how well it explains one spot, compiled.

Shapes: S side of a region in pixels, 6 parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dblink_live.localization.gaussian.compiled import compiled
from dblink_live.localization.gaussian.fit_terms import MIN_RATIO
from dblink_live.localization.gaussian.psf import BACKGROUND, PHOTONS, SIGMA_X, SIGMA_Y, X, Y

Floats = npt.NDArray[np.float64]

N_PARAMETERS = 6
_PER_SQRT_2 = 1.0 / math.sqrt(2.0)
_PER_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)


class Spot(NamedTuple):
    """Counts in the region of a spot."""

    observed: Floats
    """[S, S] (y, x) counts plus read variance, not below 0."""
    read_variance: Floats


class Gaussian(NamedTuple):
    """A unit Gaussian along one axis of the region."""

    integral: Floats
    """[S] over each pixel."""
    slope: Floats
    """Its derivative to the centre."""
    stretch: Floats
    """Its derivative to the width; only where that is fitted."""


class Model(NamedTuple):
    """Parameters, and how well they explain the spot."""

    theta: Floats
    """[6]"""
    gradient: Floats
    """[6] of the log-likelihood."""
    information: Floats
    """[6, 6] Fisher information."""


@compiled
def explain_one(spot: Spot, model: Model, along_x: Gaussian, along_y: Gaussian, n_fitted: int) -> float:
    """Write gradient and information of ``model`` at its parameters; the deviance."""
    theta, gradient, information = model
    has_width = n_fitted > SIGMA_X
    _integrate(theta[X], theta[SIGMA_X], has_width, along_x)
    _integrate(theta[Y], theta[SIGMA_Y], has_width, along_y)
    for p in range(N_PARAMETERS):
        gradient[p] = 0.0
        for q in range(N_PARAMETERS):
            information[p, q] = 0.0
    side = len(spot.observed)
    photons = theta[PHOTONS]
    deviance = 0.0
    for y in range(side):
        # Every derivative is a product of something along y and something along x: sums along the row come first.
        integral_y = along_y.integral[y]
        photons_y = photons * integral_y
        slope_y = photons * along_y.slope[y]
        stretch_y = photons * along_y.stretch[y] if has_width else 0.0
        w_one = w_x = w_dx = w_x_x = w_x_dx = w_dx_dx = 0.0
        w_sx = w_x_sx = w_dx_sx = w_sx_sx = 0.0
        e_one = e_x = e_dx = e_sx = 0.0
        for x in range(side):
            integral, slope = along_x.integral[x], along_x.slope[x]
            observed = spot.observed[y, x]
            expected = photons_y * integral + theta[BACKGROUND] + spot.read_variance[y, x]
            weight = 1.0 / expected
            ratio = observed * weight
            deviance += observed * math.log(max(ratio, MIN_RATIO)) - observed + expected
            excess = ratio - 1.0
            e_one += excess
            e_x += excess * integral
            e_dx += excess * slope
            w_one += weight
            w_x += weight * integral
            w_dx += weight * slope
            w_x_x += weight * integral * integral
            w_x_dx += weight * integral * slope
            w_dx_dx += weight * slope * slope
            if has_width:
                stretch = along_x.stretch[x]
                e_sx += excess * stretch
                w_sx += weight * stretch
                w_x_sx += weight * integral * stretch
                w_dx_sx += weight * slope * stretch
                w_sx_sx += weight * stretch * stretch
        gradient[X] += photons_y * e_dx
        gradient[Y] += slope_y * e_x
        gradient[PHOTONS] += integral_y * e_x
        gradient[BACKGROUND] += e_one
        information[X, X] += photons_y * photons_y * w_dx_dx
        information[X, Y] += photons_y * slope_y * w_x_dx
        information[X, PHOTONS] += photons_y * integral_y * w_x_dx
        information[X, BACKGROUND] += photons_y * w_dx
        information[Y, Y] += slope_y * slope_y * w_x_x
        information[Y, PHOTONS] += slope_y * integral_y * w_x_x
        information[Y, BACKGROUND] += slope_y * w_x
        information[PHOTONS, PHOTONS] += integral_y * integral_y * w_x_x
        information[PHOTONS, BACKGROUND] += integral_y * w_x
        information[BACKGROUND, BACKGROUND] += w_one
        if has_width:
            gradient[SIGMA_X] += photons_y * e_sx
            gradient[SIGMA_Y] += stretch_y * e_x
            information[X, SIGMA_X] += photons_y * photons_y * w_dx_sx
            information[Y, SIGMA_X] += slope_y * photons_y * w_x_sx
            information[PHOTONS, SIGMA_X] += integral_y * photons_y * w_x_sx
            information[BACKGROUND, SIGMA_X] += photons_y * w_sx
            information[SIGMA_X, SIGMA_X] += photons_y * photons_y * w_sx_sx
            information[X, SIGMA_Y] += photons_y * stretch_y * w_x_dx
            information[Y, SIGMA_Y] += slope_y * stretch_y * w_x_x
            information[PHOTONS, SIGMA_Y] += integral_y * stretch_y * w_x_x
            information[BACKGROUND, SIGMA_Y] += stretch_y * w_x
            information[SIGMA_X, SIGMA_Y] += photons_y * stretch_y * w_x_sx
            information[SIGMA_Y, SIGMA_Y] += stretch_y * stretch_y * w_x_x
    if n_fitted == SIGMA_Y:
        # One width for both axes: what it changes is the sum of what they change.
        gradient[SIGMA_X] += gradient[SIGMA_Y]
        for p in range(SIGMA_X):
            information[p, SIGMA_X] += information[p, SIGMA_Y]
        information[SIGMA_X, SIGMA_X] += 2.0 * information[SIGMA_X, SIGMA_Y] + information[SIGMA_Y, SIGMA_Y]
    for p in range(n_fitted):
        for q in range(p):
            information[p, q] = information[q, p]
    return 2.0 * deviance


@compiled
def _integrate(centre: float, sigma: float, has_width: bool, gaussian: Gaussian) -> None:
    """Write the integrals of a unit Gaussian over the pixels, and their derivatives."""
    inverse = 1.0 / sigma
    z = (-0.5 - centre) * inverse
    cumulative = 0.5 * math.erf(z * _PER_SQRT_2)
    density = math.exp(-0.5 * z * z) * inverse * _PER_SQRT_2_PI
    for i in range(len(gaussian.integral)):
        last_z, last_cumulative, last_density = z, cumulative, density
        z = (i + 0.5 - centre) * inverse
        cumulative = 0.5 * math.erf(z * _PER_SQRT_2)
        density = math.exp(-0.5 * z * z) * inverse * _PER_SQRT_2_PI
        gaussian.integral[i] = cumulative - last_cumulative
        gaussian.slope[i] = last_density - density
        if has_width:
            gaussian.stretch[i] = last_z * last_density - z * density
