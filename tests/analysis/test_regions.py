"""Resolution region by region."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.analysis.resolution.regions import MIN_LOCALIZATIONS, frc_of_regions
from dblink_live.errors import AnalysisError, CalibrationError, ConfigError
from dblink_live.types import Localizations, empty_localizations

PIXEL_NM = 100.0


def lines(n: int, spread_nm: float, left_nm: float, seed: int) -> Localizations:
    """``n`` localizations to ``spread_nm`` on 15 lines within a square of 2 um whose left border is given."""
    rng = np.random.default_rng(seed)
    ends = rng.uniform(100, 1900, (2, 15, 2))
    line, along = rng.integers(15, size=n), rng.random((n, 1))
    points = ends[0, line] * (1 - along) + ends[1, line] * along + rng.normal(0, spread_nm, (n, 2))
    rows = empty_localizations(n)
    rows["frame"] = np.sort(rng.integers(0, 200, n))
    rows["y"], rows["x"] = (points + np.array([0.0, left_nm])).T / PIXEL_NM - 0.5
    return rows


def test_the_blurred_half_of_a_field_is_told_from_the_sharp_one() -> None:
    table = np.concatenate([lines(12_000, 10, 0, seed=0), lines(12_000, 40, 2000, seed=1)])
    found = frc_of_regions(table, PIXEL_NM, n_across=2)
    assert found.shape == (1, 2)
    assert found.side_nm == pytest.approx(2000, rel=0.1)
    sharp, blurred = found.resolution_nm()[0]
    assert blurred > 2 * sharp
    # Half-bit asks for more of rings with few pixels, and never for less than 1/7.
    assert (found.resolution_nm("half-bit") >= found.resolution_nm()).all()


def test_a_region_with_too_little_is_a_gap() -> None:
    few = lines(MIN_LOCALIZATIONS - 1, 10, 2000, seed=1)
    found = frc_of_regions(np.concatenate([lines(12_000, 10, 0, seed=0), few]), PIXEL_NM, n_across=2)
    assert np.isnan(found.resolution_nm()[0]).tolist() == [False, True]
    assert found.curves[0][1] is None


def test_nothing_to_measure_is_an_error() -> None:
    table = lines(100, 10, 0, seed=0)
    with pytest.raises(AnalysisError, match="fewer in all of them"):
        frc_of_regions(table, PIXEL_NM)
    with pytest.raises(AnalysisError, match="empty"):
        frc_of_regions(table[:0], PIXEL_NM)
    with pytest.raises(CalibrationError):
        frc_of_regions(table, float("nan"))
    with pytest.raises(ConfigError, match="1 region"):
        frc_of_regions(table, PIXEL_NM, n_across=0)
