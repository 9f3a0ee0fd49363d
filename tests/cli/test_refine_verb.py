"""The verb `refine`, as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations

N_WINDOWS = 12


def write_run(folder: Path, checkpoint: Path, side: int, n_windows: int) -> None:
    """A run of empty maps."""
    config = {"reconstruct": {"model": str(checkpoint)}}
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config=config, model="tiny", model_sha256="")
    grid = Grid(40.0, Shape(side, side))
    with RunWriter.create(folder, info, window_frames=10) as writer:
        writer.begin_segment(Segment(0, Shape(side // 4, side // 4), "uint16", pixel_size_nm=160.0), grid)
        for t in range(n_windows):
            counts = np.zeros(grid.shape, np.uint16)
            writer.write_map(LocalizationMap(0, t, 10 * t, 10 * t + 10, counts, grid), empty_localizations())
        n_frames = 10 * n_windows
        writer.write_ledger(0, {"seen": n_frames, "committed": n_frames, "lost": {}, "deselected": 0, "tail": 0})


def test_refine_reports_what_it_did_and_does_nothing_twice(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cells.run"
    write_run(folder, checkpoint, 32, N_WINDOWS)
    assert main(["refine", str(folder), "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["windows"] == {"counts": N_WINDOWS, "full": N_WINDOWS}
    assert (figures["written"], figures["lookahead"], figures["tile_px"]) == (N_WINDOWS, "full", None)
    assert 0 < figures["memory_mb"]["planned"] <= figures["memory_mb"]["budget"]
    assert main(["refine", str(folder), "--device", "cpu"]) == 0
    assert "0 new" in capsys.readouterr().out
    assert main(["verify", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"]["full"] == N_WINDOWS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--lookahead", "half"], "expected a number of windows or full", id="lookahead"),
        pytest.param(["--memory-mb", "0"], "expected 1 or more", id="no memory"),
        pytest.param(["--memory-mb", "1", "--tile-px", "512"], "--memory-mb more", id="too little memory"),
        pytest.param(["--model", "filamnets"], "filaments", id="unknown model"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_the_run_as_it_was(
    options: list[str], message: str, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cells.run"
    write_run(folder, checkpoint, 128, 1)
    assert main(["refine", str(folder), "--device", "cpu", *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    with open_run(folder) as run:
        assert run.full is None and run.full_facts is None
    assert main(["refine", str(tmp_path), *options]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process alone")
def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path, checkpoint: Path, repository: Path) -> None:
    folder = tmp_path / "cells.run"
    write_run(folder, checkpoint, 160, 150)
    command = [sys.executable, "-m", "dblink_live", "refine", str(folder), "--device", "cpu", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with open_run(folder) as run:
                if run.committed_count("full") >= 2:
                    break
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    written = json.loads(output)["written"]
    assert 2 <= written < 150
    report = verify_run(folder)
    assert report.ok and report.windows["full"] == written, report.problems
