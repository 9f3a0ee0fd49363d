"""Support and split consistency, worked out by hand on tiny videos."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.analysis.trust.support import left_out_fraction, split_consistency, support, supported_fraction
from dblink_live.errors import AnalysisError, ConfigError


def one_localization(n_windows: int = 9, at: int = 4) -> np.ndarray:
    counts = np.zeros((n_windows, 8, 8), np.uint16)
    counts[at, 3, 5] = 1
    return counts


def test_every_third_picture_stands_for_all() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.02, (31, 24, 24)).astype(np.uint16)
    pictures = rng.random((31, 24, 24), np.float32)
    # All other pictures predict nothing.
    third = np.where(np.arange(31)[:, None, None] % 3 == 0, pictures, 0)
    assert supported_fraction(pictures, counts, 0.7, 5, every=3) == supported_fraction(third, counts, 0.7, 5)
    # Of the localizations, only those of the pictures that are looked at count.
    seen = np.where(np.arange(31)[:, None, None] % 3 == 0, counts, 0)
    assert left_out_fraction(pictures, counts, 0.7, every=3) == left_out_fraction(third, seen, 0.7)


def test_a_localization_supports_pixels_and_windows_within_reach() -> None:
    for window in range(9):
        seen = support(one_localization(), window, half_width=2, radius_px=1)
        expected = np.zeros((8, 8), int)
        if abs(window - 4) <= 2:
            expected[2:5, 4:7] = 1
        assert seen.n_localizations.tolist() == expected.tolist()
        np.testing.assert_array_equal(seen.age_windows, np.where(expected > 0, abs(window - 4), np.inf))


def test_the_nearest_in_time_counts_for_the_age() -> None:
    counts = one_localization() + one_localization(at=0)
    counts[8, 0, 0] = 3
    seen = support(counts, 3, half_width=5, radius_px=0)
    assert (seen.n_localizations[3, 5], seen.age_windows[3, 5]) == (2, 1.0)
    assert (seen.n_localizations[0, 0], seen.age_windows[0, 0]) == (3, 5.0)


def test_the_fraction_agrees_with_the_maps() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, size=(12, 20, 24)).astype(np.uint16)
    pictures = rng.random((12, 20, 24)).astype(np.float32)
    for half_width, radius_px, least in ((0, 0, 1), (2, 1, 2), (30, 2, 5)):
        n = np.stack([support(counts, t, half_width, radius_px).n_localizations for t in range(12)])
        expected = (n[pictures > 0.7] >= least).mean()
        found = supported_fraction(pictures, counts, 0.7, half_width, radius_px, least)
        assert found == pytest.approx(expected, abs=1e-12)


def test_invented_structure_lowers_the_fraction() -> None:
    counts = np.zeros((5, 32, 32), np.uint16)
    counts[:, 8, 4:28] = 1
    drawn = np.zeros((5, 32, 32), np.float32)
    drawn[:, 8, 4:28] = 0.9
    assert supported_fraction(drawn, counts, 0.5) == 1.0
    drawn[:, 24, 4:28] = 0.9
    assert supported_fraction(drawn, counts, 0.5) == 0.5


def test_a_line_that_one_half_draws_a_pixel_aside_is_agreed_upon() -> None:
    first, second = np.zeros((2, 1, 16, 16))
    first[0, 5, 2:14] = 0.9
    second[0, 6, 2:14] = 0.6
    first[0, 12, 2:14] = 0.9
    agreed = split_consistency(first, second)
    assert agreed[0, 5, 8] == pytest.approx(0.6)
    assert agreed[0, 12].max() == 0.0
    assert split_consistency(first, second, radius_px=0).max() == 0.0


def test_what_cannot_be_answered_is_refused() -> None:
    counts = one_localization()
    with pytest.raises(AnalysisError, match="found none"):
        supported_fraction(np.zeros(counts.shape, np.float32), counts, 0.5)
    with pytest.raises(AnalysisError, match="NaN"):
        supported_fraction(np.full(counts.shape, np.nan, np.float32), counts, 0.5)
    with pytest.raises(ConfigError, match="one shape"):
        supported_fraction(np.zeros((2, 8, 8), np.float32), counts, 0.5)
    with pytest.raises(ConfigError, match="window in"):
        support(counts, 9)
    with pytest.raises(ConfigError, match="0 or more"):
        support(counts, 0, radius_px=-1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        supported_fraction(np.zeros(counts.shape, np.float32), counts, 1.0)
    with pytest.raises(AnalysisError, match="NaN"):
        split_consistency(np.full((4, 4), np.nan), np.zeros((4, 4)))
    with pytest.raises(ConfigError, match="one shape"):
        split_consistency(np.zeros((4, 4)), np.zeros((4, 5)))


def test_what_a_picture_leaves_out_is_counted_against_its_own_window() -> None:
    counts = one_localization() + 3 * one_localization(at=5)
    pictures = np.zeros(counts.shape, np.float32)
    pictures[4, 2, 4] = 0.9
    # The one of window 4 lies beside what its picture draws; the three of window 5 lie where that draws nothing.
    assert left_out_fraction(pictures, counts, 0.5) == pytest.approx(3 / 4)
    assert left_out_fraction(pictures, counts, 0.5, radius_px=0) == 1.0
    assert left_out_fraction(np.ones_like(pictures), counts, 0.5) == 0.0
    with pytest.raises(AnalysisError, match="none in 9 windows"):
        left_out_fraction(pictures, np.zeros_like(counts), 0.5)
    pictures[0, 0, 0] = np.nan
    with pytest.raises(AnalysisError, match="NaN"):
        left_out_fraction(pictures, counts, 0.5)
    with pytest.raises(ConfigError, match="one shape"):
        left_out_fraction(pictures[:3], counts, 0.5)
