"""Sums of the counts as baselines: what settings are best, and what they are worth on other videos."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.analysis.comparison.best_sums import best_leaky_sum, best_plain_sum, score_plain_sum
from dblink_live.errors import ConfigError

N_WINDOWS, SIDE = 40, 24


def blinking_line(per_window: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and structure of a line that stands still, in noise of one count per window."""
    rng = np.random.default_rng(seed)
    structure = np.zeros((N_WINDOWS, SIDE, SIDE), bool)
    structure[:, 12, 4:20] = True
    counts = rng.poisson(np.where(structure, per_window / 16, 1.0 / SIDE**2)).astype(np.uint16)
    return counts, structure


def test_the_best_settings_score_on_their_own_videos_what_they_say() -> None:
    counts, structure = blinking_line(0.5, seed=1)
    best = best_plain_sum([counts], [structure], every=4)
    # A localization every other window on 16 pixels that stand still: best summed for long.
    assert best.windows >= 20
    assert 0.8 < best.f1_1px < 1.0
    assert score_plain_sum(best, [counts], [structure], every=4) == pytest.approx(best.f1_1px)


def test_a_threshold_from_elsewhere_does_not_know_another_density() -> None:
    counts, structure = blinking_line(32.0, seed=2)
    best = best_plain_sum([counts], [structure])
    sparse, structure = blinking_line(1.0, seed=3)
    own = best_plain_sum([sparse], [structure])
    assert score_plain_sum(best, [sparse], [structure]) < own.f1_1px - 0.1


def test_videos_that_do_not_fit_are_refused() -> None:
    counts, structure = blinking_line(8.0, seed=1)
    with pytest.raises(ConfigError, match="one shape"):
        best_leaky_sum([counts], [structure[:, 1:]])
