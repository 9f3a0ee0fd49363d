"""Sensors: mean and variance of every pixel are those of its own offset, gain and read noise."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import EMCCD, SCMOS, CameraSimulator, uneven_sensor
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.camera import Optics
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.types import Camera, Grid, Shape

SHAPE = Shape(48, 40)


def dark_field(camera: Camera, background_e: float, n_frames: int) -> np.ndarray:
    """Frames [N, H, W] of even light on a camera."""
    specimen = FilamentSpecimen(Grid(40.0, Shape(192, 160)), [], [RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))])
    simulator = CameraSimulator(specimen, SHAPE, BlinkSchedule(0, 1.0), camera, Optics(background_e=background_e), 3)
    return np.stack([simulator.frame(number) for number in range(n_frames)]).astype(float)


def test_every_pixel_of_an_scmos_chip_has_its_own_offset_gain_and_noise() -> None:
    chip = uneven_sensor(SCMOS, SHAPE, seed=5, unevenness=2.0)
    n = 600
    dark, lit = dark_field(chip, 0.0, n), dark_field(chip, 50.0, n)
    gain = np.asarray(chip.electrons_per_adu, float)
    noise = np.asarray(chip.read_noise_e, float)
    # A mean of 600 frames is known to 1.6 e / sqrt(600), 0.15 ADU in the usual pixel.
    error = noise / gain / np.sqrt(n)
    assert np.abs((dark.mean(axis=0) - chip.offset_adu) / error).max() < 5.5
    # Rounding to whole counts adds 1/12; the variance of 600 frames is known to 5.8 %, over 1920 pixels to 0.13 %.
    ratio = dark.var(axis=0) / ((noise / gain) ** 2 + 1 / 12)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert ratio.std() == pytest.approx(np.sqrt(2 / n), rel=0.15)
    bright = lit - dark
    assert (bright.mean(axis=0) * gain).mean() == pytest.approx(50.0, rel=0.005)
    ratio = lit.var(axis=0) * gain**2 / (50.0 + noise**2 + gain**2 / 12)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)


def test_the_maps_spread_about_the_cameras_own_values() -> None:
    chip = uneven_sensor(SCMOS, Shape(200, 200), seed=1)
    assert np.median(chip.offset_adu) == pytest.approx(100.0, abs=0.1)
    assert np.std(chip.offset_adu) == pytest.approx(2.0, rel=0.03)
    assert np.median(chip.electrons_per_adu) == pytest.approx(0.46, rel=0.003)
    assert np.median(chip.read_noise_e) == pytest.approx(1.6, rel=0.01)
    # A tail of noisy pixels: one in a thousand beyond exp(0.3 x 3.09).
    assert (np.asarray(chip.read_noise_e) > 2.53 * 1.6).mean() == pytest.approx(0.001, abs=0.0006)
    again, other = uneven_sensor(SCMOS, Shape(8, 8), 1), uneven_sensor(SCMOS, Shape(8, 8), 2)
    assert np.array_equal(again.offset_adu, uneven_sensor(SCMOS, Shape(8, 8), 1).offset_adu)
    assert not np.array_equal(again.offset_adu, other.offset_adu)


@pytest.mark.parametrize("background_e", [0.0, 5.0, 100.0])
def test_an_emccd_doubles_the_variance_of_light_alone(background_e: float) -> None:
    counts = dark_field(EMCCD, background_e, 60)
    electrons_per_adu = float(np.asarray(EMCCD.electrons_per_adu))
    before_gain = (counts - 200.0) * electrons_per_adu / EMCCD.em_gain
    read = float(np.asarray(EMCCD.read_noise_e)) / EMCCD.em_gain
    rounding = (electrons_per_adu / EMCCD.em_gain) ** 2 / 12
    # 115,200 pixels know the mean to 0.3 % of a standard deviation, the variance of these skewed numbers to 1 %.
    spread = np.sqrt(2 * background_e + read**2)
    assert before_gain.mean() == pytest.approx(background_e, abs=0.02 * spread)
    assert before_gain.var() == pytest.approx(2 * background_e + read**2 + rounding, rel=0.03)


def test_maps_of_another_shape_are_refused() -> None:
    chip = uneven_sensor(SCMOS, Shape(8, 8), seed=0)
    with pytest.raises(ConfigError, match=r"camera\.offset_adu as one number or a map of 48 x 40, found 8 x 8"):
        dark_field(chip, 1.0, 1)
    with pytest.raises(ConfigError, match="unevenness of 0 or more"):
        uneven_sensor(SCMOS, SHAPE, 0, unevenness=-1.0)
