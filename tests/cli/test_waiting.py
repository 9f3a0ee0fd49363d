"""Waiting for somebody else: it is said, it ends in time, and one Ctrl-C ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dblink_live.cli import main
from dblink_live.display import screen
from dblink_live.store import RunWriter
from dblink_live.types import RunInfo
from dblink_live.workflows.live.viewer_process import window_problem

COMMAND = [sys.executable, "-u", "-m", "dblink_live"]


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process alone")
def test_one_ctrl_c_ends_the_wait_for_a_dataset(tmp_path: Path) -> None:
    command = [*COMMAND, "run", "--no-view", "--source", str(tmp_path), "--out", str(tmp_path / "x.run")]
    process = subprocess.Popen([*command, "--pixel-size-nm", "100"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert "waiting for the next dataset" in said
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors.splitlines()) == (130, ["dblink-live run: interrupted"])
    assert not (tmp_path / "x.run").exists()


def test_the_wait_for_a_dataset_can_be_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "run",
        "--no-view",
        "--source",
        str(tmp_path),
        "--out",
        str(tmp_path / "x.run"),
        "--pixel-size-nm",
        "100",
    ]
    assert main([*command, "--wait-s", "0.3"]) == 2
    assert "to appear in" in (said := capsys.readouterr().err) and "within 0.3 s" in said


def test_a_wait_for_micro_manager_is_said_and_ends(tmp_path: Path) -> None:
    pytest.importorskip("pycromanager")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, "run", "--no-view", "--source", f"mm:live?port={port}", "--out", str(tmp_path / "x.run")]
    done = subprocess.run([*command, "--wait-s", "4"], capture_output=True, text=True, timeout=240, check=False)
    waiting, *_, error = done.stderr.splitlines()
    assert waiting.startswith("waiting 4 s at most: expected a running Micro-Manager")
    assert done.returncode == 2 and f"at port {port}" in error and "Tools > Options" in error


def test_a_run_that_failed_before_its_first_window_is_not_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = RunInfo("0", "2026-11-30T00:00:00+00:00", {}, "filaments", "", {}, {}, None)
    with pytest.raises(KeyboardInterrupt), RunWriter.create(tmp_path / "x.run", info, window_frames=10):
        raise KeyboardInterrupt
    assert main(["verify", str(tmp_path / "x.run")]) == 1
    assert "the run is NOT whole" in (said := capsys.readouterr().out) and "no window was committed" in said


def test_a_library_that_a_window_needs_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform in ("win32", "darwin"):
        pytest.skip("Qt brings all it needs")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setattr(screen, "_X11_LIBRARIES", {"libnosuch.so.0": "libxcb-cursor0"})
    assert "sudo apt-get install libxcb-cursor0" in (window_problem() or "")
    (tmp_path / "x.run").mkdir()
    (tmp_path / "x.run" / "journal.sqlite").touch()
    assert main(["view", str(tmp_path / "x.run")]) == 2
    assert "apt-get install libxcb-cursor0" in capsys.readouterr().err
