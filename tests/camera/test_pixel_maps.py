"""Maps of single pixels, measured on simulated chips whose pixels are known."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.camera.photon_transfer import GainFacts, StackStatistics, measure_gain
from dblink_live.camera.pixel_maps import PixelMaps, measure_pixels
from dblink_live.simulate.noise import digitise
from dblink_live.simulate.sensors import SCMOS, uneven_sensor
from dblink_live.types import Camera, Shape

SHAPE = Shape(24, 32)
CHIP = uneven_sensor(SCMOS, SHAPE, seed=7)


def take(camera: Camera, electrons: float, seed: int, n_frames: int) -> StackStatistics:
    rng = np.random.default_rng(seed)
    stack = StackStatistics(f"{electrons:g} electrons")
    for _ in range(n_frames):
        stack.add(digitise(rng.poisson(electrons, SHAPE).astype(np.float32), camera, rng))
    return stack


def measure(camera: Camera, n_dark: int, n_light: int) -> tuple[PixelMaps, GainFacts]:
    dark = take(camera, 0, seed=1, n_frames=n_dark)
    lights = [take(camera, level, seed=level, n_frames=n_light) for level in (300, 1200)]
    gain = measure_gain(dark, lights)
    pixels = measure_pixels(dark, lights, gain)
    assert pixels is not None
    return pixels, gain


def test_maps_of_an_uneven_chip_are_nearer_the_truth_than_one_number() -> None:
    pixels, gain = measure(CHIP, n_dark=400, n_light=1000)
    offset, read_noise = np.asarray(CHIP.offset_adu), np.asarray(CHIP.read_noise_e)
    # 400 frames know an offset to noise / 20 = 0.17 ADU.
    assert np.sqrt(np.mean((pixels.offset_adu - offset) ** 2)) < 0.2
    assert pixels.own_offset > 0.98
    assert pixels.electrons_per_adu is not None
    truth = read_noise / np.asarray(CHIP.electrons_per_adu)
    rounded = np.sqrt(truth**2 + 1 / 12)
    # 200 differences know a noise to 1 / sqrt(2 * 200) = 5 %; the chip's pixels differ by 30 %.
    assert np.std(np.log(pixels.noise_adu / rounded)) < 0.06
    # 500 differences twice know a gain to 4.5 %, and the pixels differ by 3 %: what is drawn between the two should
    # err by
    # 3 % * 4.5 / hypot(3, 4.5) = 2.5 %, less than one number for all. 6 % of it is chance over 768 pixels, twice.
    own = np.asarray(CHIP.electrons_per_adu)
    error = np.std(np.log(pixels.electrons_per_adu / own))
    assert error < 0.92 * np.std(np.log(own))
    assert pixels.own_gain is not None
    assert 0.1 < pixels.own_gain < 0.6
    assert np.mean(pixels.electrons_per_adu) == pytest.approx(gain.electrons_per_adu, rel=0.01)


def test_chance_alone_makes_flat_maps() -> None:
    # An even chip and few frames: raw variances of single pixels would scatter by 26 % and gains by as much.
    pixels, gain = measure(SCMOS, n_dark=60, n_light=60)
    assert np.std(pixels.noise_adu) < 0.05 * np.mean(pixels.noise_adu)
    assert pixels.electrons_per_adu is not None
    assert np.std(pixels.electrons_per_adu) < 0.03 * gain.electrons_per_adu
    assert np.std(pixels.offset_adu) < 0.12


def test_a_pixel_that_flickers_stands_out() -> None:
    noise = np.full(SHAPE, 1.6, np.float32)
    noise[10, 20] = 16.0
    camera = Camera(pixel_size_nm=108, offset_adu=100.0, electrons_per_adu=0.46, read_noise_e=noise)
    pixels = measure_pixels(take(camera, 0, seed=3, n_frames=200), [], None)
    assert pixels is not None
    assert pixels.electrons_per_adu is None
    assert np.unravel_index(int(np.argmax(pixels.noise_adu)), SHAPE) == (10, 20)


def test_a_dark_stack_of_few_frames_gives_none() -> None:
    assert measure_pixels(take(SCMOS, 0, seed=1, n_frames=39), [], None) is None
