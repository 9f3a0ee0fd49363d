"""Scores: checked against values worked out by hand on tiny videos."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dblink_live.analysis.metrics import best_threshold, evaluate, leaky_sum, windowed_sum
from dblink_live.errors import ConfigError


def line(row: int, *, height: int = 16, width: int = 16) -> np.ndarray:
    video = np.zeros((1, height, width), np.float32)
    video[0, row, 4:12] = 1.0
    return video


def test_perfect_reconstruction_scores_one() -> None:
    scores = evaluate(line(8), line(8) > 0)
    assert scores.f1_0px == scores.f1_1px == scores.fidelity == 1.0
    assert scores.false_positive_rate == 0.0
    assert scores.hallucination == {0: 0.0, 1: 0.0, 2: 0.0}
    assert scores.psnr_db == math.inf


@pytest.mark.parametrize(
    ("shift_px", "right_from_px"),
    [pytest.param(1, 1, id="one pixel off"), pytest.param(2, 2, id="two pixels off"), pytest.param(3, 3, id="three")],
)
def test_a_shifted_line_is_right_from_its_distance_on(shift_px: int, right_from_px: int) -> None:
    scores = evaluate(line(8 + shift_px), line(8) > 0, tolerance_px=3)
    for tolerance, f1 in scores.f1_px.items():
        assert f1 == (1.0 if tolerance >= right_from_px else 0.0)


def test_hallucination_is_a_share_of_the_prediction_and_false_positives_of_the_background() -> None:
    prediction = line(8)
    prediction[0, 1, 0:8] = 1.0  # as many pixels again, far away
    scores = evaluate(prediction, line(8) > 0)
    assert scores.hallucination[1] == pytest.approx(0.5)
    assert scores.recall[0] == 1.0
    assert scores.false_positive_rate == pytest.approx(8 / (16 * 16 - 8))


def test_empty_truth_has_no_recall_and_json_says_null() -> None:
    scores = evaluate(line(8), np.zeros((1, 16, 16), bool))
    assert math.isnan(scores.f1_1px)
    assert scores.to_json_dict()["f1_1px"] is None
    assert scores.hallucination[1] == 1.0


def test_windowed_sum_is_centred_and_shorter_at_the_ends() -> None:
    counts = np.arange(5, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)
    assert windowed_sum(counts, 1)[:, 0, 0].tolist() == [1.0, 3.0, 6.0, 9.0, 7.0]


def test_best_threshold_separates_what_can_be_separated() -> None:
    noisy = line(8) * 0.8 + 0.3 * line(2)
    threshold, f1 = best_threshold(noisy, line(8) > 0)
    assert f1 == 1.0
    assert 0.3 <= threshold < 0.8


@pytest.mark.parametrize(
    ("reconstruction", "truth", "message"),
    [
        pytest.param(np.zeros((2, 4, 4)), np.zeros((2, 4, 5)), "one shape", id="shapes"),
        pytest.param(np.full((1, 4, 4), np.nan), np.zeros((1, 4, 4)), "finite", id="nan"),
    ],
)
def test_bad_input_is_one_clear_error(reconstruction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(reconstruction, truth)


def test_threshold_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        evaluate(line(8), line(8), threshold=1.5)


def test_the_leaky_sum_forgets_and_never_looks_ahead() -> None:
    counts = np.zeros((6, 3, 3), np.uint16)
    counts[2, 1, 1] = 4
    summed = leaky_sum(counts, time_constant=2.0)
    assert not summed[:2].any()
    assert summed[2:, 1, 1] == pytest.approx(4 * np.exp(-np.arange(4) / 2.0))
    assert leaky_sum(counts, 2.0, blur_sigma_px=0.5)[2, 1, 1] < 4.0
