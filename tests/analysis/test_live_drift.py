"""Drift that is followed while pictures come."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from dblink_live.analysis.drift.live_drift import LiveDrift

SCENE = gaussian_filter(np.random.default_rng(3).random((96, 80)), 2.0).astype(np.float32)


def test_a_path_is_followed_against_the_first_picture_that_shows_anything() -> None:
    drift = LiveDrift(pitch_nm=40.0)
    assert drift.add(np.zeros_like(SCENE)) is None
    assert drift.add(SCENE) == (0.0, 0.0)
    for y, x in ((1, 0), (3, -2), (-4, 5)):
        found = drift.add(np.roll(SCENE, (y, x), axis=(0, 1)))
        # What is rolled in at the border belongs elsewhere: a tenth of a pixel.
        np.testing.assert_allclose(found, (40.0 * y, 40.0 * x), atol=4.0)


def test_a_picture_of_something_else_has_no_drift() -> None:
    drift = LiveDrift(pitch_nm=40.0)
    drift.add(SCENE)
    assert drift.add(np.zeros_like(SCENE)) is None
    assert drift.add(np.full_like(SCENE, np.nan)) is None
    assert drift.add(np.random.default_rng(4).random(SCENE.shape, dtype=np.float32)) is None
