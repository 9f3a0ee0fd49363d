"""Molecules that the excess noise of an EM register made two of one."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.localization import DenseLocalizer
from dblink_live.localization.neural.dense.merging import merge_indistinct
from dblink_live.types import Camera, empty_localizations


def rows_at(*places: tuple[int, float, float], precision: float = 0.25):
    rows = empty_localizations(len(places))
    rows["frame"], rows["y"], rows["x"] = zip(*places, strict=True)
    rows["photons"], rows["lpx"], rows["lpy"] = [100.0 * (i + 1) for i in range(len(places))], precision, precision
    return rows


def test_two_that_cannot_be_told_apart_become_one_with_their_light() -> None:
    (one,) = merge_indistinct(rows_at((0, 5.0, 5.0), (0, 5.0, 5.6)))
    assert one["photons"] == 300.0
    assert one["x"] == pytest.approx(5.4)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(rows_at((0, 5.0, 5.0), (0, 5.0, 6.2)), id="apart"),
        pytest.param(rows_at((0, 5.0, 5.0), (1, 5.0, 5.1)), id="in two frames"),
        pytest.param(rows_at((0, 5.0, 5.0), (0, 5.0, 5.3), precision=0.05), id="known well"),
        pytest.param(rows_at((3, 5.0, 5.0)), id="one alone"),
    ],
)
def test_others_stay(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(merge_indistinct(rows), rows)


def test_one_molecule_takes_part_in_one_merger() -> None:
    assert len(merge_indistinct(rows_at((0, 5.0, 5.0), (0, 5.0, 5.4), (0, 5.0, 5.8)))) == 2


def test_behind_an_em_register_fewer_molecules_are_made_two(tmp_path) -> None:
    """One molecule per frame, whose spot an EM register has made lumpy."""
    rng = np.random.default_rng(3)
    rows, cols = np.indices((24, 24))
    frames = np.empty((60, 24, 24), np.uint16)
    for frame in frames:
        y, x = rng.uniform(9, 15, 2)
        electrons = 60 + 1500 * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / 2) / (2 * np.pi)
        frame[:] = rng.gamma(np.maximum(rng.poisson(electrons), 1), 30.0) / 4.0
    numbers = np.arange(len(frames))
    camera = Camera(160.0, 0.0, 4.0, em_gain=30.0)
    found = DenseLocalizer(camera, psf_sigma_px=1.0).localize(frames, numbers)
    per_frame = np.bincount(found["frame"], minlength=len(frames))
    # Each is found, and at most one in ten is still two.
    assert (per_frame >= 1).mean() > 0.95
    assert (per_frame > 1).mean() <= 0.1
