"""The wall clock is set while a run goes on: nothing but the times that are noted as wall clock knows of it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from line_runs import check_ledgers, run_line
from ring_source import RingSource, camera_of

from dblink_live.simulate import make_camera
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import TaggedFrame
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Shape

SHAPE = Shape(12, 12)
N_FRAMES = 105
DAY_S = 86_400


@pytest.fixture
def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question for the wall clock is answered with a time up to a day before or after."""
    chance = random.Random(8)
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + round(chance.uniform(-DAY_S, DAY_S) * 1e9))
    monkeypatch.setattr(time, "time", lambda: true_ns() * 1e-9 + chance.uniform(-DAY_S, DAY_S))


def _run(folder: Path) -> dict[str, object]:
    """A run, and all of it that is not a time of day."""
    camera = make_camera("filaments", SHAPE, seed=4)
    frames = np.stack([camera.frame(n) for n in range(N_FRAMES)])
    run_line(RingSource(SHAPE, 64, camera_of(frames, lambda: 20)), folder)
    sums = check_ledgers(folder)
    with open_run(folder) as run:
        rows = [(row.product, row.window, row.start, row.n_frames_missing, row.checksum) for row in run.windows()]
        return {"rows": rows, "localizations": run.localizations().tobytes(), "ledger": sums, "status": run.status}


def test_a_clock_that_jumps_changes_no_result(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    calm = _run(tmp_path / "calm.run")
    request.getfixturevalue("jumping_clock")
    assert _run(tmp_path / "jumping.run") == calm
    with open_run(tmp_path / "jumping.run") as run:
        times = [row.t_commit_ns for row in run.windows("counts")]
    assert times != sorted(times)  # it did jump


@pytest.mark.usefixtures("jumping_clock")
def test_a_run_that_was_closed_in_the_future_is_opened_again(tmp_path: Path) -> None:
    _run(tmp_path / "jumping.run")
    writer = RunWriter.append_to(tmp_path / "jumping.run")
    writer.event("looked at again")
    writer.finalize()
    report = verify_run(tmp_path / "jumping.run")
    assert report.ok and report.status == "complete"


@pytest.mark.parametrize("shift_s", [-DAY_S, -3600, 3600, DAY_S])
def test_a_frame_is_dated_by_the_steady_clock_when_the_other_was_set(shift_s: int) -> None:
    """The core's tags tell the time of day; one that cannot be is not believed."""
    clock = HostClock.now()
    before = time.perf_counter_ns()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + shift_s))
    tagged = TaggedFrame(np.zeros((2, 2), np.uint16), {"TimeReceivedByCore": stamp})
    assert before <= clock.received_ns(tagged) <= time.perf_counter_ns()
