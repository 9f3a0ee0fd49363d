"""Dynamic instability: speeds and rates are those stated, and filaments end where their history says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import (
    PRESETS,
    CameraSimulator,
    DynamicInstability,
    VideoParameters,
    nm_per_frame,
    nm_per_second,
    simulate_video,
)
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.simulate.structures.instability import LengthHistory, draw_history, lengths_at
from dblink_live.types import Grid, Shape

STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))
GRID = Grid(40.0, Shape(64, 128))
LINE = np.array([[1000.0, 400.0], [1000.0, 4400.0]])


def test_speeds_convert_there_and_back() -> None:
    assert nm_per_frame(100.0, frame_ms=10.0) == pytest.approx(1.0)
    assert nm_per_second(nm_per_frame(137.0, 33.0), 33.0) == pytest.approx(137.0)
    with pytest.raises(ConfigError, match="frame_ms"):
        nm_per_frame(1.0, 0.0)
    with pytest.raises(ConfigError, match="speed_nm_per_frame of 0 or more"):
        nm_per_second(-1.0, 10.0)


def test_speeds_and_rates_are_those_stated() -> None:
    instability = DynamicInstability(100.0, 250.0, catastrophe_per_s=0.5, rescue_per_s=1.25)
    # Drift of 0 and an enormous filament: it meets neither end in 4000 s.
    history = draw_history(np.random.default_rng(0), instability, 1e9, 0.0, 4000.0)
    durations, steps = np.diff(history.times_s), np.diff(history.lengths_nm)
    speeds = steps / durations
    grows = speeds > 0
    # Lengths near 1e9 nm are exact to 1e-7 nm.
    np.testing.assert_allclose(speeds[grows], 100.0, rtol=1e-2)
    np.testing.assert_allclose(speeds[~grows], -250.0, rtol=1e-2)
    # Some 1400 phases of either kind: exponential, so their means are known to 2.7 %.
    assert durations[grows].mean() == pytest.approx(1 / 0.5, rel=0.1)
    assert durations[~grows].mean() == pytest.approx(1 / 1.25, rel=0.1)


@pytest.mark.parametrize(
    "instability",
    [
        pytest.param(DynamicInstability(), id="microtubule"),
        pytest.param(DynamicInstability(500.0, 500.0, 1.0, 1.0), id="both ends are met often"),
        pytest.param(DynamicInstability(0.0, 0.0, 1.0, 1.0), id="stands still"),
        pytest.param(DynamicInstability(100.0, 100.0, 0.0, 0.0), id="never turns"),
    ],
)
def test_a_length_stays_between_nothing_and_the_whole(instability: DynamicInstability) -> None:
    for seed in range(10):
        history = draw_history(np.random.default_rng(seed), instability, 2000.0, -30.0, 60.0)
        assert history.times_s[0] == -30.0
        assert history.times_s[-1] >= 60.0
        assert (np.diff(history.times_s) >= 0).all()
        assert history.lengths_nm.min() >= -1e-6
        assert history.lengths_nm.max() <= 2000.0 + 1e-6
        fastest = max(instability.growth_nm_per_s, instability.shrinkage_nm_per_s)
        sampled = np.array([history.at(second) for second in np.arange(-30.0, 60.0, 0.1)])
        assert np.abs(np.diff(sampled)).max() <= 0.1 * fastest + 1e-6


def growing_line() -> FilamentSpecimen:
    """4 um at 1 frame per second: 1 um at frame 0, whole at frame 30."""
    history = LengthHistory(np.array([0.0, 30.0]), np.array([1000.0, 4000.0]))
    return FilamentSpecimen(GRID, [LINE], [STILL], 0.0, histories=[history], s_per_frame=1.0)


def test_a_filament_ends_where_its_history_says() -> None:
    specimen = growing_line()
    for frame, end_nm in ((0, 1400.0), (10, 2400.0), (30, 4400.0), (99, 4400.0)):
        cols = np.flatnonzero(specimen.mask_at(frame).any(axis=0))
        assert cols[0] == 10
        # Points every 10 nm know the end to a pixel.
        assert cols[-1] == pytest.approx(end_nm / 40.0 - 1, abs=1)


def test_molecules_are_only_where_the_filament_is() -> None:
    specimen = growing_line()
    shares = np.random.default_rng(0).random((4000, 3))
    placed = specimen.place(shares, 10)
    is_there = np.isfinite(placed).all(axis=1)
    # Half of the filament is there; 4000 molecules know the share to 0.8 %.
    assert is_there.mean() == pytest.approx(0.5, abs=0.03)
    assert placed[is_there, 1].max() < 2400.0 + 20.0
    assert np.isnan(placed[~is_there]).all()
    # Who is there stays where it is while the rest grows.
    np.testing.assert_array_equal(specimen.place(shares, 30)[is_there], placed[is_there])


def test_a_camera_sees_only_molecules_that_are_there() -> None:
    shrunk = LengthHistory(np.array([0.0, 1.0]), np.array([4000.0, 0.0]))
    specimen = FilamentSpecimen(GRID, [LINE], [STILL], 0.0, histories=[shrunk], s_per_frame=1.0)
    simulator = CameraSimulator(specimen, Shape(16, 32), BlinkSchedule(0, 20.0))
    background = simulator.optics.background_e * 16 * 32
    assert simulator.expected_electrons(0).sum() > background + 1000.0
    assert simulator.expected_electrons(5).sum() == pytest.approx(background)


def test_one_history_a_filament_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="expected 1 histories, one a filament, found 2"):
        FilamentSpecimen(GRID, [LINE], [STILL], histories=[LengthHistory(np.zeros(1), np.zeros(1))] * 2)
    with pytest.raises(ConfigError, match="growth_nm_per_s of 0 or more"):
        DynamicInstability(growth_nm_per_s=-1.0)


def test_lengths_come_in_the_order_of_the_filaments() -> None:
    histories = [LengthHistory(np.array([0.0, 1.0]), np.array([0.0, length])) for length in (100.0, 300.0)]
    assert lengths_at(histories, 0.5).tolist() == [50.0, 150.0]


@pytest.mark.parametrize("reaches_beyond", [False, True])
def test_filaments_of_the_preset_grow_and_shrink(reaches_beyond: bool) -> None:
    parameters = replace(PRESETS["growing filaments"], n_windows=20, window_frames=100, reaches_beyond=reaches_beyond)
    sizes = np.array([simulate_video(parameters, seed).truth.sum(axis=(1, 2)) for seed in (0, 10, 12)])
    steps = np.diff(sizes.astype(float), axis=1)
    assert (steps > 0).any()
    assert (steps < 0).any()
    # Standing still in time, nothing grows.
    still = simulate_video(replace(parameters, speed=0.0), 10).truth
    assert (still == still[0]).all()


def test_growth_is_faster_at_higher_speed() -> None:
    def grown(speed: float) -> float:
        parameters = VideoParameters(
            n_windows=2, window_frames=250, speed=speed, growth=DynamicInstability(catastrophe_per_s=0.0)
        )
        videos = [simulate_video(parameters, seed) for seed in (0, 10, 12, 19)]
        return float(np.mean([video.truth[1].mean() - video.truth[0].mean() for video in videos]))

    assert grown(1.0) > 1.5 * grown(0.3) > 0.0
