"""Fourier ring correlation: pictures and tables whose resolution is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dblink_live.analysis.resolution.frc import (
    fourier_ring_correlation,
    frc_by_region,
    frc_of_localizations,
    rolling_frc,
    split_blocks,
)
from dblink_live.errors import AnalysisError, CalibrationError, ConfigError
from dblink_live.types import Localizations, empty_localizations

PITCH_NM = 20.0
SIDE = 256
TOLERATED_RINGS = 3
"""A ring is one pixel wide, and the taper blurs a sharp end by its main lobe, about two to each side."""


def band_limited(cutoff_per_nm: float, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """White noise of which nothing is left beyond ``cutoff_per_nm``, of standard deviation 1."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(side, side)))
    frequency = np.hypot(np.fft.fftfreq(side, PITCH_NM)[:, None], np.fft.fftfreq(side, PITCH_NM))
    scene = np.fft.ifft2(spectrum * (frequency < cutoff_per_nm)).real
    return scene / scene.std()


def noise_of(cutoff_nm: float) -> float:
    """Standard deviation of white noise that has a fifth of the power below a cut-off.

    With much less noise, the little that the taper spreads beyond a sharp cut-off would stand out of it.
    """
    return 0.5 / np.sqrt(np.pi * (PITCH_NM / cutoff_nm) ** 2)


