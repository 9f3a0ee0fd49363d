"""Molecules and bounds computed here on their own, so that the localizer is not compared with itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import erf

Array = npt.NDArray[np.float64]
Render = Callable[..., Array]


def _share(centre: Array, sigma_px: float, n_pixels: int) -> Array:
    """[K, n_pixels] share of the light of molecules at ``centre`` [K] in each pixel of a row."""
    edges = np.arange(n_pixels + 1) - 0.5
    return np.diff(0.5 * erf((edges - centre[:, None]) / (np.sqrt(2.0) * sigma_px)), axis=1)


def _render(
    frame: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, photons: npt.ArrayLike, *, shape: tuple[int, int, int],
    sigma_px: float, background: float,
) -> Array:  # fmt: skip
    """Mean electrons [N, H, W]; the centre of a pixel is at integer coordinates."""
    along_x, along_y = (
        _share(np.asarray(x, float), sigma_px, shape[2]),
        _share(np.asarray(y, float), sigma_px, shape[1]),
    )
    spots = np.broadcast_to(photons, len(along_x))[:, None, None] * along_y[:, :, None] * along_x[:, None, :]
    frames = np.full(shape, float(background))
    np.add.at(frames, np.asarray(frame), spots)
    return frames


@pytest.fixture(scope="session")
def render() -> Render:
    """``render(frame, x, y, photons, shape=, sigma_px=, background=)``: mean electrons [N, H, W] of molecules [K]."""
    return _render


@pytest.fixture(scope="session")
def cramer_rao() -> Callable[..., float]:
    """Lowest standard deviation of x in px, by numerical derivatives over a field that holds the whole spot.

    ``read_variance`` is a number or a map [side, side].
    """

    def bound(
        x: float, y: float, photons: float, *, side: int, sigma_px: float, background: float,
        read_variance: npt.ArrayLike = 0.0, excess_noise: float = 1.0,
    ) -> float:  # fmt: skip
        def mean(theta: Array) -> Array:
            shape = (1, side, side)
            return _render([0], [theta[0]], [theta[1]], theta[2], shape=shape, sigma_px=sigma_px, background=theta[3])

        theta = np.array([x, y, photons, background])
        steps = np.diag(1e-4 * np.maximum(1.0, theta))
        slopes = np.stack([(mean(theta + step) - mean(theta - step)).ravel() / (2 * step.sum()) for step in steps])
        variance = excess_noise * mean(theta).ravel() + np.ravel(read_variance)
        return float(np.sqrt(np.linalg.inv((slopes / variance) @ slopes.T)[0, 0]))

    return bound
