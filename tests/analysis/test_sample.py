"""What localizations alone say of motion, density and window length, and what the verdict makes of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.analysis.trust.sample import MIN_WINDOWS, SampleWatch, busiest_block, sample_of
from dblink_live.analysis.trust.verdict import Conditions, Light, judge

PITCH_NM = 40.0


def drifting_line(step_nm: float, n_windows: int = 30, side: int = 96) -> npt.NDArray[np.uint16]:
    """Maps [T, H, W] of a line that goes to the side by ``step_nm`` per window."""
    rng = np.random.default_rng(1)
    maps = np.zeros((n_windows, side, side), np.uint16)
    for number in range(n_windows):
        x_nm = 100.0 + number * step_nm + rng.normal(0, 15, 120)
        np.add.at(maps[number], (rng.integers(0, side, 120), np.floor(x_nm / PITCH_NM).astype(int)), 1)
    return maps


def test_the_busiest_block_holds_the_structure_of_a_large_field() -> None:
    field = np.zeros((700, 600), np.uint16)
    field[650:690, 30:60] = 3
    rows, cols = busiest_block(field)
    assert field[rows, cols].sum() == field.sum()
    assert (rows.stop - rows.start, cols.stop - cols.start) == (256, 256)


def test_density_is_that_of_the_windows() -> None:
    counts = np.ones((20, 50, 50), np.uint16)
    assert sample_of(counts, PITCH_NM, 10).molecules_per_um2 == pytest.approx(1 / 0.04**2)
    assert sample_of(np.zeros((0, 5, 5)), PITCH_NM, 10).advice is None


def test_fast_motion_turns_the_verdict_amber_and_says_how_long_windows_should_be() -> None:
    watch = SampleWatch(window_frames=20)
    for counts in drifting_line(40.0):
        watch.add(counts, PITCH_NM, np.full(10, 15.0))
    sample = watch.sample
    assert sample.speed_nm_per_window is not None
    assert sample.speed_nm_per_window > 60.0
    assert sample.precision_nm == pytest.approx(15.0)
    assert sample.advice is not None
    verdict = judge(
        Conditions(
            frames_seen=600,
            is_calibrated=True,
            speed_nm_per_window=sample.speed_nm_per_window,
            window_frames=sample.window_frames,
            advice=sample.advice,
        )
    )
    assert verdict.light is Light.AMBER
    assert "nm per window" in verdict.text
    assert f"shorten the windows to {sample.advice.frames} frames" in verdict.text
    assert sample.advice.frames < 20


def test_motion_too_fast_to_be_followed_is_unknown_and_not_rest() -> None:
    assert sample_of(drifting_line(90.0), PITCH_NM, 20).speed_nm_per_window is None


def test_structure_at_rest_stays_green() -> None:
    watch = SampleWatch(window_frames=20)
    for counts in drifting_line(0.0):
        watch.add(counts, PITCH_NM, np.full(10, 15.0))
    speed = watch.sample.speed_nm_per_window
    assert speed is not None
    assert speed < 5.0
    found = Conditions(frames_seen=600, is_calibrated=True, speed_nm_per_window=speed, trained_speed=(0.0, 12.8))
    assert judge(found).light is Light.GREEN


def test_another_segment_begins_anew_and_few_windows_say_nothing() -> None:
    watch = SampleWatch(window_frames=20)
    for counts in drifting_line(0.0)[: MIN_WINDOWS - 1]:
        watch.add(counts, PITCH_NM, np.zeros(0))
    watch.begin()
    watch.add(np.ones((8, 300), np.uint16), PITCH_NM, np.zeros(0))  # of another shape
    assert watch.sample.speed_nm_per_window is None
    assert watch.sample.advice is None


def test_measuring_takes_a_small_share_of_the_time() -> None:
    times = iter(np.arange(0.0, 1000.0, 0.5))  # each look at the clock is half a second later
    watch = SampleWatch(window_frames=20, clock_s=lambda: float(next(times)))
    seen = set()
    for counts in drifting_line(10.0, n_windows=60):
        watch.add(counts, PITCH_NM, np.zeros(0))
        seen.add(id(watch.sample))
    # Measuring took half a second: the next time is 50 s later, which is 100 windows.
    assert len(seen) == 2


def test_sparse_localizations_are_given_a_number_of_frames() -> None:
    # 25 molecules in 4 square micrometres per window of 10 frames, then in every fourth window only.
    counts = np.eye(100, dtype=np.uint16)[None].repeat(20, axis=0)[:, ::4]
    sample = sample_of(counts, PITCH_NM, 10)
    assert sample.molecules_per_um2 == pytest.approx(25 / 4.0)
    sparse = sample_of(counts[:, :, :] * (np.arange(20) % 4 == 0)[:, None, None].astype(np.uint16), PITCH_NM, 10)
    assert sparse.advice is not None
    assert sparse.advice.frames == 20
    found = Conditions(
        frames_seen=600,
        density_per_um2_frame=0.01,
        trained_density=(0.05, 1.4),
        window_frames=10,
        advice=sparse.advice,
    )
    assert "take windows of 20 frames" in judge(found).text


@pytest.mark.parametrize(("precision_nm", "light"), [(30.0, Light.GREEN), (70.0, Light.AMBER)])
def test_precision_beyond_training_is_amber(precision_nm: float, light: Light) -> None:
    verdict = judge(Conditions(is_calibrated=True, precision_nm=precision_nm, trained_precision=(11.5, 57.7)))
    assert verdict.light is light
