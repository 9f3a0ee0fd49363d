"""A camera that gives nothing any more, or that is taken away: what the run says, and what it keeps."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("pymmcore", reason="needs the extra 'micromanager'")

from dblink_live.config import run_config_from_plain
from dblink_live.errors import SourceError
from dblink_live.models import load_model
from dblink_live.pipeline import live_loop as live_loop
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.stall_detector import StallDetector
from dblink_live.pipeline.totals import LineTotals
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import CameraRecipe, RunInfo

CONFIG = run_config_from_plain({"camera": {"pixel_size_nm": 100.0}})
INFO = RunInfo(uuid="silent", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="-")


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_program_that_went_away_is_named_instead_of_guessed_at() -> None:
    now_s = 0.0
    watch = StallDetector(10.0, lambda: now_s)
    lost = "Micro-Manager at port 4827 was closed"
    assert watch.look(False, None, lost) == f"{lost}; the run waits for it and goes on when it is back"
    now_s = 60.0
    assert watch.look(False, None, lost) is None
    assert watch.words.startswith(lost) and "trigger" not in watch.words
    assert watch.look(True, None) == "the camera gives frames again, after 60 s"
    assert watch.words == ""


def test_a_silence_is_said_once_and_its_end_too() -> None:
    clock = Clock()
    watch = StallDetector(10.0, clock)
    assert watch.look(True, 20.0) is None
    clock.now_s = 9.9
    assert watch.look(False, 20.0) is None
    clock.now_s = 10.0
    assert "no camera frame for 10 s" in (watch.look(False, 20.0) or "")
    clock.now_s = 60.0
    assert watch.look(False, 20.0) is None
    assert "no camera frame for 10 s" in watch.words
    assert watch.look(True, 20.0) == "the camera gives frames again, after 60 s"
    assert watch.words == ""
    # Of a slow camera, several frames are waited for.
    clock.now_s = 80.0
    assert watch.look(False, 6000.0) is None
    clock.now_s = 90.0
    assert "for 30 s" in (watch.look(False, 6000.0) or "")


def _run(recipe: CameraRecipe, folder: Path, stop: threading.Event) -> LineTotals:
    source = CameraProcess(recipe)
    segment = source.open()
    try:
        with RunWriter.create(folder, INFO, window_frames=10) as writer:
            line = LiveLoop(source, load_model("filaments"), CONFIG, writer, should_stop=stop.is_set)
            return line.run(segment)
    finally:
        source.close()


def test_a_camera_that_hangs_is_noted_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_loop, "StallDetector", lambda: StallDetector(limit_s=0.5))
    recipe = CameraRecipe(
        name="hung",
        builder="camera_builders:demo_camera",
        options={"hangs_after": 20, "exposure_ms": 20.0},
        roi=(0, 0, 32, 32),
    )
    stop = threading.Event()
    folder = tmp_path / "hung.run"

    def stop_once_said() -> None:
        while not stop.is_set():
            time.sleep(0.05)
            try:
                with open_run(folder) as run:
                    if any("no camera frame" in event.text for event in run.events):
                        stop.set()
            except Exception:  # the run is not there yet
                continue

    threading.Thread(target=stop_once_said, daemon=True).start()
    totals = _run(recipe, folder, stop)
    # The rest of the batch in which it hung is popped too.
    assert totals.frames_seen >= totals.frames_committed >= 20
    assert totals.lost == {}
    assert verify_run(folder).ok


@pytest.mark.parametrize(
    ("failure", "reason"),
    [("ends", "the camera ended its sequence after frame"), ("crashes", "the camera process")],
)
def test_a_camera_that_is_unplugged_ends_the_run_with_the_reason(tmp_path: Path, failure: str, reason: str) -> None:
    recipe = CameraRecipe(
        name="demo",
        builder="camera_builders:demo_camera",
        options={"fails_after_s": 2.0, "failure": failure, "exposure_ms": 20.0},
        roi=(0, 0, 32, 32),
    )
    folder = tmp_path / "unplugged.run"
    with pytest.raises(SourceError, match=reason):
        _run(recipe, folder, threading.Event())
    with open_run(folder) as run:
        assert any("the source failed" in event.text for event in run.events)
        assert len(run.windows("counts")) > 0
    report = verify_run(folder)
    assert report.ok, report.problems
