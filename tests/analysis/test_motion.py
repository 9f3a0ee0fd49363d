"""Motion and window length from localizations alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.analysis.trust.motion import advise_window, estimate_step_nm
from dblink_live.errors import ConfigError
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.simulate.structures.filaments import draw_network
from dblink_live.types import Grid, Shape

PITCH_NM = 40.0
SIDE = 96
N_WINDOWS = 80


def moving_filaments(step_nm: float, per_window: int = 120, seed: int = 0) -> npt.NDArray[np.int64]:
    """Counts of filaments that each drift by ``step_nm`` per window in a direction of their own."""
    rng = np.random.default_rng(seed)
    field = (SIDE * PITCH_NM, SIDE * PITCH_NM)
    filaments = draw_network(rng, field, margin_nm=1000.0, filaments_per_um2=0.25)
    angles = rng.uniform(0.0, 2 * np.pi, size=len(filaments))
    motions = [RigidMotion((step_nm * np.sin(a), step_nm * np.cos(a)), 0.0, (0.0, 0.0), 1500.0) for a in angles]
    specimen = FilamentSpecimen(Grid(PITCH_NM, Shape(SIDE, SIDE)), filaments, motions, width_nm=80.0)
    counts = np.zeros((N_WINDOWS, SIDE, SIDE), np.int64)
    for t in range(N_WINDOWS):
        places = specimen.place(rng.random((3 * per_window, 3)), float(t)) + rng.normal(0, 15, (3 * per_window, 2))
        y, x = np.floor(places / PITCH_NM).astype(int).T
        inside = (y >= 0) & (y < SIDE) & (x >= 0) & (x < SIDE)
        np.add.at(counts[t], (y[inside], x[inside]), 1)
    return counts


@pytest.mark.parametrize("step_nm", [5.0, 20.0, 40.0])
def test_motion_is_found_within_a_factor_of_two(step_nm: float) -> None:
    found = [estimate_step_nm(moving_filaments(step_nm, seed=seed), PITCH_NM) for seed in range(3)]
    assert all(one is not None and 0.5 * step_nm < one < 2.0 * step_nm for one in found), found


def test_what_stands_still_reads_as_still() -> None:
    found = estimate_step_nm(moving_filaments(0.0), PITCH_NM)
    assert found is not None
    assert found < 2.0


def test_noise_alone_and_empty_maps_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    assert estimate_step_nm(np.zeros((20, 32, 32), int), PITCH_NM) is None
    assert estimate_step_nm(rng.poisson(0.001, (20, 64, 64)), PITCH_NM) is None
    assert estimate_step_nm(moving_filaments(20.0)[:2], PITCH_NM) is None


def test_a_window_is_as_short_as_leaves_molecules_enough() -> None:
    still = advise_window(step_nm=0.0, molecules_per_um2=6.0, window_frames=20)
    assert (still.frames, still.suits) == (10, True)
    unknown = advise_window(step_nm=None, molecules_per_um2=1.0, window_frames=10)
    assert (unknown.frames, unknown.suits) == (30, True)
    assert advise_window(step_nm=40.0, molecules_per_um2=3.0, window_frames=10).frames == 10


def test_motion_too_fast_for_its_molecules_suits_no_length() -> None:
    advice = advise_window(step_nm=120.0, molecules_per_um2=1.0, window_frames=20)
    assert (advice.frames, advice.suits) == (10, False)
    assert "raise the activation" in advice.reason
    assert not advise_window(step_nm=None, molecules_per_um2=0.0, window_frames=20).suits


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected counts"):
        estimate_step_nm(np.zeros((4, 4)), PITCH_NM)
    with pytest.raises(ConfigError, match="expected frames"):
        advise_window(step_nm=1.0, molecules_per_um2=1.0, window_frames=0)
