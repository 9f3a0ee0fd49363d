"""A finished table counted onto grids of any pitch, field and camera pixel."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.errors import ConfigError, SourceError
from dblink_live.types import Grid, Shape, empty_localizations
from dblink_live.windows import WindowAccumulator, bin_localizations

FIELDS = [Shape(32, 32), Shape(33, 31), Shape(7, 50), Shape(1, 1)]


@pytest.mark.parametrize("pixel_size_nm", [65.0, 100.0, 108.0, 160.0])
@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_camera_pixels_of_any_size_fall_where_their_nanometres_say(pixel_size_nm: float, field: Shape) -> None:
    rng = np.random.default_rng(int(pixel_size_nm) + field.height)
    rows = empty_localizations(3000)
    rows["x"] = rng.uniform(-0.5, field.width - 0.5, 3000)
    rows["y"] = rng.uniform(-0.5, field.height - 0.5, 3000)
    grid = Grid.covering(field, pixel_size_nm, 40.0)
    accumulator = WindowAccumulator(grid, pixel_size_nm, 1, segment=0, first_frame=0)
    (done,) = accumulator.add(np.arange(1), np.zeros(1, np.int64), rows)
    # Written out once more, by hand: nanometres from the corner of the field, edges every 40 nm.
    edges = [40.0 * np.arange(n + 1) for n in grid.shape]
    y_nm, x_nm = ((rows[axis].astype(np.float64) + 0.5) * pixel_size_nm for axis in ("y", "x"))
    expected, *_ = np.histogram2d(y_nm, x_nm, bins=edges)
    np.testing.assert_array_equal(done.map.counts, expected)
    assert accumulator.n_outside == 0
    # The grid covers the field, and no more than it must.
    for n_grid, n_camera in zip(grid.shape, field, strict=True):
        assert (n_grid - 1) * 40.0 < n_camera * pixel_size_nm <= n_grid * 40.0 + 1e-3


@pytest.mark.parametrize("pixel_size_nm", [65.0, 100.0, 108.0, 160.0])
@pytest.mark.parametrize("scale", [1, 3, 4])
def test_a_camera_pixel_is_cut_into_equal_parts(pixel_size_nm: float, scale: int) -> None:
    # One localization in the middle of every fine pixel; each pixel must count exactly one.
    height, width = 5, 8
    rows = empty_localizations(height * width * scale**2)
    y, x = np.mgrid[: height * scale, : width * scale]
    rows["y"] = ((y + 0.5) / scale - 0.5).ravel()
    rows["x"] = ((x + 0.5) / scale - 0.5).ravel()
    counts = bin_localizations(rows, (height, width), pixel_size_nm, scale, window=1)
    assert counts.shape == (1, height * scale, width * scale)
    assert (counts == 1).all()


def test_windows_start_at_the_first_frame_and_end_with_the_last_row() -> None:
    rows = empty_localizations(4)
    rows["frame"] = [7, 16, 17, 45]
    counts = bin_localizations(rows, (2, 2), 160.0, first_frame=7)
    assert counts.dtype == np.uint16
    assert counts.sum(axis=(1, 2)).tolist() == [2, 1, 0, 1]


@pytest.mark.parametrize("axis", ["x", "y"])
def test_rows_outside_the_field_are_left_out(axis: str) -> None:
    rows = empty_localizations(3)
    rows[axis] = [-0.6, 1.0, 1.6]
    assert bin_localizations(rows, (2, 2), 160.0).sum() == 1


def test_an_empty_table_has_no_window() -> None:
    assert bin_localizations(empty_localizations(), (3, 2), 160.0).shape == (0, 12, 8)


def test_counts_saturate() -> None:
    assert bin_localizations(empty_localizations(70_000), (1, 1), 160.0, scale=1).tolist() == [[[65_535]]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"scale": 0}, ConfigError, "found scale 0", id="no scale"),
        pytest.param({"window": 0}, ConfigError, "window 0", id="no window"),
        pytest.param({"pixel_size_nm": 0.0}, ConfigError, "pixel size above 0 nm", id="no pixel size"),
        pytest.param({"pixel_size_nm": float("nan")}, ConfigError, "found nan", id="pixel size not a number"),
        pytest.param({"first_frame": 1}, SourceError, "found frame 0", id="rows before the first frame"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bin_localizations(empty_localizations(1), **{"shape": (2, 2), "pixel_size_nm": 160.0, **arguments})
