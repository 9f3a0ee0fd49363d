"""A camera written in Python behind a real core: what is rendered is what arrives, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.types import CameraRecipe, Frame, Shape

pytest.importorskip("pymmcore_plus", reason="needs the extra 'micromanager'")


def _recipe(**settings: object) -> CameraRecipe:
    return CameraRecipe(name="numbered", builder="scripted_cameras:numbered", **settings)  # type: ignore[arg-type]


def test_what_is_rendered_is_what_arrives() -> None:
    source = CameraProcess(_recipe(options={"n_frames": 300}, n_frames=300, fps=500.0))
    segment = source.open()
    assert segment.shape == Shape(12, 20)
    assert segment.pixel_size_nm == pytest.approx(108.0)
    assert segment.frame_interval_ms == pytest.approx(2.0)
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(64, 0.2)
    source.close()
    assert [event.number for event in events if isinstance(event, Frame)] == list(range(300)), events
    for event in events:
        assert isinstance(event, Frame)
        np.testing.assert_array_equal(event.data.ravel(), np.arange(240) + event.number)


def test_an_endless_camera_stops_when_asked() -> None:
    source = CameraProcess(_recipe(fps=500.0))
    source.open()
    events: list[SourceEvent] = []
    while len(events) < 20:
        events += source.read(64, 0.2)
    source.stop()
    while not source.is_finished:
        events += source.read(64, 0.2)
    source.close()
    assert [event.number for event in events if isinstance(event, Frame)] == list(range(len(events)))


def test_a_specimen_that_fails_ends_the_run_after_its_last_frame() -> None:
    source = CameraProcess(_recipe(options={"breaks_at": 7}, fps=500.0))
    source.open()
    events: list[SourceEvent] = []
    with pytest.raises(SourceError, match="after frame 6"):
        while True:
            events += source.read(64, 0.2)
    source.close()
    assert [event.number for event in events if isinstance(event, Frame)] == list(range(7))
