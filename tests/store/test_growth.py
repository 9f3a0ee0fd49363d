"""Arrays grow, are trimmed, get a pyramid, and start anew when the grid changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from synthetic import GRID, INFO, WINDOW_FRAMES, make_map, make_segment, write_window

from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Grid, LocalizationMap, Reconstruction, Shape, empty_localizations

TINY = Grid(pitch_nm=40.0, shape=Shape(5, 7))


def test_growth_past_two_blocks_and_trim(tmp_path: Path) -> None:
    n = 530
    writer = RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
    writer.begin_segment(make_segment(), TINY)
    with open_run(tmp_path / "run") as run:
        early = run.counts
        for window in range(n):
            counts = np.full(TINY.shape, window + 1, np.uint16)
            map = LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, TINY)
            writer.write_map(map, empty_localizations())
        writer.flush()
        # The same reader follows the growth: its first look at the array was when that had room for 256.
        assert early is not None and early.shape[0] == 0
        assert run.counts is not None and run.counts.shape[0] == n
        assert int(run.counts[n - 1, 0, 0]) == n
        writer.finalize()
        assert run.counts.shape[0] == n
    array = zarr.open_array(tmp_path / "run" / "run.ome.zarr" / "counts" / "0", mode="r")
    assert array.shape == (n, 5, 7)
    np.testing.assert_array_equal(array[:, 4, 6], np.arange(n) + 1)
    assert zarr.open_array(tmp_path / "run" / "run.ome.zarr" / "live" / "0", mode="r").shape == (0, 5, 7)


def test_a_segment_with_another_grid_gets_series_of_its_own(tmp_path: Path) -> None:
    other = Grid(pitch_nm=40.0, shape=Shape(21, 30), origin_nm=(400.0, 0.0))
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        for index, grid in enumerate([GRID, other, GRID]):
            writer.begin_segment(make_segment(index), grid)
            for window in range(4):
                write_window(writer, index, window, grid)
        writer.begin_segment(make_segment(3, frame_interval_ms=50.0), GRID)
        write_window(writer, 3, 0)
    with open_run(tmp_path / "run") as run:
        assert run.series == ["counts", "live", "counts_1", "live_1", "counts_2", "live_2"]
        assert run.counts is not None and run.counts.shape == (8, 37, 53)
        # Segment 2 lies on segment 0's grid and follows it on the time axis.
        np.testing.assert_array_equal(run.counts[4], make_map(2, 0)[0].counts)
        second, third = run.array("counts_1"), run.array("counts_2")
        assert second is not None and second.shape == (4, 21, 30)
        np.testing.assert_array_equal(second[3], make_map(1, 3, other)[0].counts)
        # Same grid, but its windows last longer: one time axis could not be true for both.
        assert third is not None and third.shape == (1, 37, 53)
        assert len(run.windows("counts", segment=1)) == 4
        np.testing.assert_array_equal(run.localizations(segment=1, window=2), make_map(1, 2, other)[1])
        assert run.array("full_1") is None
    problems = verify_run(tmp_path / "run").problems
    assert [text for text in problems if "ledger" not in text] == []


def test_a_large_field_gets_a_pyramid_that_keeps_single_dots(tmp_path: Path) -> None:
    large = Grid(pitch_nm=40.0, shape=Shape(1030, 601))
    counts = np.zeros(large.shape, np.uint16)
    dots = [(0, 0), (700, 3), (1029, 600)]
    for row, col in dots:
        counts[row, col] = 7
    image = np.zeros(large.shape, np.float32)
    image[700, 3] = 1.0
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), large)
        for window in range(2):
            map = LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, large)
            writer.write_map(map, empty_localizations(20))
        writer.write_reconstruction(Reconstruction(0, 0, image, "bounded", 1))
        writer.write_ledger(0, {"seen": 20, "committed": 20, "lost": {}, "deselected": 0, "tail": 0})
    root = tmp_path / "run" / "run.ome.zarr"
    levels = [zarr.open_array(root / "counts" / str(level), mode="r") for level in range(3)]
    assert [level.shape for level in levels] == [(2, 1030, 601), (2, 515, 301), (2, 258, 151)]
    assert levels[0].chunks == (1, 512, 512) and levels[0].shards == (1, 1536, 1024)
    for scale, level in enumerate(levels):
        expected = np.zeros(level.shape[1:], np.uint16)
        for row, col in dots:
            expected[row >> scale, col >> scale] = 7
        np.testing.assert_array_equal(level[1], expected)
    coarse = zarr.open_array(root / "live" / "2", mode="r")
    assert coarse.shape == (1, 258, 151) and coarse[0, 175, 0] == 255
    assert not (root / "counts" / "3").exists()
    # A map of 21 counts beside 20 localizations: of all that verify checks here, this alone is wrong.
    (first, second) = verify_run(tmp_path / "run").problems
    assert "expected 20 counts" in first and "found 21" in second


def test_a_pyramid_follows_windows_that_are_added_later(tmp_path: Path) -> None:
    large = Grid(pitch_nm=40.0, shape=Shape(40, 600))
    counts = np.zeros(large.shape, np.uint16)
    for window, open_writer in enumerate(["create", "append_to"]):
        if open_writer == "create":
            writer = RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
            writer.begin_segment(make_segment(), large)
        else:
            writer = RunWriter.append_to(tmp_path / "run")
        with writer:
            counts[7, 599] = window + 1
            map = LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, large)
            writer.write_map(map, empty_localizations())
            writer.write_ledger(0, {"seen": 10, "committed": 10, "lost": {}, "deselected": 0, "tail": 0})
    coarse = zarr.open_array(tmp_path / "run" / "run.ome.zarr" / "counts" / "1", mode="r")
    np.testing.assert_array_equal(coarse[:, 3, 299], [1, 2])
    with open_run(tmp_path / "run") as run:
        assert run.counts is not None and run.counts.shape == (2, 40, 600)