def noisy_pair(scene: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return scene + noise * rng.normal(size=scene.shape), scene + noise * rng.normal(size=scene.shape)


def lines(n_frames: int, per_frame: int, spread_nm: float, seed: int = 3) -> Localizations:
    """Points on 40 lines of any direction in a field of 4 um, ``spread_nm`` (standard deviation) beside them."""
    rng = np.random.default_rng(seed)
    n = n_frames * per_frame
    ends = rng.uniform(0, 4000, size=(2, 40, 2))
    line, along = rng.integers(40, size=n), rng.random(size=(n, 1))
    points = ends[0, line] * (1 - along) + ends[1, line] * along + rng.normal(0, spread_nm, size=(n, 2))
    table = empty_localizations(n)
    table["frame"] = np.repeat(np.arange(n_frames), per_frame)
    table["y"], table["x"] = (points / 100.0 - 0.5).T
    return table


@pytest.mark.parametrize("cutoff_nm", [80.0, 120.0, 200.0])
def test_two_noisy_copies_agree_down_to_the_size_at_which_the_scene_ends(cutoff_nm: float) -> None:
    curve = fourier_ring_correlation(*noisy_pair(band_limited(1 / cutoff_nm), noise_of(cutoff_nm)), PITCH_NM)
    # The curve falls from 0.8 to 0 at the end of the band, through both thresholds.
    for kind in ("1/7", "half-bit"):
        assert 1 / curve.resolution_nm(kind) == pytest.approx(1 / cutoff_nm, abs=TOLERATED_RINGS / (SIDE * PITCH_NM))


def test_the_correlation_is_the_share_of_power_that_is_common() -> None:
    # White scene of power 1 and white noise of power 1: half of the power is common, at every frequency.
    rng = np.random.default_rng(1)
    scene = rng.normal(size=(SIDE, SIDE))
    curve = fourier_ring_correlation(*noisy_pair(scene, 1.0), PITCH_NM)
    # The mean over 128 rings of hundreds of pixels each: its standard error is below 0.01.
    assert np.average(curve.correlation[10:], weights=curve.n_pixels[10:]) == pytest.approx(0.5, abs=0.03)


def test_a_video_is_correlated_picture_by_picture() -> None:
    scenes = np.stack([band_limited(1 / 120.0, seed) for seed in range(4)])
    pair = noisy_pair(scenes, noise_of(120.0))
    assert fourier_ring_correlation(*pair, PITCH_NM).resolution_nm() == pytest.approx(120.0, rel=0.07)
    # Pictures of other moments have nothing in common.
    with pytest.raises(AnalysisError, match="same structure"):
        fourier_ring_correlation(pair[0], pair[1][::-1], PITCH_NM).resolution_nm()


def test_a_field_that_is_not_square_keeps_its_nanometres() -> None:
    one, other = noisy_pair(band_limited(1 / 120.0), noise_of(120.0))
    curve = fourier_ring_correlation(one[:151], other[:151], PITCH_NM)
    assert 1 / curve.resolution_nm() == pytest.approx(1 / 120.0, abs=TOLERATED_RINGS / (151 * PITCH_NM))


def test_regions_are_measured_apart() -> None:
    scene = np.where(np.arange(SIDE) < SIDE // 2, band_limited(1 / 100.0), band_limited(1 / 160.0, seed=1))
    found = frc_by_region(*noisy_pair(scene, noise_of(100.0)), PITCH_NM, SIDE // 2)
    # One ring more than elsewhere: at the border between the two, each scene leaks into the other's square.
    expected = [[1 / 100, 1 / 160], [1 / 100, 1 / 160]]
    np.testing.assert_allclose(1 / found, expected, atol=(TOLERATED_RINGS + 1) / (SIDE // 2 * PITCH_NM))


def test_localizations_resolve_about_what_their_precision_allows() -> None:
    # Two halves of n points each on structure blurred by s: the transforms fall as exp(-2 pi^2 s^2 f^2), and the
    # correlation at 1/7 lies where that power meets the shot noise. Twice the spread must double the resolution.
    fine, coarse = (frc_of_localizations(lines(200, 100, spread), 100.0).resolution_nm() for spread in (10.0, 20.0))
    assert 25.0 < fine < 60.0
    assert coarse / fine == pytest.approx(2.0, rel=0.25)


def test_more_localizations_resolve_more() -> None:
    few, many = (frc_of_localizations(lines(200, n, 15.0), 100.0).resolution_nm() for n in (10, 100))
    assert many < few


def test_a_far_stray_costs_no_resolution() -> None:
    table = lines(200, 60, 10.0)
    stray = table.copy()
    stray["x"][5] = 1e5  # 10 mm away: a grid that held it would have pixels of 2.4 um
    found, expected = (frc_of_localizations(one, 100.0).resolution_nm() for one in (stray, table))
    # The stray widens the box by a margin, and so shifts the rings.
    assert found == pytest.approx(expected, rel=0.05)


def test_halves_share_no_block() -> None:
    table = lines(100, 2, 10.0)
    even, odd = split_blocks(table, 10)
    assert len(even) + len(odd) == len(table)
    assert set((even["frame"] // 10 % 2).tolist()) == {0}
    assert set((odd["frame"] // 10 % 2).tolist()) == {1}


def test_precision_that_worsens_shows_over_time() -> None:
    sharp, blurred = lines(200, 60, 10.0), lines(200, 60, 40.0)
    blurred["frame"] += 200
    rolling = rolling_frc(np.concatenate([sharp, blurred]), 100.0, span_frames=200, step_frames=200)
    assert rolling.frame.tolist() == [0, 200]
    assert rolling.resolution_nm[1] > 2 * rolling.resolution_nm[0]


def test_a_poor_stretch_is_a_gap_not_a_number() -> None:
    table = lines(200, 60, 10.0)
    late = lines(1, 3, 10.0)
    late["frame"] += 399
    rolling = rolling_frc(np.concatenate([table, late]), 100.0, span_frames=200, step_frames=200)
    assert [math.isnan(value) for value in rolling.resolution_nm] == [False, True]


def test_what_two_pixels_cannot_show_is_no_number() -> None:
    scene = np.random.default_rng(0).normal(size=(64, 64))
    with pytest.raises(AnalysisError, match="finer"):
        fourier_ring_correlation(scene, scene, PITCH_NM).resolution_nm()


def test_independent_noise_has_no_resolution() -> None:
    rng = np.random.default_rng(0)
    curve = fourier_ring_correlation(rng.normal(size=(128, 128)), rng.normal(size=(128, 128)), PITCH_NM)
    with pytest.raises(AnalysisError, match="same structure"):
        curve.resolution_nm()


@pytest.mark.parametrize(
    ("first", "error", "message"),
    [
        pytest.param(np.zeros((64, 64)), AnalysisError, "contrast", id="all zero"),
        pytest.param(np.full((64, 64), np.nan), AnalysisError, "NaN", id="NaN"),
        pytest.param(np.ones((8, 64)), ConfigError, "one shape", id="another shape"),
    ],
)
def test_pictures_that_show_nothing_are_refused(first: np.ndarray, error: type[Exception], message: str) -> None:
    second = np.random.default_rng(0).normal(size=(64, 64))
    with pytest.raises(error, match=message):
        fourier_ring_correlation(first, second, PITCH_NM)


def test_tables_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(AnalysisError, match="empty"):
        frc_of_localizations(empty_localizations(), 100.0)
    with pytest.raises(AnalysisError, match="in one"):
        frc_of_localizations(lines(1, 50, 10.0), 100.0)
    with pytest.raises(CalibrationError, match="pixel size"):
        frc_of_localizations(lines(10, 50, 10.0), math.nan)
    broken = lines(10, 50, 10.0)
    broken["x"][3] = np.nan
    with pytest.raises(AnalysisError, match="NaN"):
        frc_of_localizations(broken, 100.0)
    with pytest.raises(ConfigError, match="half-bit"):
        fourier_ring_correlation(*noisy_pair(band_limited(0.01), 1.0), PITCH_NM).threshold("1/2")  # type: ignore[arg-type]
