"""Processes that are suspended, as by Ctrl-Z, a debugger or a machine that swaps: the rest of the run does not notice.

SIGSTOP and SIGCONT; on Windows psutil suspends the threads of a process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from dying_run import make_config
from line_runs import check_ledgers

from dblink_live.pipeline.live_run import open_live_run
from dblink_live.simulate import make_camera
from dblink_live.store import open_run
from dblink_live.types import Shape

DEADLINE_S = 300.0
N_FRAMES = 205


def _wait_for(is_there: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + DEADLINE_S
    while not is_there():
        assert time.perf_counter() < deadline
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _has_connected(pid: int) -> bool:
    return any(link.status == psutil.CONN_ESTABLISHED for link in psutil.Process(pid).net_connections("tcp"))


def test_a_suspended_viewer_costs_nothing(tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("PySide6.QtWidgets")
    camera = make_camera("filaments", Shape(16, 16), seed=11)
    stack = tmp_path / "filaments.tif"
    tifffile.imwrite(stack, np.stack([camera.frame(n) for n in range(N_FRAMES)]), photometric="minisblack")
    address = f"tcp://127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "dblink_live.viewer", address]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    config = make_config(publish={"address": address})
    with open_live_run(f"tiff:{stack}", tmp_path / "seen.run", config) as session:
        viewer = subprocess.Popen(command, env=environment)
        try:
            _wait_for(lambda: _has_connected(viewer.pid))
            psutil.Process(viewer.pid).suspend()
            totals = session.run().totals
            assert psutil.Process(viewer.pid).status() == psutil.STATUS_STOPPED
        finally:
            viewer.kill()
            viewer.wait()
    assert (totals.frames_seen, totals.lost, totals.windows_live) == (N_FRAMES, {}, N_FRAMES // 10)
    assert check_ledgers(tmp_path / "seen.run")["committed"] == N_FRAMES // 10 * 10


@pytest.mark.slow
def test_a_suspended_main_process_skips_whole_frames_and_counts_them(tmp_path: Path, repository: Path) -> None:
    """The camera goes on; its ring holds six seconds, so that three of nine are lost, and said to be."""
    pytest.importorskip("pymmcore_plus")
    folder, fps, n_frames = tmp_path / "suspended.run", 50, 650
    command = [sys.executable, "-m", "dblink_live", "run", "--no-view", "--json", "--out", str(folder)]
    command += ["--source", f"sim:filaments?fps={fps}&size=24&seed=3&frames={n_frames}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(repository)})
    try:
        _wait_for(lambda: _n_windows(folder) > 0)
        psutil.Process(process.pid).suspend()
        n_before = _n_windows(folder)
        time.sleep(9.0)
        assert _n_windows(folder) == n_before
        psutil.Process(process.pid).resume()
        answer, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    figures = json.loads(answer)
    sums = check_ledgers(folder)
    assert sums["seen"] == figures["frames"]["seen"] == n_frames
    assert set(sums["lost"]) == {"reconstruct"} and sums["lost"]["reconstruct"] > fps
    with open_run(folder) as run:
        assert run.status == "complete"
        # Pictures that could only have been shown too late were not made, and the journal says of which windows.
        made = {(row.segment, row.window) for row in run.windows("live")}
        told = {(step.segment, step.window) for step in run.live_steps()}
        assert made | told == {(row.segment, row.window) for row in run.windows("counts")}
        assert len(made | told) > n_before


def _n_windows(folder: Path) -> int:
    if not (folder / "journal.sqlite").exists():
        return 0
    try:
        with open_run(folder) as run:
            return run.committed_count("counts")
    except Exception as error:
        # The journal's tables come in one transaction: before it there is a file and no run.
        assert "readable database" in str(error), error
        return 0
