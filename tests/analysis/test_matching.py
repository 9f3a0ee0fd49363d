"""Pairing of localizations with molecules, and the scores made of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dblink_live.analysis.matching import chance_jaccard, match_localizations
from dblink_live.errors import ConfigError
from dblink_live.types import Localizations, empty_localizations

PIXEL_NM = 100.0


def table(rows: list[tuple[int, float, float]]) -> Localizations:
    """A table of (frame, y, x)."""
    result = empty_localizations(len(rows))
    for i, (frame, y, x) in enumerate(rows):
        result[i]["frame"], result[i]["y"], result[i]["x"] = frame, y, x
    return result


def test_pairs_are_made_within_a_frame_only() -> None:
    truth = table([(0, 5.0, 5.0), (1, 9.0, 9.0)])
    scores = match_localizations(table([(1, 5.0, 5.0), (1, 9.0, 9.0)]), truth, PIXEL_NM)
    assert (scores.n_pairs, scores.recall, scores.precision) == (1, 0.5, 0.5)
    assert scores.jaccard == pytest.approx(1 / 3)


def test_as_many_pairs_as_possible_are_made_before_distances_count() -> None:
    # The nearest partner of both localizations is the molecule in the middle; only one may have it.
    truth = table([(0, 0.0, 0.0), (0, 0.0, 0.9)])
    found = table([(0, 0.0, 0.8), (0, 0.0, 1.5)])
    scores = match_localizations(found, truth, PIXEL_NM, radius_nm=85.0)
    assert scores.n_pairs == 2
    assert scores.rmse_nm == pytest.approx(math.sqrt((80.0**2 + 60.0**2) / 2), rel=1e-6)


def test_errors_and_bias_come_per_axis_in_nm() -> None:
    rng = np.random.default_rng(3)
    truth = table([(frame, 10.0, 10.0) for frame in range(4000)])
    found = truth.copy()
    found["y"] += rng.normal(0.05, 0.1, len(found))
    found["x"] += rng.normal(0.0, 0.2, len(found))
    scores = match_localizations(found, truth, PIXEL_NM, radius_nm=2000.0)
    # Standard errors with 4000 draws: 0.16 and 0.32 nm of the bias, 1.1 % of the deviations.
    assert scores.bias_nm == pytest.approx((5.0, 0.0), abs=1.0)
    assert scores.rmse_axis_nm == pytest.approx((math.hypot(10, 5), 20.0), rel=0.05)
    assert scores.rmse_nm == pytest.approx(math.hypot(*scores.rmse_axis_nm))


def test_efficiency_is_the_challenges() -> None:
    # Jaccard index 50 %, RMSE 30 nm: 100 - sqrt(50^2 + 30^2).
    scores = match_localizations(table([(0, 5.0, 5.3)]), table([(0, 5.0, 5.0), (0, 9.0, 9.0)]), PIXEL_NM)
    assert scores.efficiency == pytest.approx(100.0 - math.hypot(50.0, 30.0), rel=1e-5)


def test_chance_grows_with_the_crowd() -> None:
    rng = np.random.default_rng(5)

    def scattered(n_a_frame: int) -> Localizations:
        return table([(frame, *rng.uniform(0, 32, 2)) for frame in range(60) for _ in range(n_a_frame)])

    few, many = (chance_jaccard(molecules, molecules, PIXEL_NM) for molecules in (scattered(3), scattered(60)))
    # A disc of 100 nm is 0.3 % of the field: three molecules hardly ever meet by chance, sixty do.
    assert few < 0.03 < many


@pytest.mark.parametrize(("n_found", "n_molecules"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_pair_gives_no_number(n_found: int, n_molecules: int) -> None:
    scores = match_localizations(empty_localizations(n_found), empty_localizations(n_molecules), PIXEL_NM)
    assert scores.n_pairs == 0
    assert math.isnan(scores.rmse_nm)
    assert math.isnan(scores.jaccard) == (n_found + n_molecules == 0)


def test_a_radius_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="radius above 0"):
        match_localizations(empty_localizations(1), empty_localizations(1), PIXEL_NM, radius_nm=0.0)
