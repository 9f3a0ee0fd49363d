"""Decorrelation analysis: pictures of a known cut-off frequency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dblink_live.analysis.resolution.decorrelation import decorrelation_analysis
from dblink_live.errors import AnalysisError, ConfigError

PITCH_NM = 20.0


def lens(s: np.ndarray) -> np.ndarray:
    """Transfer of a round aperture at ``s``, frequency over the cut-off (Goodman, Introduction to Fourier Optics)."""
    s = np.clip(s, 0, 1)
    return 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))


def sieve(s: np.ndarray) -> np.ndarray:
    """Everything up to the cut-off, nothing beyond."""
    return (s < 1).astype(float)


def scene(transfer: Callable, cutoff_nm: float, height: int = 256, width: int = 256, noise: float = 1e-3) -> np.ndarray:
    """Random points of which nothing finer than ``cutoff_nm`` is seen, with ``noise`` times as much white noise."""
    rng = np.random.default_rng(4)
    points = (rng.random((height, width)) > 0.995).astype(float)
    frequency = np.hypot(np.fft.fftfreq(height, PITCH_NM)[:, None], np.fft.fftfreq(width, PITCH_NM))
    picture = np.fft.ifft2(np.fft.fft2(points) * transfer(frequency * cutoff_nm)).real
    return picture + noise * picture.std() * rng.normal(size=picture.shape)


@pytest.mark.parametrize("cutoff_nm", [90.0, 160.0, 240.0])
def test_a_sharp_cut_off_is_found(cutoff_nm: float) -> None:
    # With less noise, what the taper of the borders spreads beyond a sharp cut-off would stand out of it.
    a_hundredth_of_the_power = 0.1 / np.sqrt(np.pi * (PITCH_NM / cutoff_nm) ** 2)
    found = decorrelation_analysis(scene(sieve, cutoff_nm, noise=a_hundredth_of_the_power), PITCH_NM)
    # To one step of the 50 radii, over which the taper blurs a sharp end.
    assert found.cutoff == pytest.approx(2 * PITCH_NM / cutoff_nm, abs=1 / 49)
    assert found.resolution_nm == pytest.approx(2 * PITCH_NM / found.cutoff)


@pytest.mark.parametrize("cutoff_nm", [100.0, 160.0])
def test_of_a_lens_that_is_found_which_the_method_can_see(cutoff_nm: float) -> None:
    # A Gaussian that is taken away weighs frequencies by s^2 at most. d(r) then is the integral of s^2 T(s) over the
    # disc, over the root of its area, whatever the noise; its maximum lies at 87 % of the cut-off.
    s = np.linspace(1e-3, 1, 1000)
    limit = s[np.argmax(np.cumsum(s**2 * lens(s) * s) / s)]
    found = decorrelation_analysis(scene(lens, cutoff_nm), PITCH_NM)
    assert found.resolution_nm == pytest.approx(cutoff_nm / limit, rel=0.06)


def test_noise_costs_resolution() -> None:
    clean, poor = (decorrelation_analysis(scene(lens, 100.0, noise=level), PITCH_NM) for level in (1e-3, 1.0))
    assert poor.resolution_nm > 1.05 * clean.resolution_nm
    assert poor.contrast < clean.contrast


def test_resolution_does_not_depend_on_brightness_or_offset() -> None:
    picture = scene(lens, 160.0)
    same = decorrelation_analysis(5000 * picture + 100, PITCH_NM)
    assert same.resolution_nm == pytest.approx(decorrelation_analysis(picture, PITCH_NM).resolution_nm, rel=1e-3)


def test_a_field_that_is_not_square_keeps_its_nanometres() -> None:
    found = decorrelation_analysis(scene(sieve, 160.0, 190, 256), PITCH_NM)
    assert found.resolution_nm == pytest.approx(160.0, rel=0.06)


def test_curves_are_there_to_be_drawn() -> None:
    found = decorrelation_analysis(scene(lens, 160.0), PITCH_NM, n_radii=30, n_filters=6)
    assert len(found.curves) == 1 + 6 + 6
    for curve in found.curves:
        assert curve.radius.shape == curve.correlation.shape == (30,)
        assert curve.correlation.min() >= 0.0
        # Cauchy-Schwarz.
        assert curve.correlation.max() <= 1.0 + 1e-9
    assert found.cutoff == max(curve.cutoff for curve in found.curves)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        pytest.param(np.zeros((64, 64)), AnalysisError, "contrast", id="all zero"),
        pytest.param(np.full((64, 64), np.nan), AnalysisError, "NaN", id="NaN"),
        pytest.param(np.ones((8, 64)), AnalysisError, "32 x 32", id="too small"),
        pytest.param(np.zeros((3, 64, 64)), ConfigError, "H, W", id="a video"),
    ],
)
def test_pictures_that_show_nothing_are_refused(picture: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decorrelation_analysis(picture, PITCH_NM)
