"""Frames and cameras that cannot be: one clear error, or a sentence afterwards where a live run must go on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.interfaces import Explaining
from dblink_live.localization import GaussianLocalizer
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera

NAMES = ["gaussian", "dense", "deepstorm", "auto"]
CAMERA = Camera(100.0, offset_adu=100.0, read_noise_e=1.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32, np.uint64, np.int64])
def test_integers_that_no_camera_gives_are_refused(name: str, dtype: type) -> None:
    frames = np.full((2, 16, 16), 100, dtype)
    with pytest.raises(SourceError, match=rf"uint8, uint16.*found {np.dtype(dtype)}.*export the frames as 16-bit"):
        get_localizer_factory(name)(CAMERA).localize(frames, np.arange(2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        pytest.param(np.full((2, 16, 16), np.nan, np.float32), "found NaN or infinity", id="NaN"),
        pytest.param(np.zeros((2, 16, 16), bool), "found bool", id="bool"),
        pytest.param(np.zeros((2, 16, 16, 3), np.uint8), r"found uint8 of shape \(2, 16, 16, 3\)", id="RGB"),
    ],
)
def test_what_are_no_counts_is_refused(name: str, frames: npt.NDArray[np.uint16], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        get_localizer_factory(name)(CAMERA).localize(frames, np.arange(2))


def test_a_region_smaller_than_the_point_spread_function_is_refused() -> None:
    with pytest.raises(SourceError, match=r"at least 13 x 13 pixels for the point spread function, found 9 x 12"):
        GaussianLocalizer(CAMERA, psf_sigma_px=3.0).localize(np.zeros((1, 9, 12), np.uint16), np.arange(1))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        pytest.param({"electrons_per_adu": 0.0}, "electrons_per_adu above 0, found 0", id="gain 0"),
        pytest.param({"em_gain": 0.0}, "em_gain above 0, found 0", id="EM gain 0"),
        pytest.param({"electrons_per_adu": np.zeros((16, 16), np.float32)}, "above 0, found 0", id="map of gain 0"),
        pytest.param({"read_noise_e": -1.0}, r"0 or more in camera\.read_noise_e, found -1", id="negative read noise"),
        pytest.param({"offset_adu": np.full((16, 16), np.nan, np.float32)}, r"finite values in camera\.off", id="NaN"),
    ],
)  # fmt: skip
def test_a_camera_that_cannot_be_is_refused(facts: dict[str, float], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        GaussianLocalizer(Camera(100.0, **facts)).localize(np.zeros((1, 16, 16), np.uint16), np.arange(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "notes"),
    [
        pytest.param(65535, ["3 of 5 frames have saturated pixels", "3 of 5 frames have the same count"], id="satur"),
        pytest.param(40, ["same count in every", "3 of 5 frames lie nowhere above the camera's offset"], id="negative"),
    ],
)  # fmt: skip
def test_odd_frames_are_told_and_hold_nothing(name: str, value: int, notes: list[str]) -> None:
    frames = np.random.default_rng(1).poisson(110.0, (5, 24, 24)).astype(np.uint16)
    frames[1:4] = value
    localizer = get_localizer_factory(name)(CAMERA, psf_sigma_px=1.2)
    found = localizer.localize(frames, np.arange(5))
    assert not np.isin(found["frame"], (1, 2, 3)).any()
    assert isinstance(localizer, Explaining)
    told = " ".join(localizer.notes())
    assert all(note in told for note in notes)


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_frames_are_not_worth_a_word(name: str) -> None:
    frames = np.random.default_rng(1).poisson(110.0, (5, 24, 24)).astype(np.uint16)
    localizer = get_localizer_factory(name)(CAMERA, psf_sigma_px=1.2)
    localizer.localize(frames, np.arange(5))
    assert isinstance(localizer, Explaining)
    assert not [note for note in localizer.notes() if "frames have" in note or "frames lie" in note]
