"""Simulators: units, statistics, motion, and that the same seed tells the same story everywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import PRESETS, SCMOS, VideoParameters, make_camera, make_specimen, simulate_video
from dblink_live.simulate.blinking import BlinkSchedule, MapBlinking, memoryless_counts
from dblink_live.simulate.camera import CameraSimulator, Optics, render_spots
from dblink_live.simulate.filaments import draw_authors_field, draw_filament, sample_curve
from dblink_live.simulate.mitochondria import draw_mitochondrion
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.raster import rasterise
from dblink_live.simulate.specimen import BodySpecimen, FilamentSpecimen
from dblink_live.types import Camera, Grid, Shape

SHORT = replace(PRESETS["default"], n_windows=20)
STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_is_determined_by_its_seed(preset: str) -> None:
    parameters = replace(PRESETS[preset], n_windows=5)
    first, again, other = (simulate_video(parameters, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.counts, again.counts)
    assert np.array_equal(first.truth, again.truth)
    assert not np.array_equal(first.counts, other.counts)


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


def test_lines_cover_two_to_three_percent_of_a_field_and_bands_twice_that() -> None:
    def mean_share(width_nm: float) -> float:
        parameters = replace(SHORT, n_windows=1, width_nm=width_nm)
        return float(np.mean([simulate_video(parameters, seed).truth.mean() for seed in range(60)]))

    # The released simulator's first frames, of lines one pixel wide; later frames have 1.7-1.95 times as many pixels.
    line = mean_share(0.0)
    assert 0.015 < line < 0.035
    assert 1.7 < mean_share(PRESETS["default"].width_nm) / line < 2.05


def test_localizations_stay_within_the_jitter_of_the_structure() -> None:
    mask = np.zeros((64, 64), bool)
    mask[32, 10:50] = True
    blinking = MapBlinking(noise=0.0, cluster_probability=0.0, jitter_px=1)
    counts = memoryless_counts(mask, 2000, blinking, np.random.default_rng(0))
    rows, cols = np.nonzero(counts)
    assert set(rows) == {31, 32, 33}
    assert cols.min() >= 9
    assert cols.max() <= 50
    assert counts.sum() == 2000  # ceil(0.002 x 40 px) = 1 a frame


@pytest.mark.parametrize("density", [0.25, 0.5, 1.0, 2.5])
def test_density_scales_the_mean_number_of_localizations(density: float) -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:30, 20:50] = True
    blinking = MapBlinking(density=density, noise=0.0, cluster_probability=0.0, jitter_px=0)
    n_frames = 4000
    counts = memoryless_counts(mask, n_frames, blinking, np.random.default_rng(0))
    # Binomial rounding of the fractional part: its standard error is below 0.5 / sqrt(4000).
    assert counts.sum() / n_frames == pytest.approx(density, abs=4 * 0.5 / n_frames**0.5)


def test_missing_windows_are_empty_and_say_so() -> None:
    video = simulate_video(replace(SHORT, missing_share=0.5, n_windows=60), 2)
    gone = video.present == 0
    assert 5 < gone.sum() < 45
    assert video.counts[gone].sum() == 0
    assert (video.present[video.counts.sum(axis=(1, 2)) > 0] > 0).all()


def test_motion_moves_by_speed_times_frames_and_turns_about_its_centre() -> None:
    motion = RigidMotion((2.0, -1.0), 0.5, (100.0, 100.0))
    centre = motion.apply(np.array([[100.0, 100.0]]), 10)
    np.testing.assert_allclose(centre, [[120.0, 90.0]])
    turned = RigidMotion((0.0, 0.0), 9.0, (0.0, 0.0)).apply(np.array([[1.0, 0.0]]), 10)
    np.testing.assert_allclose(turned, [[0.0, 1.0]], atol=1e-12)


def test_faster_presets_move_farther() -> None:
    def displacement(speed: float) -> float:
        video = simulate_video(replace(SHORT, n_windows=200, speed=speed), 5)
        rows = [np.nonzero(frame)[0].mean() for frame in (video.truth[0], video.truth[100])]
        return abs(rows[1] - rows[0])

    assert displacement(0.0) == 0.0
    assert displacement(8.0) > displacement(1.0) > 0.0


def test_mitochondria_are_filled_bodies_of_the_stated_size() -> None:
    rng = np.random.default_rng(0)
    grid = Grid(40.0, Shape(256, 256))
    body = draw_mitochondrion(rng, (10_240.0, 10_240.0), speed=0.0)
    specimen = BodySpecimen(grid, [body])
    area_nm2 = specimen.mask_at(0).sum() * 40.0**2
    outline = body.outline_at(np.linspace(0, 2 * np.pi, 2000, endpoint=False), 0)
    # Pixels whose centre lies inside against the integral of r^2 / 2: they differ by about a quarter of a pixel
    # along the outline.
    assert area_nm2 == pytest.approx(np.pi * np.mean(outline**2), rel=0.08)
    assert outline.max() <= 22 * 40.0


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


def test_a_spot_lands_on_its_pixel_and_keeps_its_light() -> None:
    image = render_spots(np.array([[10.0, 20.0]]), np.array([1000.0]), 0.9, Shape(32, 48), reach_px=6)
    assert np.unravel_index(image.argmax(), image.shape) == (10, 20)
    # 6 px are 6.7 sigma: what falls outside is below 1e-10; the table of the distribution errs by 2e-7 an edge.
    assert image.sum() == pytest.approx(1000.0, rel=1e-5)
    rows = (image.sum(axis=1) * np.arange(32)).sum() / image.sum()
    assert rows == pytest.approx(10.0, abs=1e-3)


def test_a_spot_half_outside_loses_half_of_its_light() -> None:
    image = render_spots(np.array([[-0.5, 20.0]]), np.array([1000.0]), 0.9, Shape(32, 48), reach_px=6)
    assert image.sum() == pytest.approx(500.0, rel=1e-3)


def empty_camera(camera: Camera, background_e: float) -> CameraSimulator:
    specimen = FilamentSpecimen(Grid(40.0, Shape(256, 256)), [], [STILL])
    return CameraSimulator(
        specimen, Shape(64, 64), BlinkSchedule(0, 5.0), camera, Optics(background_e=background_e), seed=1
    )


def test_background_has_the_mean_and_variance_of_photons_and_read_noise() -> None:
    simulator = empty_camera(SCMOS, 20.0)
    counts = np.stack([simulator.frame(n) for n in range(40)]).astype(float)
    electrons = (counts - SCMOS.offset_adu) * SCMOS.electrons_per_adu
    # 163,840 pixels: the mean is known to 0.012 e, the variance to 0.4 %; rounding adds gain^2 / 12.
    assert electrons.mean() == pytest.approx(20.0, abs=0.06)
    variance = 20.0 + SCMOS.read_noise_e**2 + SCMOS.electrons_per_adu**2 / 12  # type: ignore[operator]
    assert electrons.var() == pytest.approx(variance, rel=0.02)


def test_electron_multiplication_doubles_the_variance() -> None:
    camera = Camera(160.0, offset_adu=100.0, electrons_per_adu=10.0, em_gain=300.0, read_noise_e=0.0)
    simulator = empty_camera(camera, 20.0)
    counts = np.stack([simulator.frame(n) for n in range(20)]).astype(float)
    electrons = (counts - 100.0) * 10.0 / 300.0
    assert electrons.mean() == pytest.approx(20.0, rel=0.01)
    assert electrons.var() == pytest.approx(40.0, rel=0.05)


def test_frames_depend_on_seed_and_number_alone() -> None:
    first, again = (make_camera("filaments", Shape(48, 40), seed=5) for _ in range(2))
    assert first.frame(0).shape == (48, 40)
    straight = first.frame(130)
    for n in (3, 7, 64):  # in whatever order the frames before it were asked for
        again.frame(n)
    assert np.array_equal(straight, again.frame(130))
    assert not np.array_equal(straight, make_camera("filaments", Shape(48, 40), seed=6).frame(130))


def test_molecules_stay_on_for_several_frames() -> None:
    schedule = BlinkSchedule(seed=2, on_per_frame=20.0, mean_on_frames=4.0)
    on = [{tuple(share) for share in schedule.at(n).shares} for n in range(400)]
    both = np.mean([len(a & b) for a, b in pairwise(on)])
    # An event of length d touches d + 1 frames on average and d pairs of neighbours: 4 of 5 are seen again.
    assert both / np.mean([len(a) for a in on]) == pytest.approx(0.8, abs=0.03)
    # 20 molecules on at a time touch 20 x (4 + 1) / 4 = 25 a frame.
    assert np.mean([len(a) for a in on]) == pytest.approx(25.0, rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"speed": -1.0}, "speed of 0 or more, found -1", id="negative speed"),
        pytest.param({"density": float("nan")}, "density", id="nan density"),
        pytest.param({"structure": "fillaments"}, "fillaments", id="unknown structure"),
        pytest.param({"n_windows": 0}, "at least 1 window", id="no windows"),
    ],
)
def test_impossible_videos_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VideoParameters(**change)  # type: ignore[arg-type]


def test_unknown_specimens_and_tiny_cameras_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 'golgi'"):
        make_specimen("golgi", Shape(64, 64), 160.0, 40.0, seed=0)
    with pytest.raises(ConfigError, match="at least 8 x 8"):
        make_camera("filaments", Shape(4, 64), seed=0)
