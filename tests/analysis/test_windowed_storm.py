"""The best plain sum, on videos whose best window length is known."""

from __future__ import annotations

import math

import numpy as np

from dblink_live.analysis.comparison.windowed_storm import best_windowed_storm, score_windowed_storm


def stepping_line(n_windows: int, still_for: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and truth of a line that jumps 6 px every ``still_for`` windows; each window shows a tenth of it."""
    truth = np.zeros((n_windows, 64, 40), bool)
    counts = np.zeros(truth.shape, np.uint16)
    rng = np.random.default_rng(3)
    for window in range(n_windows):
        row = 4 + 6 * (window // still_for)
        truth[window, row, 4:36] = True
        counts[window, row, rng.integers(4, 36, size=3)] = 1
    return counts, truth


def test_a_still_structure_wants_the_longest_window() -> None:
    counts, truth = stepping_line(40, still_for=40)
    found = best_windowed_storm(counts, truth, blurs_px=(0.0,))
    # 40 windows of 3 of 32 pixels leave (29/32)^40 = 2 % unseen; within 1 px next to nothing.
    assert found.f1 > 0.99
    assert found.half_width > 8


def test_a_moving_structure_wants_a_short_one() -> None:
    counts, truth = stepping_line(40, still_for=5)
    found = best_windowed_storm(counts, truth, blurs_px=(0.0, 1.0))
    assert 1 <= found.half_width <= 5
    # No window length on the doubled ladder beats what was found.
    assert all(found.f1 >= score_windowed_storm(counts, truth, width, (0.0, 1.0)).f1 for width in (0, 1, 2, 4, 8, 16))
    assert found.n_windows == 2 * found.half_width + 1


def test_an_empty_truth_has_no_score() -> None:
    empty = np.zeros((3, 8, 8))
    assert math.isnan(best_windowed_storm(empty, empty).f1)
