"""The simulated camera: units, light, noise, blinking, and frames that depend on seed and number alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import SCMOS, make_camera, make_specimen
from dblink_live.simulate.blinking import BlinkSchedule, Emissions
from dblink_live.simulate.camera import ON_PER_UM2, CameraSimulator, Optics, render_spots
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.noise import poisson_quantiles
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.types import Camera, Grid, Shape

STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))
SHORT_CURVE = np.array([[2560.0, 2560.0], [2560.0, 2590.0]])


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


def test_unknown_specimens_and_tiny_cameras_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 'golgi'"):
        make_specimen("golgi", Shape(64, 64), 160.0, 40.0, seed=0)
    with pytest.raises(ConfigError, match="at least 8 x 8"):
        make_camera("filaments", Shape(4, 64), seed=0)


class OneMolecule(BlinkSchedule):
    """A molecule that is always on, at the start of whatever curve it sits on."""

    def at(self, frame: int) -> Emissions:
        return Emissions(np.array([[0.0, 0.5, 0.5]]), np.array([50_000.0]))


@pytest.mark.parametrize("pixel_size_nm", [65.0, 108.0, 160.0])
def test_a_molecule_is_on_the_camera_pixel_and_on_the_grid_pixel_that_hold_it(pixel_size_nm: float) -> None:
    place_nm = (2330.0, 1610.0)  # (y, x) from the outer corner of the field
    shape = Shape(80, 100)
    grid = Grid.covering(shape, pixel_size_nm, 40.0)
    vertices = np.array([place_nm, (place_nm[0], place_nm[1] + 30.0)])
    specimen = FilamentSpecimen(grid, [vertices], [STILL], width_nm=0.0)
    camera = Camera(pixel_size_nm, offset_adu=100.0, electrons_per_adu=1.0)
    simulator = CameraSimulator(specimen, shape, OneMolecule(0, 1.0), camera, Optics(background_e=0.0))
    counts = simulator.frame(0).astype(float) - 100.0
    rows, cols = np.nonzero(simulator.truth_at(0))
    assert (rows[0], cols[0]) == (int(2330.0 // 40), int(1610.0 // 40))
    # Centre of light, with the centre of pixel (0, 0) at (0, 0), known to 140 nm / sqrt(50,000 photons) = 0.6 nm; the
    # molecule lies anywhere on the first 20 nm of its curve.
    y = (counts.sum(axis=1) * np.arange(80)).sum() / counts.sum()
    x = (counts.sum(axis=0) * np.arange(100)).sum() / counts.sum()
    assert ((y + 0.5) * pixel_size_nm, (x + 0.5) * pixel_size_nm) == pytest.approx(place_nm, abs=4.0)
    # Its own camera pixel is the brightest, or next to it where the molecule sits near an edge.
    peak = np.array(np.unravel_index(counts.argmax(), counts.shape))
    assert np.abs(peak - np.array(place_nm) // pixel_size_nm).max() <= 1
    by_grid = grid.index_of(np.array([y]), np.array([x]), pixel_size_nm)
    assert abs(int(by_grid[0][0]) - rows[0]) <= 1
    assert abs(int(by_grid[1][0]) - cols[0]) <= 1


@pytest.mark.parametrize("mean", [0.0, 0.3, 20.0, 400.0])
def test_poisson_quantiles_have_the_moments_of_a_poisson_distribution(mean: float) -> None:
    quantiles = poisson_quantiles(mean).astype(float)
    # What the table leaves out is rarer than 1 in 131,072.
    assert quantiles.mean() == pytest.approx(mean, abs=2e-3, rel=1e-4)
    assert quantiles.var() == pytest.approx(mean, abs=2e-3, rel=2e-3)


def test_light_on_the_background_keeps_its_own_photon_noise() -> None:
    specimen = FilamentSpecimen(Grid(40.0, Shape(128, 128)), [SHORT_CURVE], [STILL], 0.0)
    camera = Camera(160.0)
    simulator = CameraSimulator(specimen, Shape(32, 32), OneMolecule(0, 1.0), camera, Optics(background_e=10.0))
    frames = np.stack([simulator.frame(n) for n in range(300)]).astype(float)
    expected = simulator.expected_electrons(0)
    bright = expected > 100.0
    ratio = frames.var(axis=0)[bright] / expected[bright]
    # The variance of 300 values is known to sqrt(2 / 300) = 8 %, of some 30 pixels together to 1.5 %.
    assert ratio.mean() == pytest.approx(1.0, abs=0.06)
    assert frames.mean(axis=0)[bright].sum() == pytest.approx(expected[bright].sum(), rel=0.005)


def test_counts_saturate_at_the_bit_depth() -> None:
    specimen = FilamentSpecimen(Grid(40.0, Shape(128, 128)), [SHORT_CURVE], [STILL], 0.0)
    simulator = CameraSimulator(specimen, Shape(32, 32), OneMolecule(0, 1.0), Camera(160.0, bit_depth=12))
    assert simulator.frame(0).max() == 4095


@pytest.mark.parametrize("kind", ["filaments", "mitochondria", "er"])
def test_a_made_camera_has_the_density_of_molecules_that_it_states(kind: str) -> None:
    simulator = make_camera(kind, Shape(96, 96), seed=4, speed=0.0)
    background = simulator.optics.background_e
    light = np.mean([simulator.expected_electrons(n).sum() - background * 96**2 for n in range(0, 600, 6)])
    # 1200 photo-electrons per molecule and frame (`BlinkSchedule.mean_photons`). 100 frames of 24 molecules of uneven
    # brightness and part-time exposure know the mean to 3 %; the share in view adds 1 %, light lost outside some more.
    assert light / 1200.0 / (96 * 0.16) ** 2 == pytest.approx(ON_PER_UM2[kind], rel=0.15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: Optics(psf_sigma_nm=0.0), "expected psf_sigma_nm of 1 or more, found 0.0", id="psf"),
        pytest.param(lambda: Optics(background_e=-1.0), "background_e of 0 or more, found -1", id="background"),
        pytest.param(lambda: BlinkSchedule(0, float("inf")), "on_per_frame of 0 or more, found inf", id="endless"),
        pytest.param(
            lambda: BlinkSchedule(0, 1.0, mean_on_frames=100.0), "mean_on_frames from 0.1 to 16", id="on-time"
        ),
        pytest.param(
            lambda: make_camera("filaments", Shape(16, 16), seed=-1), "seed of 0 or more, found -1", id="seed"
        ),
        pytest.param(lambda: make_camera("filaments", Shape(16, 16), 0, speed=-1.0), "speed of 0 or more", id="speed"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
