"""``sim:``: the frames of a specimen whose truth the parent can recompute, through a real core."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.errors import ConfigError, SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.sources import default_camera, open_source, parse_source, simulator_of
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.types import Frame, Shape

pytest.importorskip("pymmcore_plus", reason="needs the extra 'micromanager'")


@pytest.mark.parametrize("specimen", ["filaments", "mitochondria"])
def test_the_parent_can_recompute_every_frame(specimen: str) -> None:
    spec = parse_source(f"sim:{specimen}?fps=200&frames=40&seed=5&size=24")
    source = open_source(spec, launch=CameraProcess)
    segment = source.open()
    simulator = simulator_of(spec)
    assert segment.shape == simulator.shape == Shape(24, 24)
    assert segment.pixel_size_nm == pytest.approx(simulator.camera.pixel_size_nm)
    assert segment.exposure_ms == pytest.approx(5.0)
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(64, 0.2)
    source.close()
    frames = [event for event in events if isinstance(event, Frame)]
    assert [frame.number for frame in frames] == list(range(40))
    for frame in frames:
        np.testing.assert_array_equal(frame.data, simulator.frame(frame.number))
    assert not np.array_equal(frames[0].data, frames[1].data)


def test_seeds_give_different_specimens() -> None:
    frames = [simulator_of(parse_source(f"sim:filaments?seed={seed}&size=32")).frame(0) for seed in (0, 1)]
    assert not np.array_equal(*frames)


def test_only_the_simulated_camera_vouches_for_its_gain() -> None:
    camera = default_camera(parse_source("sim:filaments"))
    assert camera is not None
    assert camera.is_calibrated
    assert default_camera(parse_source("tiff:x.tif")) is None
    with pytest.raises(SourceError, match="expected a simulated source"):
        simulator_of(parse_source("tiff:x.tif"))


def test_a_field_too_small_is_refused_as_the_simulator_puts_it() -> None:
    with pytest.raises(ConfigError, match="at least 8 x 8 pixels"):
        open_source("sim:filaments?size=4", launch=CameraProcess).open()
