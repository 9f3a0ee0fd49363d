"""Cameras of known gain, measured from simulated stacks of a still scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dblink_live.camera.photon_transfer import StackStatistics, measure_dark, measure_gain
from dblink_live.errors import CalibrationError
from dblink_live.simulate.noise import digitise
from dblink_live.types import Camera, FloatImage, FrameArray

SHAPE = (48, 64)
N_FRAMES = 40
CAMERAS = {
    "scmos": Camera(pixel_size_nm=108, offset_adu=100, electrons_per_adu=0.46, read_noise_e=1.6),
    "coarse": Camera(pixel_size_nm=108, offset_adu=50, electrons_per_adu=3.0, read_noise_e=4.0, bit_depth=12),
    "emccd": Camera(pixel_size_nm=108, offset_adu=400, electrons_per_adu=15.0, em_gain=200, read_noise_e=60),
}


def take(
    camera: Camera, electrons: float, seed: int, n_frames: int = N_FRAMES, lamp: Callable[[int], float] = lambda _: 1.0
) -> StackStatistics:
    """Statistics of a scene that is half as bright at its left edge as at its right."""
    rng = np.random.default_rng(seed)
    scene = electrons * np.broadcast_to(np.linspace(0.5, 1.0, SHAPE[1]), SHAPE)
    stack = StackStatistics(f"{electrons:g} electrons")
    for number in range(n_frames):
        stack.add(digitise(rng.poisson(scene * lamp(number)).astype(np.float32), camera, rng))
    return stack


@pytest.mark.parametrize("name", CAMERAS)
def test_a_known_camera_is_recovered(name: str) -> None:
    camera = CAMERAS[name]
    dark = take(camera, 0, seed=1)
    facts = measure_dark(dark)
    gain = measure_gain(dark, [take(camera, level, seed=level) for level in (40, 200, 800)], camera.em_gain)
    # 20 differences of 3072 pixels give a variance to 0.6 % and three stacks the gain to 0.35 %; 2 % is 5 sigma, and
    # room for the heavier tails behind an EM register.
    assert gain.electrons_per_adu == pytest.approx(camera.electrons_per_adu, rel=0.02)
    assert abs(gain.electrons_per_adu - camera.electrons_per_adu) < 5 * gain.electrons_per_adu_error
    assert gain.electrons_per_adu_error < 0.01 * gain.electrons_per_adu
    # Rounding to whole counts adds 1/12 ADU^2 to the noise: 2.3 % of it at 1.33 ADU.
    rounded = np.hypot(camera.read_noise_e, camera.electrons_per_adu / np.sqrt(12))
    assert gain.read_noise_e == pytest.approx(float(rounded), rel=0.03)
    # The median of 3072 means of 40 frames: 1.25 * 4 ADU / sqrt(40 * 3072) = 0.014 ADU at most, and steps of 1/40.
    assert facts.offset_adu == pytest.approx(camera.offset_adu, abs=0.06)


def test_a_fixed_pattern_changes_the_offset_and_not_the_gain() -> None:
    pattern: FloatImage = np.random.default_rng(3).normal(100, 8, SHAPE).astype(np.float32)
    camera = Camera(pixel_size_nm=108, offset_adu=pattern, electrons_per_adu=0.46, read_noise_e=1.6)
    dark = take(camera, 0, seed=1)
    assert measure_dark(dark).offset_spread_adu == pytest.approx(8, rel=0.1)
    assert measure_gain(dark, [take(camera, 400, seed=2)]).electrons_per_adu == pytest.approx(0.46, rel=0.03)


def test_a_lamp_that_drifts_changes_nothing() -> None:
    camera = CAMERAS["scmos"]
    fading = take(camera, 400, seed=2, lamp=lambda number: 1 - 0.005 * number)
    # Left between neighbours: 0.5 % of a scene whose spread is 60 electrons, 0.05 e^2 beside 300.
    assert measure_gain(take(camera, 0, seed=1), [fading]).electrons_per_adu == pytest.approx(0.46, rel=0.03)


def test_the_em_gain_alone_decides_about_excess_noise() -> None:
    camera = CAMERAS["emccd"]
    dark, light = take(camera, 0, seed=1), take(camera, 200, seed=2)
    told = measure_gain(dark, [light], em_gain=200).electrons_per_adu
    assert told == pytest.approx(2 * 200 * measure_gain(dark, [light]).electrons_per_adu)


def test_wrong_stacks_are_refused() -> None:
    camera = CAMERAS["coarse"]
    dark, light = take(camera, 0, seed=1), take(camera, 400, seed=2)
    with pytest.raises(CalibrationError, match="below saturation"):
        measure_gain(dark, [light, take(camera, 40_000, seed=3)])
    with pytest.raises(CalibrationError, match="brighter and noisier"):
        measure_gain(light, [dark])
    with pytest.raises(CalibrationError, match="2 frames or more"):
        measure_gain(dark, [take(camera, 400, seed=2, n_frames=1)])
    with pytest.raises(CalibrationError, match="off the line"):
        measure_gain(dark, [light, take(CAMERAS["scmos"], 400, seed=4)])
    with pytest.raises(CalibrationError, match="cut off"):
        measure_dark(take(Camera(pixel_size_nm=108, read_noise_e=2.0), 0, seed=1))
    with pytest.raises(CalibrationError, match="a light stack or more"):
        measure_gain(dark, [])


def test_frames_of_another_shape_are_refused() -> None:
    stack = StackStatistics("dark.tif")
    small: FrameArray = np.zeros((4, 4), np.uint16)
    stack.add(small)
    with pytest.raises(CalibrationError, match=r"expected frames of \(4, 4\) in dark.tif"):
        stack.add(np.zeros((4, 5), np.uint16))
