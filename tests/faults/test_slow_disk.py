"""A disk that is slower than the camera, and a ring that overruns meanwhile: frames are lost whole, and counted."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_runs import WINDOW_FRAMES, check_ledgers, run_line
from ring_source import RingSource, camera_of

from benchmarks.edge_reader import reading_at_the_edge
from dblink_live.simulate import make_camera
from dblink_live.store import open_run
from dblink_live.store.arrays import PendingWrite, SeriesWriter
from dblink_live.types import FrameArray, Shape

SHAPE = Shape(12, 12)
N_FRAMES = 480
FPS = 400


@pytest.fixture(scope="module")
def frames() -> FrameArray:
    camera = make_camera("filaments", SHAPE, seed=4)
    return np.stack([camera.frame(n) for n in range(N_FRAMES)])


class _Delayed:
    """A write that is on the disk only a while after it could have been."""

    def __init__(self, pending: PendingWrite, delay_s: float) -> None:
        self._pending = pending
        self._delay_s = delay_s

    def result(self) -> None:
        time.sleep(self._delay_s)
        self._pending.result()


def test_a_slow_disk_costs_whole_frames_that_are_counted(
    tmp_path: Path, frames: FrameArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SeriesWriter.write

    def write_slowly(self: SeriesWriter, index: int, image: Any) -> Any:
        # Twice a window: eight times what the camera takes for one.
        return _Delayed(write(self, index, image), 4 * WINDOW_FRAMES / FPS)

    monkeypatch.setattr(SeriesWriter, "write", write_slowly)
    n_taken = 0

    def n_due() -> int:
        nonlocal n_taken
        n_new = int((time.perf_counter() - started) * FPS) - n_taken
        n_taken += n_new
        return n_new

    folder = tmp_path / "slow.run"
    with reading_at_the_edge(folder) as edge:
        started = time.perf_counter()
        source = RingSource(SHAPE, 32, camera_of(frames, n_due))
        run_line(source, folder)
    sums = check_ledgers(folder)
    assert sums["seen"] == N_FRAMES
    assert sums["lost"] == {"reconstruct": source.n_skipped}
    # Ring and queue together hold less than half of the frames, and the disk takes a few of them while they come.
    assert 0 < source.n_skipped < N_FRAMES
    assert edge.problems == [] and edge.n_compared > 0
    with open_run(folder) as run:
        assert run.status == "complete"
        assert run.committed_count("live") == run.committed_count("counts") > 0


@pytest.mark.parametrize("n_slots", [8, 40])
def test_a_ring_that_overruns_now_and_then_moves_nothing_else(tmp_path: Path, frames: FrameArray, n_slots: int) -> None:
    """A main process that stands still while the camera takes more than the ring holds."""
    undisturbed = RingSource(SHAPE, N_FRAMES, camera_of(frames, lambda: N_FRAMES))
    run_line(undisturbed, tmp_path / "undisturbed.run")
    assert undisturbed.n_skipped == 0
    taken = itertools.cycle([5, 3, 45, 2, 6, 4, 7])
    source = RingSource(SHAPE, n_slots, camera_of(frames, lambda: next(taken)))
    run_line(source, tmp_path / "overrun.run")
    sums = check_ledgers(tmp_path / "overrun.run")
    assert sums["seen"] == N_FRAMES
    assert sums["lost"] == {"reconstruct": source.n_skipped} and source.n_skipped > 0
    assert len(source.delivered) == N_FRAMES - source.n_skipped
    n_whole = 0
    with open_run(tmp_path / "overrun.run") as run, open_run(tmp_path / "undisturbed.run") as whole:
        expected = {row.start: whole.read_window(row) for row in whole.windows("counts")}
        for row in run.windows("counts"):
            # A segment that begins behind a loss cuts its windows elsewhere.
            if row.n_frames_missing == 0 and row.start in expected:
                n_whole += 1
                np.testing.assert_array_equal(run.read_window(row), expected[row.start])
    assert n_whole > 0
