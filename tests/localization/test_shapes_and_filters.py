"""Widths that differ from molecule to molecule or from axis to axis, and what the filters let through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import erf

from dblink_live.errors import ConfigError
from dblink_live.localization import AutoLocalizer, GaussianLocalizer
from dblink_live.types import Camera

Render = Callable[..., npt.NDArray[np.float64]]
CAMERA = Camera(100.0)
SIDE = 21
N = 150


def _share(centre: npt.NDArray[np.float64], sigma_px: float) -> npt.NDArray[np.float64]:
    edges = np.arange(SIDE + 1) - 0.5
    return np.diff(0.5 * erf((edges - centre[:, None]) / (np.sqrt(2.0) * sigma_px)), axis=1)


def _elliptic_frames(
    sigma_x_px: float, sigma_y_px: float
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(21)
    x, y = rng.uniform(9.5, 10.5, (2, N))
    mean = 10.0 + 3000.0 * _share(y, sigma_y_px)[:, :, None] * _share(x, sigma_x_px)[:, None, :]
    return rng.poisson(mean).astype(np.uint16), x, y


def test_an_elliptic_fit_finds_both_widths_and_knows_its_precision() -> None:
    frames, x, y = _elliptic_frames(1.0, 1.5)
    found = GaussianLocalizer(CAMERA, psf_sigma_px=1.25, fit="elliptic").localize(frames, np.arange(N))
    found = found[np.hypot(found["x"] - 10.0, found["y"] - 10.0) < 2.0]
    assert len(found) == N
    # A width of 3000 photons is known to 1.5 %, the mean of 150 to 0.12 %; the region leaves some tail of the wide one.
    assert found["sx"].mean() == pytest.approx(1.0, rel=0.01)
    assert found["sy"].mean() == pytest.approx(1.5, rel=0.02)
    for axis, truth in (("x", x), ("y", y)):
        error = found[axis] - truth[found["frame"]]
        # 150 errors know their spread to 6 %.
        assert np.sqrt(np.mean(error**2)) == pytest.approx(np.sqrt(np.mean(found[f"lp{axis}"] ** 2)), rel=0.18)
    # The wide axis is the less precise one: by 1.5 without background, more with it.
    assert np.median(found["lpy"]) > 1.4 * np.median(found["lpx"])


def test_a_free_fit_has_one_width_for_both_axes() -> None:
    frames, _, _ = _elliptic_frames(1.3, 1.3)
    found = GaussianLocalizer(CAMERA, psf_sigma_px=1.0, fit="free").localize(frames, np.arange(N))
    assert np.array_equal(found["sx"], found["sy"])
    assert np.unique(found["sx"]).size > 0.9 * N
    # 150 widths of 1.2 %; a start at 1.0 leaves no trace.
    assert found["sx"].mean() == pytest.approx(1.3, rel=0.01)


def test_misfit_tells_two_in_one_from_one(render: Render) -> None:
    rng = np.random.default_rng(22)
    x, y = rng.uniform(9.5, 10.5, (2, N))
    apart = np.where(np.arange(N) < N // 2, 0.0, 2.0)
    frame = np.concatenate([np.arange(N), np.arange(N)])
    places = np.concatenate([x - apart / 2, x + apart / 2]), np.concatenate([y, y])
    mean = render(frame, *places, 1500.0, shape=(N, SIDE, SIDE), sigma_px=1.2, background=20.0)
    frames = rng.poisson(mean).astype(np.uint16)
    every = GaussianLocalizer(CAMERA, psf_sigma_px=1.2).localize(frames, np.arange(N))
    single = GaussianLocalizer(CAMERA, psf_sigma_px=1.2, max_misfit=3.0).localize(frames, np.arange(N))
    # 3 standard deviations of a chi-squared that is skewed: one true molecule in some 200 goes.
    assert np.count_nonzero(single["frame"] < N // 2) > 0.93 * np.count_nonzero(every["frame"] < N // 2)
    assert np.count_nonzero(single["frame"] >= N // 2) < 0.1 * np.count_nonzero(every["frame"] >= N // 2)


def test_photons_and_precision_can_be_asked_for(render: Render) -> None:
    rng = np.random.default_rng(23)
    place = rng.uniform(9.5, 10.5, (2, N))
    photons = np.where(np.arange(N) < N // 2, 300.0, 3000.0)
    mean = render(np.arange(N), *place, photons, shape=(N, SIDE, SIDE), sigma_px=1.2, background=10.0)
    frames = rng.poisson(mean).astype(np.uint16)
    for limit in ({"min_photons": 1000.0}, {"max_precision_px": 0.06}):
        found = GaussianLocalizer(CAMERA, psf_sigma_px=1.2, **limit).localize(frames, np.arange(N))
        # The bound is 0.11 px for the faint ones and 0.025 px for the bright ones.
        assert np.array_equal(np.unique(found["frame"]), np.arange(N // 2, N))


def test_a_noisy_pixel_is_no_molecule_and_hides_none_beside_it(render: Render) -> None:
    # A bad pixel of 40 electrons spreads in the band-pass; the threshold about it has to follow.
    rng = np.random.default_rng(24)
    n, side = 400, 32
    read_noise = np.full((side, side), 1.5, np.float32)
    read_noise[8::8, 8::8] = 40.0
    camera = Camera(100.0, offset_adu=200.0, read_noise_e=read_noise)
    dark = 200.0 + rng.poisson(5.0, (n, side, side)) + rng.normal(0.0, read_noise, (n, side, side))
    found = GaussianLocalizer(camera, psf_sigma_px=1.2).localize(np.rint(dark).astype(np.uint16), np.arange(n))
    # 0.41 megapixels at about 7 a megapixel; without the noise's own spread there are hundreds.
    assert len(found) < 15


def test_settings_of_the_fit_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"fixed, free, elliptic, found 'oval'"):
        GaussianLocalizer(CAMERA, fit="oval")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="min_photons of 0 or more, found -1"):
        GaussianLocalizer(CAMERA, min_photons=-1.0)
    with pytest.raises(ConfigError, match="max_precision_px above 0, found 0"):
        AutoLocalizer(CAMERA, max_precision_px=0.0)
    with pytest.raises(ConfigError, match="max_misfit above 0, found nan"):
        GaussianLocalizer(CAMERA, max_misfit=float("nan"))
