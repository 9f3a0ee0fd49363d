"""Specimens: geometry, motion, and that truth and molecules agree at every frame."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import make_specimen
from dblink_live.simulate.motion import RigidMotion, draw_bending
from dblink_live.simulate.specimen import REACH_NM, FilamentSpecimen
from dblink_live.simulate.structures.bodies import BodySpecimen
from dblink_live.simulate.structures.filaments import draw_authors_field, draw_filament, sample_curve
from dblink_live.simulate.structures.mitochondria import Body, draw_mitochondrion
from dblink_live.simulate.structures.raster import rasterise
from dblink_live.types import Grid, Shape

STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))


def test_a_filament_steps_turns_and_ends_as_the_generator_says() -> None:
    rng = np.random.default_rng(0)
    filaments = [draw_filament(rng, -1e6, (1e6, 1e6)) for _ in range(50)]
    for vertices in filaments:
        steps = np.diff(vertices, axis=0)
        lengths = np.hypot(*steps.T)
        assert (lengths >= 500.0 - 1e-6).all()
        assert (lengths <= 750.0 + 1e-6).all()
        # It stops with the step that completes 10-15 um.
        assert 10_000 <= lengths.sum() <= 15_750
        cosines = (steps[1:] * steps[:-1]).sum(axis=1) / (lengths[1:] * lengths[:-1])
        assert cosines.min() >= 0.85 - 1e-9


def test_the_released_simulator_draws_about_seven_filaments_a_field() -> None:
    rng = np.random.default_rng(1)
    counts = [len(draw_authors_field(rng, (5120.0, 5120.0))) for _ in range(400)]
    # Candidates end at the first that starts within 160 nm of the border, P = 1 - (15/16)^2 = 0.121: mean 7.3 before
    # it, less
    # the few of a single vertex. The mean of 400 geometric numbers is known to 0.4 (sd 7.7 / 20).
    assert 5.0 < np.mean(counts) < 8.5


def test_motion_moves_by_speed_times_frames_and_turns_about_its_centre() -> None:
    motion = RigidMotion((2.0, -1.0), 0.5, (100.0, 100.0))
    centre = motion.apply(np.array([[100.0, 100.0]]), 10)
    np.testing.assert_allclose(centre, [[120.0, 90.0]])
    turned = RigidMotion((0.0, 0.0), 9.0, (0.0, 0.0)).apply(np.array([[1.0, 0.0]]), 10)
    np.testing.assert_allclose(turned, [[0.0, 1.0]], atol=1e-12)


def body_of(radius_nm: float | list[float], **changes: object) -> Body:
    """A body around (5000, 5000) nm that stands still: of one radius, or of those at equally spaced angles."""
    radius = np.full(40, radius_nm) if isinstance(radius_nm, float) else np.array(radius_nm)
    still = Body((5000.0, 5000.0), (0.0, 0.0), radius, np.zeros(len(radius)), np.zeros(len(radius)))
    return replace(still, **changes)  # type: ignore[arg-type]


def test_a_body_covers_its_area_about_its_centre() -> None:
    specimen = BodySpecimen(Grid(40.0, Shape(256, 256)), [body_of(800.0)])
    rows, cols = np.nonzero(specimen.mask_at(0))
    # Pixels whose centre lies inside a circle of 20 px: the number of lattice points errs by far less than 2 %.
    assert len(rows) * 40.0**2 == pytest.approx(math.pi * 800.0**2, rel=0.02)
    assert (rows.mean() + 0.5) * 40.0 == pytest.approx(5000.0, abs=10.0)
    assert (cols.mean() + 0.5) * 40.0 == pytest.approx(5000.0, abs=10.0)


def test_angles_count_from_y_towards_x() -> None:
    # Long towards larger x, a quarter of a turn from y.
    specimen = BodySpecimen(Grid(40.0, Shape(256, 256)), [body_of([200.0, 1600.0, 200.0, 200.0])])
    rows, cols = np.nonzero(specimen.mask_at(0))
    assert (cols.max() + 0.5) * 40.0 == pytest.approx(6600.0, abs=60.0)
    assert (rows.max() + 0.5) * 40.0 < 6000.0


def test_molecules_fill_bodies_evenly() -> None:
    rng = np.random.default_rng(0)
    lobed = 200.0 + 1000.0 * np.abs(np.sin(np.linspace(0.0, 2 * np.pi, 40, endpoint=False))) ** 20
    bodies = [body_of(list(lobed)), body_of(300.0, centre_nm=(900.0, 900.0))]
    specimen = BodySpecimen(Grid(40.0, Shape(256, 256)), bodies)
    placed = specimen.place(rng.random((40_000, 3)), 0)
    mask = specimen.mask_at(0)
    rows, cols = np.floor(placed / 40.0).astype(int).T
    assert mask[rows, cols].mean() > 0.9  # the rest lies in pixels that the outline cuts
    seen = np.zeros(mask.shape)
    np.add.at(seen, (rows, cols), 1)
    # 40,000 molecules on some 500 pixels: pixels well inside hold the same number, but for its Poisson error. With
    # places even in angle instead, the middle would hold several times more than the tips of the lobes.
    inner = mask.copy()
    for axis in (0, 1):
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    expected = 40_000 / (0.5 * np.sum(lobed**2) * 2 * np.pi / 40 + np.pi * 300.0**2) * 40.0**2
    assert seen[inner].mean() == pytest.approx(expected, rel=0.05)
    assert seen[inner].std() < 2 * math.sqrt(expected)


def test_a_body_breathes_and_stops_where_it_is_told_to() -> None:
    grid = Grid(40.0, Shape(256, 256))
    breathing = body_of(600.0, breathing_nm=np.full(40, 120.0), breathing_per_frame=np.full(40, 0.0025))
    sizes = [BodySpecimen(grid, [breathing]).mask_at(frame).sum() for frame in (0, 100, 200)]
    assert sizes[1] == pytest.approx(sizes[0] * 1.2**2, rel=0.03)
    assert sizes[2] == sizes[0]
    drifting = BodySpecimen(grid, [body_of(600.0, velocity_nm_per_frame=(4.0, 0.0), stop_frame=200.0)])
    assert np.array_equal(drifting.mask_at(200), np.roll(drifting.mask_at(0), 20, axis=0))
    assert np.array_equal(drifting.mask_at(500), drifting.mask_at(200))


def test_released_bodies_stop_at_the_upper_and_left_border() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        body = draw_mitochondrion(rng, (5120.0, 5120.0), speed=8.0)
        if math.isfinite(body.stop_frame) and body.stop_frame < 1e6:
            centre = np.array(body.centre_nm) + np.array(body.velocity_nm_per_frame) * body.stop_frame
            # The corner of its patch, 21 px of 40 nm up and left of the centre, touches the border.
            assert centre.min() == pytest.approx(21 * 40.0, abs=1e-6)
        else:
            assert min(body.velocity_nm_per_frame) > -1e-3


def test_a_filament_is_a_band_of_its_width() -> None:
    vertices = np.array([[1000.0, 300.0], [1300.0, 4700.0]])
    grid = Grid(40.0, Shape(64, 128))
    for width_nm in (80.0, 96.0, 200.0):
        area = FilamentSpecimen(grid, [vertices], [STILL], width_nm).mask_at(0).sum() * 40.0**2
        # Length times width and two half discs at the ends; 110 columns average the pixel edges to about 2 %.
        length = math.dist(*vertices)
        assert area == pytest.approx(length * width_nm + math.pi * width_nm**2 / 4, rel=0.03)


@pytest.mark.parametrize("pitch_nm", [20.0, 40.0, 100.0])
def test_molecules_lie_on_the_whole_width_of_a_filament(pitch_nm: float) -> None:
    vertices = np.array([[1000.0, 300.0], [1000.0, 4700.0]])
    specimen = FilamentSpecimen(Grid(pitch_nm, Shape(60, 120)), [vertices], [STILL], width_nm=96.0)
    y, x = specimen.place(np.random.default_rng(0).random((5000, 3)), 0).T
    assert 950.0 < y.min() < 960.0
    assert 1040.0 < y.max() < 1050.0
    # Uniform from end to end: the mean of 5000 is known to 18 nm.
    assert x.mean() == pytest.approx(2500.0, abs=75.0)
    assert x.min() > 250.0
    assert x.max() < 4750.0


def test_a_filament_without_width_is_one_pixel_wide() -> None:
    vertices = np.array([[1010.0, 300.0], [1010.0, 4700.0]])
    mask = FilamentSpecimen(Grid(40.0, Shape(64, 128)), [vertices], [STILL], width_nm=0.0).mask_at(0)
    assert np.flatnonzero(mask.any(axis=1)).tolist() == [25]


@pytest.mark.parametrize("kind", ["filaments", "mitochondria"])
def test_molecules_sit_on_the_structure_at_every_frame(kind: str) -> None:
    specimen = make_specimen(kind, Shape(48, 48), 160.0, 40.0, seed=3, speed=8.0)
    shares = np.random.default_rng(0).random((500, 3))
    for frame in (0, 700):
        grown = np.pad(specimen.mask_at(frame), 1)
        grown = sum(np.roll(grown, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))[1:-1, 1:-1] > 0
        rows, cols = np.floor(specimen.place(shares, frame) / 40.0).astype(int).T
        inside = (rows >= 0) & (rows < grown.shape[0]) & (cols >= 0) & (cols < grown.shape[1])
        assert inside.sum() > 50
        assert grown[rows[inside], cols[inside]].mean() > 0.99


def test_a_curve_has_no_holes_on_the_grid() -> None:
    curve = sample_curve(np.array([[0.0, 0.0], [400.0, 900.0]]), 10.0)
    mask = rasterise(curve, Grid(40.0, Shape(16, 32)))
    cols = np.flatnonzero(mask.any(axis=0))
    assert np.array_equal(cols, np.arange(cols[0], cols[-1] + 1))


def test_structure_of_a_live_specimen_stays_in_view_for_hours() -> None:
    for kind in ("filaments", "mitochondria"):
        specimen = make_specimen(kind, Shape(64, 64), 160.0, 40.0, seed=1, speed=8.0)
        at_start = specimen.mask_at(0).mean()
        later = [specimen.mask_at(frame).mean() for frame in (20_000, 200_000, 2_000_000)]
        # Drift turns back after 2 um, a fifth of the field.
        assert REACH_NM <= 0.2 * 64 * 160.0
        assert min(later) > 0.4 * at_start


def test_drift_turns_back_at_its_reach() -> None:
    motion = RigidMotion((2.0, -1.0), 0.0, (0.0, 0.0), reach_nm=100.0)
    origin = np.zeros((1, 2))
    places = np.array([motion.apply(origin, frame)[0] for frame in (0, 25, 50, 75, 100, 150, 200)])
    np.testing.assert_allclose(places[:, 0], [0, 50, 100, 50, 0, -100, 0], atol=1e-9)
    np.testing.assert_allclose(places[:, 1], [0, -25, -50, -75, -100, -50, 0], atol=1e-9)


def test_each_filament_can_move_on_its_own() -> None:
    grid = Grid(40.0, Shape(128, 128))
    upper = np.array([[1000.0, 500.0], [1000.0, 4500.0]])
    lower = np.array([[4000.0, 500.0], [4000.0, 4500.0]])
    moving = RigidMotion((4.0, 0.0), 0.0, (0.0, 0.0))
    specimen = FilamentSpecimen(grid, [upper, lower], [STILL, moving], width_nm=0.0)
    rows = np.flatnonzero(specimen.mask_at(100).any(axis=1))
    assert rows.tolist() == [25, 110]
    with pytest.raises(ConfigError, match="expected 1 motion or 2, one a filament, found 3"):
        FilamentSpecimen(grid, [upper, lower], [STILL] * 3)


def test_bending_carries_neighbours_along_and_returns() -> None:
    bending = draw_bending(np.random.default_rng(2), amplitude_nm=200.0, period_frames=500.0)
    line = np.column_stack([np.full(500, 2500.0), np.linspace(0.0, 5000.0, 500)])
    for frame in (0, 100, 1000):
        displaced = bending.displacement(line, frame)
        # Three waves of 200 / sqrt(3) nm: 346 nm at most, where all agree.
        assert np.hypot(*displaced.T).max() <= 200.0 * math.sqrt(3) + 1e-9
        # The shortest wave is 4 um long: neighbours 10 nm apart differ by 2 pi x 10 / 4000 of that at most.
        assert np.hypot(*np.diff(displaced, axis=0).T).max() < 346.5 * 2 * math.pi * 10.1 / 4000.0
    assert np.abs(bending.displacement(line, 100) - bending.displacement(line, 0)).max() > 1.0
    assert np.array_equal(bending.displacement(line, 100), bending.displacement(line, 100))


@pytest.mark.parametrize("kind", ["filaments", "mitochondria", "er"])
def test_the_smallest_field_still_holds_structure(kind: str) -> None:
    for seed in range(12):
        assert make_specimen(kind, Shape(8, 8), 65.0, 40.0, seed).mask_at(0).any()
