"""Consistency between pictures, motion undone, and how much a picture was revised."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from dblink_live.analysis.trust.consistency import consistency, revision, undo_motion
from dblink_live.errors import AnalysisError, ConfigError

SIDE = 97
N = 8


def scene() -> np.ndarray:
    rng = np.random.default_rng(0)
    return gaussian_filter((rng.random((SIDE, SIDE)) > 0.98).astype(float), 2.0)


def test_equal_pictures_are_consistent_and_unrelated_ones_are_not() -> None:
    rng = np.random.default_rng(1)
    assert consistency(np.stack([scene()] * 5)) == pytest.approx(1.0)
    # 45 pairs of 9,409 pixels each: standard error 0.0015.
    assert consistency(rng.normal(size=(10, SIDE, SIDE))) == pytest.approx(0.0, abs=0.01)


def test_it_is_the_mean_over_all_pairs() -> None:
    video = np.random.default_rng(2).random((6, 20, 20)) + np.linspace(0, 1, 20)
    pairs = np.corrcoef(video.reshape(6, -1))[np.triu_indices(6, 1)]
    assert consistency(video) == pytest.approx(pairs.mean(), abs=1e-6)


def test_long_videos_are_thinned() -> None:
    video = np.stack([scene()[:24, :24]] * 450).astype(np.float32)
    assert consistency(video) == pytest.approx(1.0)


def test_rotated_copies_are_consistent_once_they_are_turned_back() -> None:
    angles = np.linspace(0, 35, N)
    # `rotate` turns by -angle from x towards y.
    turned = np.stack([rotate(scene(), -angle, reshape=False, order=3) for angle in angles])
    restored, inside = undo_motion(turned, angle_deg=angles)
    assert consistency(turned) < 0.6
    assert consistency(restored, inside) > 0.98
    assert not inside[0, 0]
    assert inside[SIDE // 2, SIDE // 2]


def test_drift_is_undone_together_with_rotation_about_any_point() -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(25, 72, size=(60, 2))
    centre, angles = np.array([40.0, 60.0]), np.linspace(0, 20, N)
    shifts = np.stack([np.linspace(0, 6, N), np.linspace(0, -4, N)], axis=1)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    video = np.zeros((N, SIDE, SIDE))
    for picture, angle, shift in zip(video, np.radians(angles), shifts, strict=True):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for y, x in (points - centre) @ turn.T + centre + shift:
            picture += np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / 8)
    restored, inside = undo_motion(video, shifts, angles, (40.0, 60.0))
    assert consistency(video) < 0.8
    assert consistency(restored, inside) > 0.98


def test_motion_that_leaves_nothing_in_common_is_refused() -> None:
    with pytest.raises(AnalysisError, match="too large"):
        undo_motion(np.stack([scene()] * 2), shift_px=[[0, 0], [95, 0]])
    with pytest.raises(ConfigError, match="for each picture"):
        undo_motion(np.stack([scene()] * 2), angle_deg=[1.0])


def test_revision_counts_what_changed() -> None:
    before = np.stack([scene()] * 3)
    after = before.copy()
    after[1] = np.roll(before[1], SIDE // 2, axis=0)
    after[2] = 0.0
    changed = revision(before, after)
    assert changed[0] == 0.0
    assert 0.5 < changed[1] < 1.0
    assert changed[2] == 1.0
    assert np.isnan(revision(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))[0])


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        pytest.param(np.zeros((5, 8, 8)), AnalysisError, "found 0 of 5", id="all zero"),
        pytest.param(np.eye(8)[None], AnalysisError, "found 1 of 1", id="one window"),
        pytest.param(np.full((5, 8, 8), np.nan), AnalysisError, "NaN", id="NaN"),
        pytest.param(np.zeros((8, 8)), ConfigError, "T, H, W", id="a picture"),
    ],
)
def test_videos_without_contrast_are_refused(video: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        consistency(video)
    with pytest.raises(ConfigError, match="one shape"):
        revision(np.zeros((1, 4, 4)), np.zeros((2, 4, 4)))
