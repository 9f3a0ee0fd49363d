"""The verbs `demo` and `run`, as a user starts them: a process of their own, a real core behind the camera."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dblink_live.store import open_run, verify_run

pytest.importorskip("pymmcore_plus", reason="the simulated camera needs the extra 'micromanager'")

COMMAND = [sys.executable, "-m", "dblink_live"]


def test_demo_ends_with_its_figures_a_whole_run_and_a_picture(tmp_path: Path) -> None:
    folder = tmp_path / "demo.run"
    command = [*COMMAND, "demo", "--headless", "--frames", "125", "--out", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["run"] == str(folder)
    frames = figures["frames"]
    assert frames["seen"] == 125
    assert frames["seen"] == frames["committed"] + sum(frames["lost"].values()) + frames["tail"]
    assert set(figures["latency_s"]) == {"p50", "p99", "budget"}
    assert figures["latency_s"]["budget"] == pytest.approx(12 * 0.2 + 2)  # lookahead 8 and hop 4, windows of 0.2 s
    assert len(figures["live_region"]) == 4
    assert all(set(row) >= {"from_window", "to_window", "step"} for row in figures["degraded"])
    assert figures["verdict"]["light"] in ("green", "amber", "red")
    assert "64 x 64 at 50 fps" in figures["forecast"]["line"]
    assert figures["forecast"]["line"] in done.stderr
    assert set(figures["truth"]) >= {"f1_1px", "fidelity", "precision", "hallucination", "false_positive_rate"}
    assert 0.0 < figures["windowed_sum"]["f1_1px"] < 1.0
    assert figures["fps_asked"] == 50.0
    assert figures["device"]
    assert verify_run(folder).ok
    assert (folder / "report" / "panels.png").stat().st_size > 10_000


def test_the_first_ctrl_c_ends_a_run_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "interrupted.run"
    source = "sim:filaments?fps=50&frames=5000&size=32&seed=3"
    command = [*COMMAND, "run", "--no-view", "--source", source, "--out", str(folder), "--json"]
    own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **own_group)
    try:
        deadline = time.monotonic() + 120
        while not _n_committed(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    seen = json.loads(output)["frames"]["seen"]
    assert 0 < seen < 5000
    report = verify_run(folder)
    assert report.ok, report.problems
    with open_run(folder) as run:
        assert run.status == "complete"


def _n_committed(folder: Path) -> int:
    if not (folder / "journal.sqlite").exists():
        return 0
    try:
        with open_run(folder) as run:
            return run.committed_count("counts")
    except Exception:
        return 0  # the journal is just being made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--source", "sim:filaments", "--set", "camera.pixel_sise_nm=1"], "camera.pixel_size_nm", id="key"
        ),
        pytest.param(["--source", "tiff:nowhere.tif"], "nowhere.tif", id="no such stack"),
        pytest.param(["--source", "sim:golgi"], "sim:filaments", id="unknown specimen"),
        pytest.param(["--source", "mm:core?config=none.cfg"], "none.cfg", id="no such configuration"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dblink_live.cli import main

    folder = tmp_path / "never.run"
    assert main(["run", "--no-view", "--out", str(folder), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not folder.exists()


def test_no_micro_manager_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "never.run"
    # In a process of its own, for it lowers its priority.
    command = [*COMMAND, "run", "--no-view", "--source", "mm:live?port=1", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "no server listening there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("source", "gives_way"),
    [("ndtiff:{folder}?watch=true", True), ("sim:filaments?fps=50&frames=5000&size=32", False)],
    ids=["another program's", "our camera"],
)
def test_beside_another_program_a_run_gives_way(source: str, gives_way: bool, tmp_path: Path) -> None:
    watched = tmp_path / "data"
    watched.mkdir()
    spec, out = source.format(folder=watched), str(tmp_path / "a.run")
    command = [*COMMAND, "run", "--no-view", "--source", spec, "--out", out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert any(word in line for word in ("waiting for the next dataset", "live at")), line
        assert (psutil.Process(process.pid).nice() != psutil.Process().nice()) == gives_way
    finally:
        process.kill()
        process.communicate()
