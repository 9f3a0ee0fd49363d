"""Fiducial beads before the simulated camera: found, followed, and turned back by."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live import localize
from dblink_live.analysis.drift.fiducials import find_fiducials, track_fiducials
from dblink_live.errors import ConfigError
from dblink_live.simulate import SCMOS
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.camera import CameraSimulator
from dblink_live.simulate.fiducials import Beads
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.types import Grid, Shape

STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))
FIELD = Shape(24, 24)
N_FRAMES = 60
START_NM = np.array([[900.0, 1000.0], [1500.0, 2900.0], [2800.0, 1700.0]])


def test_beads_tell_the_way_and_the_angle_of_the_stage() -> None:
    # Against the sense of `rotation_deg`, which counts from x towards y.
    motion = RigidMotion((2.0, -1.0), -0.05, (1920.0, 1920.0))
    specimen = FilamentSpecimen(Grid(40.0, Shape(96, 96)), [], [STILL])
    camera = CameraSimulator(specimen, FIELD, BlinkSchedule(1, 0.0), beads=Beads(START_NM, motion))
    table = localize(np.stack([camera.frame(t) for t in range(N_FRAMES)]), SCMOS)
    pixel_nm = SCMOS.pixel_size_nm
    tracks = track_fiducials(table, pixel_nm, find_fiducials(table, pixel_nm), block_frames=20)
    assert tracks.position_nm.shape == (3, 3, 2)
    middles = (0.0, 20.0, 40.0)
    # 5000 photons place a bead to 3 nm, the median of twenty to 1 nm; beads 1.5 um apart then turn by 0.04 degrees.
    np.testing.assert_allclose(tracks.rotation_deg(), [0.05 * t for t in middles], atol=0.15)
    path = tracks.drift()
    moved = [motion.apply(START_NM, 9.5 + t).mean(axis=0) - motion.apply(START_NM, 9.5).mean(axis=0) for t in middles]
    np.testing.assert_allclose(np.stack([path.y_nm, path.x_nm], axis=1), moved, atol=4.0)


@pytest.mark.parametrize("places", [np.zeros(2), np.zeros((3, 3)), np.full((1, 2), np.nan)])
def test_places_that_are_none_are_refused(places: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="places of beads"):
        Beads(places, STILL)
