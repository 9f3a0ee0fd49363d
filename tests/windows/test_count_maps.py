"""Maps know the pitch of their grid, and lose it where their pixels change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dblink_live.maps.count_maps import CountMaps
from dblink_live.types import empty_localizations
from dblink_live.windows import bin_localizations


def test_binning_states_the_pitch_of_its_grid() -> None:
    assert bin_localizations(empty_localizations(3), (8, 8), 108.0, scale=4).pitch_nm == 27.0
    assert bin_localizations(empty_localizations(), (8, 8), 160.0, scale=2).pitch_nm == 80.0


@pytest.mark.parametrize(
    ("change", "pitch_nm"),
    [
        pytest.param(lambda maps: maps[2], 27.0, id="one window"),
        pytest.param(lambda maps: maps[1:5:2], 27.0, id="some windows"),
        pytest.param(lambda maps: maps[[0, 3]], 27.0, id="chosen windows"),
        pytest.param(lambda maps: maps[:, 2:5, 1:4], 27.0, id="a crop"),
        pytest.param(lambda maps: maps.astype(np.float32), 27.0, id="another type"),
        pytest.param(lambda maps: np.minimum(maps, 3), 27.0, id="arithmetic"),
        pytest.param(lambda maps: maps.sum(axis=0), 27.0, id="a sum over windows"),
        pytest.param(lambda maps: maps[:, ::2, ::2], None, id="every other pixel"),
        pytest.param(lambda maps: maps.reshape(6, 4, 2, 4, 2).sum((2, 4)), None, id="larger pixels"),
        pytest.param(lambda maps: maps[:, 3], None, id="a row of each"),
    ],
)
def test_the_pitch_stays_as_the_pixels_do(change: Callable[[CountMaps], CountMaps], pitch_nm: float | None) -> None:
    assert change(CountMaps(np.ones((6, 8, 8), np.uint16), 27.0)).pitch_nm == pitch_nm


def test_a_plain_array_states_no_pitch() -> None:
    assert type(np.asarray(CountMaps(np.zeros((1, 2, 2), np.uint16), 27.0))) is np.ndarray
