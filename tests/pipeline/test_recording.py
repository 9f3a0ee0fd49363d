"""A run that records its camera frames, in a process of its own beside the camera's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import zarr

from dblink_live.cli.main import main
from dblink_live.config import run_config_from_plain
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.sources import parse_source
from dblink_live.sources.simulated import simulator_of
from dblink_live.store import open_run, read_raw, verify_run
from dblink_live.store.hierarchy import FOLDER_NAME

pytest.importorskip("pymmcore_plus", reason="needs the extra 'micromanager'")

RECORD = run_config_from_plain({"store": {"record": True}, "camera": {"pixel_size_nm": 100.0}})
SPEC = "sim:filaments?frames=100&fps=25&size=32&seed=5"


def _recorder_pids() -> list[int]:
    """Of this process's living children."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "dblink_live.pipeline.recording.record_process" in child.cmdline():
                found.append(child.pid)
    return found


def test_every_frame_of_the_camera_is_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_live_run(SPEC, folder, RECORD, publish=False) as session:
        session.run()
    assert _recorder_pids() == []
    (raw,) = read_raw(folder)
    assert raw.numbers.tolist() == list(range(100))
    assert np.all(np.diff(raw.t_host_ns) > 0)
    stored = zarr.open_array(folder / FOLDER_NAME / "raw" / "0", mode="r")
    simulator = simulator_of(parse_source(SPEC))
    assert np.array_equal(stored[:], np.stack([simulator.frame(number) for number in range(100)]))
    report = verify_run(folder)
    assert report.ok, report.problems


def test_a_run_goes_on_without_a_recorder_that_died(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def kill_once(n_seen: int) -> None:
        for pid in _recorder_pids() if n_seen else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()

    with open_live_run(SPEC, folder, RECORD, publish=False) as session:
        totals = session.run(on_progress=kill_once).totals
    assert totals.frames_seen == 100
    assert "record" not in totals.lost
    with open_run(folder) as run:
        assert any("raw recording stopped" in event.text for event in run.events)
    report = verify_run(folder)
    assert report.ok, report.problems


def test_a_recorder_that_does_not_come_up_is_a_failure_and_no_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()
    before = set(psutil.Process().children())

    def kill_at_birth() -> None:
        while not over.wait(0.01):
            for pid in _recorder_pids():
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()

    killer = threading.Thread(target=kill_at_birth, daemon=True)
    killer.start()
    try:
        status = main(["run", "--source", SPEC, "--out", str(tmp_path / "run"), "--record", "--no-view"])
    finally:
        over.set()
        killer.join()
    assert status == 1
    assert "expected the recorder of" in capsys.readouterr().err
    assert set(psutil.Process().children()) <= before


def test_the_frames_of_a_file_are_not_recorded_twice(tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.full((10, 32, 32), 100, np.uint16), photometric="minisblack")
    folder = tmp_path / "run"
    with open_live_run(f"tiff:{stack}", folder, RECORD, publish=False) as session:
        session.run()
    assert read_raw(folder) == []
    with open_run(folder) as run:
        assert any("are stored already" in event.text for event in run.events)


def test_the_recorder_imports_neither_torch_nor_qt() -> None:
    code = (
        "import sys, dblink_live.pipeline.recording.record_process\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'PySide6')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
