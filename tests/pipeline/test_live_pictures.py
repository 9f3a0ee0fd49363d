"""What is told to viewers beside the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.bus import Publisher
from dblink_live.pipeline import preview_publisher
from dblink_live.types import Grid, Reconstruction, Shape


def test_drift_is_followed_once_the_pictures_have_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_publisher, "DRIFT_EVERY_S", 0.0)
    scene = np.zeros((64, 64), np.float32)
    scene[20:40, 30] = scene[45, 10:30] = 1.0
    grid = Grid(40.0, Shape(64, 64))
    with Publisher() as publisher:
        live = preview_publisher.PreviewPublisher(publisher, "a run")
        for window in range(preview_publisher.SETTLED_PICTURES + 3):
            moved = np.roll(scene, max(0, window - preview_publisher.SETTLED_PICTURES), axis=0)
            assert live.drift_nm is None or window > preview_publisher.SETTLED_PICTURES
            live.reconstruction(picture(window, moved), grid)
        assert live.drift_nm is not None
        # Two pixels down; a parabola through the peak of so few lines is a tenth of a pixel off at most.
        np.testing.assert_allclose(live.drift_nm, (80.0, 0.0), atol=4.0)
        live.begin_segment()
        assert live.drift_nm is None


def picture(window: int, image: np.ndarray) -> Reconstruction:
    return Reconstruction(segment=0, window=window, image=image, lookahead=8, stage="live", latency_s=0.1)
