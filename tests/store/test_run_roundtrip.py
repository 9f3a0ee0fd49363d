"""What is written into a run comes out of it, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import (
    GRID,
    INFO,
    LOOKAHEAD,
    WINDOW_FRAMES,
    balanced_ledger,
    make_map,
    make_picture,
    make_segment,
    write_run,
)

from dblink_live.store import RunWriter, checksum, encode_probability, open_run, verify_run
from dblink_live.types import Gap, GapCause, LocalizationMap, Reconstruction, empty_localizations


def test_counts_and_pictures_are_bit_identical(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=12)
    with open_run(tmp_path / "run") as run:
        assert run.status == "complete"
        assert run.counts is not None and run.live is not None
        assert run.full is None and run.raw is None
        assert run.counts.shape == (12, 37, 53) and run.counts.dtype == np.uint16
        assert run.live.shape == (12 - LOOKAHEAD, 37, 53) and run.live.dtype == np.uint8
        for window in range(12):
            np.testing.assert_array_equal(run.counts[window], make_map(0, window)[0].counts)
        for window in range(12 - LOOKAHEAD):
            np.testing.assert_array_equal(run.live[window], encode_probability(make_picture(0, window), "uint8"))
            # Rounded to nearest: at most half a step off.
            error = np.abs(run.live[window] * run.live.value_scale - make_picture(0, window)).max()
            assert error <= 0.5 / 255 + 1e-6


def test_float16_keeps_half_precision(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES, live_dtype="float16") as writer:
        writer.begin_segment(make_segment(), GRID)
        writer.write_map(*make_map(0, 0))
        writer.write_reconstruction(Reconstruction(0, 0, make_picture(0, 0), "bounded", LOOKAHEAD))
    with open_run(tmp_path / "run") as run:
        assert run.live is not None and run.live.value_scale == 1.0
        np.testing.assert_array_equal(run.live[0], make_picture(0, 0).astype(np.float16))


def test_localizations_round_trip(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=5)
    with open_run(tmp_path / "run") as run:
        np.testing.assert_array_equal(run.localizations(segment=0, window=3), make_map(0, 3)[1])
        np.testing.assert_array_equal(run.localizations(window=3), make_map(0, 3)[1])
        everything = np.concatenate([make_map(0, window)[1] for window in range(5)])
        np.testing.assert_array_equal(run.localizations(), everything)
        np.testing.assert_array_equal(run.localizations(segment=0), everything)


def test_a_window_without_localizations_is_a_window(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        empty = LocalizationMap(0, 0, 0, 10, np.zeros(GRID.shape, np.uint16), GRID, n_frames_missing=10)
        writer.write_map(empty, empty_localizations())
    with open_run(tmp_path / "run") as run:
        assert run.counts is not None and not run.counts[0].any()
        assert len(run.localizations()) == 0
        assert run.windows("counts")[0].n_frames_missing == 10


def test_windows_carry_their_frames_and_facts(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=6)
    with open_run(tmp_path / "run") as run:
        counts, live = run.windows("counts")[4], run.windows("live")[2]
        assert (counts.window, counts.start, counts.stop, counts.n_frames_missing) == (4, 40, 50, 1)
        assert counts.n_localizations == len(make_map(0, 4)[1])
        assert counts.checksum == checksum(make_map(0, 4)[0].counts)
        assert (live.window, live.start, live.stop, live.lookahead, live.latency_s) == (2, 20, 30, LOOKAHEAD, 0.1)
        assert live.t_commit_ns > 0
        np.testing.assert_array_equal(run.read_window(counts), make_map(0, 4)[0].counts)
        assert run.committed_count("live") == 3


def test_the_journal_keeps_config_gaps_events_segments_and_ledger(tmp_path: Path) -> None:
    gaps = [Gap(0, 17, 3, GapCause.RING), Gap(0, 40, None, GapCause.CAMERA)]
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        for gap in gaps:
            writer.record_gap(gap)
        writer.event("the stage drifted")
        writer.write_ledger(0, {"seen": 3, "committed": 0, "lost": {"ring": 3}, "deselected": 0, "tail": 0})
    with open_run(tmp_path / "run") as run:
        assert run.info == INFO
        assert run.config == {"windows": {"frames": 10}}
        assert run.gaps == gaps
        assert [event.text for event in run.events] == ["the stage drifted"]
        assert run.segments[0].segment == make_segment() and run.segments[0].grid == GRID
        assert run.ledger == {0: {"seen": 3, "committed": 0, "lost": {"ring": 3}, "deselected": 0, "tail": 0}}


def test_a_buffer_may_be_reused_as_soon_as_it_was_handed_over(tmp_path: Path) -> None:
    """A tensorstore write that is only queued reads the buffer later: 29 of 30 frames came out wrong that way."""
    buffer = np.zeros(GRID.shape, np.uint16)
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        for window in range(30):
            buffer[:] = window + 1
            map = LocalizationMap(0, window, 10 * window, 10 * window + 10, buffer, GRID)
            writer.write_map(map, empty_localizations())
            buffer[:] = 9999
    with open_run(tmp_path / "run") as run:
        assert run.counts is not None
        np.testing.assert_array_equal(run.counts[:].max(axis=(1, 2)), np.arange(30) + 1)
        np.testing.assert_array_equal(run.counts[:].min(axis=(1, 2)), np.arange(30) + 1)


def test_the_full_pass_is_added_to_a_finished_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=6)
    with RunWriter.append_to(tmp_path / "run") as writer:
        for window in range(6):
            writer.write_reconstruction(Reconstruction(0, window, make_picture(7, window), "full", 5 - window))
    with open_run(tmp_path / "run") as run:
        assert run.status == "complete"
        assert run.full is not None and run.full.shape == (6, 37, 53)
        np.testing.assert_array_equal(run.full[5], encode_probability(make_picture(7, 5), "uint8"))
        assert run.counts is not None
        np.testing.assert_array_equal(run.counts[5], make_map(0, 5)[0].counts)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(2, id="one"),
        pytest.param(-1, id="last"),
        pytest.param(slice(1, 4), id="slice"),
        pytest.param(slice(None, None, 2), id="every-second"),
        pytest.param(slice(5, 3), id="nothing"),
        pytest.param((slice(None), 3, slice(2, 9)), id="a-line-over-time"),
        pytest.param((Ellipsis, 4), id="ellipsis"),
        pytest.param((1, slice(0, 5), slice(0, 5)), id="a-corner"),
    ],
)
def test_a_committed_array_is_indexed_like_numpy(tmp_path: Path, key: Any) -> None:
    write_run(tmp_path / "run", n_windows=6, finalize=False).close()
    expected = np.stack([make_map(0, window)[0].counts for window in range(6)])
    with open_run(tmp_path / "run") as run:
        assert run.counts is not None
        assert run.counts.zarr.shape[0] == 256  # longer on disk: it was never trimmed
        np.testing.assert_array_equal(run.counts[key], expected[key])
        np.testing.assert_array_equal(np.asarray(run.counts), expected)
        with pytest.raises(IndexError, match=r"\[0, 6\)"):
            run.counts[6]


def test_reading_a_run_imports_neither_torch_nor_qt() -> None:
    """A viewer reads the store, and on Windows torch after Qt can fail to load."""
    code = "import sys, dblink_live.store; print(sorted({'torch', 'PySide6', 'yaozarrs'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"


def test_predicted_errors_are_stored_beside_their_pictures(tmp_path: Path) -> None:
    errors = [np.full(GRID.shape, 0.2 * window, np.float32) for window in range(3)]
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        for window, error in enumerate(errors):
            writer.write_map(*make_map(0, window))
            writer.write_reconstruction(
                Reconstruction(0, window, make_picture(0, window), "bounded", LOOKAHEAD, error=error)
            )
        writer.write_ledger(0, balanced_ledger(3))
    with open_run(tmp_path / "run") as run:
        assert run.error is not None
        assert run.error[:] * run.error.value_scale == pytest.approx(np.stack(errors), abs=0.5 / 255 + 1e-6)
        assert [row.window for row in run.windows("error")] == [0, 1, 2]
    assert verify_run(tmp_path / "run").problems == []
