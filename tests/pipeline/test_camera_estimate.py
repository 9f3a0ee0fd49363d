"""Frames of an uncalibrated camera wait for an estimate of it: how long, which, and what passes at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dblink_live.pipeline.camera_estimate import CameraEstimator
from dblink_live.pipeline.stages.items import FrameBatch, SegmentEnd, SegmentStart
from dblink_live.types import Camera, Frame, Gap, GapCause, Grid, Segment, Shape

SHAPE = Shape(96, 96)
UNKNOWN = Camera.uncalibrated(108.0)
GAIN, OFFSET = 0.5, 100.0


def start(camera: Camera = UNKNOWN, **changes: object) -> SegmentStart:
    segment = replace(Segment(0, SHAPE, "uint16", exposure_ms=10.0), **changes)
    return SegmentStart(segment, camera, Grid.covering(SHAPE, 108.0, 40.0))


def batch(first: int, n: int, side: int = 96) -> FrameBatch:
    """Frames of an uneven background and shot noise alone."""
    rng = np.random.default_rng(first)
    light = np.linspace(10.0, 90.0, side)[:, None] * np.ones(side)
    counts = np.round(rng.poisson(light, (n, side, side)) / GAIN + OFFSET).astype(np.uint16)
    return FrameBatch([Frame(0, first + i, 0, data) for i, data in enumerate(counts)])


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_all_wait_in_order_until_there_are_enough_frames() -> None:
    estimator = CameraEstimator(is_live=False)
    given = [start(), batch(0, 100), Gap(0, 99, 2, GapCause.CAMERA), batch(102, 60)]
    assert list(estimator.items(given)) == []
    begun, *rest = estimator.items([batch(162, 60)])
    assert isinstance(begun, SegmentStart) and begun.camera.is_estimated
    assert begun.camera.electrons_per_adu == pytest.approx(GAIN, rel=0.05)
    assert rest[:3] == given[1:] and len(rest) == 4
    (said,) = estimator.sentences()
    assert said.startswith("camera estimated from 200 frames") and estimator.sentences() == []
    later = batch(300, 5)
    assert list(estimator.items([later])) == [later]


def test_a_calibrated_camera_waits_for_nothing() -> None:
    estimator = CameraEstimator(is_live=True)
    given = [start(Camera(108.0, OFFSET, GAIN)), batch(0, 5), SegmentEnd(0)]
    assert list(estimator.items(given)) == given
    assert estimator.sentences() == []


@pytest.mark.parametrize(
    ("fps", "waited_s", "is_estimated"),
    [
        pytest.param(100.0, 1.0, True, id="fast"),
        pytest.param(15.0, 19 / 15, True, id="slow: until there are enough"),
        pytest.param(4.0, 2.0, False, id="too slow"),
    ],
)
def test_frames_of_a_camera_wait_for_two_seconds_at_most(fps: float, waited_s: float, is_estimated: bool) -> None:
    clock = Clock()
    estimator = CameraEstimator(is_live=True, clock=clock)
    assert list(estimator.items([start()])) == []
    for n in range(1000):
        clock.now = n / fps
        passed = list(estimator.items([batch(n, 1)]))
        if passed:
            break
    assert clock.now == pytest.approx(waited_s, abs=1.5 / fps)
    assert len(passed) == n + 2
    assert passed[0].camera.is_calibrated is is_estimated


def test_time_passes_without_frames_too() -> None:
    clock = Clock()
    estimator = CameraEstimator(is_live=True, clock=clock)
    assert list(estimator.items([start(), batch(0, 3)])) == []
    clock.now = 2.5
    assert [type(item) for item in estimator.items([])] == [SegmentStart, FrameBatch]


def test_what_was_estimated_holds_for_later_segments_of_the_same_kind() -> None:
    estimator = CameraEstimator(is_live=False)
    (begun, *_) = estimator.items([start(), batch(0, 200), SegmentEnd(0)])
    again, _ = estimator.items([start(reason="gap"), batch(300, 10)])
    assert again.camera == begun.camera
    assert len(estimator.sentences()) == 1
    # Another binning has another gain.
    assert list(estimator.items([start(binning=2), batch(400, 30)])) == []
    assert [type(item) for item in estimator.finish()] == [SegmentStart, FrameBatch]


def test_an_interrupted_run_goes_on_with_its_estimate() -> None:
    known = replace(UNKNOWN, offset_adu=101.0, electrons_per_adu=0.49, electrons_per_adu_error=0.01, is_calibrated=True)
    given = [start(), batch(0, 5)]
    begun, frames = CameraEstimator(is_live=False, known=known).items(given)
    assert begun.camera == known and frames is given[1]


def test_of_a_large_sensor_few_frames_are_held() -> None:
    estimator = CameraEstimator(is_live=False)
    shape = Shape(2048, 2048)
    begun = replace(start(), segment=Segment(0, shape, "uint16"))
    frame = Frame(0, 0, 0, np.zeros(shape, np.uint16))
    n_held = next(
        n for n in range(1, 300) if list(estimator.items([*([begun] if n == 1 else []), FrameBatch([frame])]))
    )
    assert n_held == 32
