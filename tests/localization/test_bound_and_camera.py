"""Isolated molecules under every kind of camera: errors at the Cramer-Rao bound, and a precision that says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.localization import GaussianLocalizer
from dblink_live.simulate.noise import digitise
from dblink_live.types import Camera

PIXEL_NM = 100.0
SIDE = 14
"""Each molecule has a patch of a frame to itself."""
PATCHES = 16
"""Along a frame's side."""
N = 8 * PATCHES**2

Render = Callable[..., npt.NDArray[np.float64]]
Image = npt.NDArray[np.float64]


def mosaic(patches: Image) -> Image:
    """Patches [K, S, S] side by side in frames [T, 16 S, 16 S]."""
    tiled = patches.reshape(-1, PATCHES, PATCHES, SIDE, SIDE).transpose(0, 1, 3, 2, 4)
    return tiled.reshape(-1, PATCHES * SIDE, PATCHES * SIDE)


def with_maps() -> Camera:
    """A CMOS sensor on which no pixel is like another, and one in a hundred is bad (Huang et al. 2013)."""
    rng = np.random.default_rng(11)
    shape = (PATCHES * SIDE, PATCHES * SIDE)
    read_noise = np.where(rng.random(shape) < 0.01, rng.uniform(10.0, 40.0, shape), rng.lognormal(0.5, 0.3, shape))
    return Camera(
        PIXEL_NM,
        offset_adu=rng.normal(100.0, 3.0, shape).astype(np.float32),
        electrons_per_adu=rng.normal(0.46, 0.03, shape).astype(np.float32),
        read_noise_e=read_noise.astype(np.float32),
    )


@pytest.mark.parametrize(
    ("camera", "photons", "background"),
    [
        pytest.param(Camera(PIXEL_NM, 500.0, read_noise_e=300.0**0.5), 3000.0, 500.0, id="much background"),
        pytest.param(with_maps(), 1000.0, 10.0, id="sCMOS maps"),
        pytest.param(Camera(PIXEL_NM, 1000.0, 20.0, em_gain=200.0, read_noise_e=40.0), 1000.0, 10.0, id="EMCCD"),
    ],
)
def test_errors_are_at_the_bound_and_known(
    camera: Camera, photons: float, background: float, render: Render, cramer_rao: Callable[..., float]
) -> None:
    rng = np.random.default_rng(12)
    x, y = 6.5 + rng.uniform(-0.5, 0.5, (2, N))
    optics = {"sigma_px": 1.0, "background": background}
    mean = mosaic(render(np.arange(N), x, y, photons, shape=(N, SIDE, SIDE), **optics))
    frames = np.stack([digitise(rng.poisson(frame).astype(np.float32), camera, rng) for frame in mean])
    found = GaussianLocalizer(camera, psf_sigma_px=1.0).localize(frames, np.arange(len(frames)))

    row, col = (np.rint((found[axis] - 6.5) / SIDE).astype(int) for axis in ("y", "x"))
    molecule = found["frame"] * PATCHES**2 + row * PATCHES + col
    error = np.stack([found["x"] - SIDE * col - x[molecule], found["y"] - SIDE * row - y[molecule]])
    is_molecule = np.abs(error).max(axis=0) < 2.0
    error, found = error[:, is_molecule], found[is_molecule]
    # A molecule with several bad pixels under it may go unseen; nothing else does.
    assert np.unique(molecule[is_molecule]).size == len(found) > 0.995 * N

    dark = np.broadcast_to(np.square(np.asarray(camera.read_noise_e, float) / camera.em_gain), mean.shape[1:])
    dark = dark.reshape(PATCHES, SIDE, PATCHES, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    bounds = [
        cramer_rao(
            x[k], y[k], photons, side=SIDE, **optics,
            read_variance=dark[k % len(dark)], excess_noise=camera.excess_noise_factor,
        )
        for k in molecule[is_molecule][::4]
    ]  # fmt: skip
    rmse = np.sqrt(np.square(error).mean())
    # 4,000 errors know their root mean square to 1.1 %, so 5 % is four standard deviations; the fitted square and the
    # rounding of counts cost less than 1 %, and every fourth bound is enough: they differ by 10 % at most.
    assert 0.95 < rmse / np.sqrt(np.square(bounds).mean()) < 1.05
    reported = np.sqrt(np.square(np.stack([found["lpx"], found["lpy"]])).mean())
    assert reported == pytest.approx(rmse, rel=0.05)
    # Errors of at most 8 nm leave 0.18 nm of the mean to chance.
    assert np.abs(error.mean(axis=1)).max() * PIXEL_NM < 1.0
