"""Differences between versions, names and servers of the bridge; Micro-Manager's own server where one is named.

``DBLINK_MICROMANAGER_PORT=4827 pytest tests/sources/micromanager/test_real_bridge.py`` asks a Micro-Manager that runs
with its pycro-manager server on, and Live off. Nothing is set or snapped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")

from bridge_client import RunningMicroManager
from test_bridge_recording import replay

from dblink_live.errors import SourceError
from dblink_live.sources import open_source
from dblink_live.sources.camera_process import launch_camera
from dblink_live.sources.micromanager.acquisition_events import axes_key
from dblink_live.sources.micromanager.acquisition_plan import AcquisitionPlan
from dblink_live.sources.micromanager.bridge import other_version
from dblink_live.sources.micromanager.bridge_recording import read_recording
from dblink_live.sources.micromanager.client_repairs import _insert_array
from dblink_live.types import Frame, Segment
from dblink_live.workflows.doctor.microscope import inspect_bridge

ASK = """
import json, os, sys
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager import bridge
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.segments import segment_of
core = CameraCore(bridge.connect(int(sys.argv[1])))
segment = segment_of(core, HostClock.now())
found = {"camera": core.label, "channel": core.channel, "stage_um": core.stage_um}
for name in ("shape", "dtype", "exposure_ms", "roi", "pixel_size_nm", "bit_depth"):
    found[name] = getattr(segment, name)
try:
    core.peek(0)
except Exception as error:
    found["no_image"] = bridge.first_line(error)
print(json.dumps(found), flush=True)
os._exit(0)
"""
RECORDED = Path(__file__).with_name("recorded_bridge.json")


@pytest.fixture
def running() -> Iterator[RunningMicroManager]:
    micromanager = RunningMicroManager()
    yield micromanager
    micromanager.kill()


@pytest.fixture
def real_port() -> int:
    text = os.environ.get("DBLINK_MICROMANAGER_PORT")
    if text is None:
        pytest.skip("no Micro-Manager is named; DBLINK_MICROMANAGER_PORT=4827 names one that runs")
    return int(text)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(None, None, id="unknown"),
        pytest.param("5.1.0", None, id="the same"),
        pytest.param("5.0.9", "newer nightly build of Micro-Manager", id="an older server"),
        pytest.param("6.0.0", "upgrade pycromanager", id="a newer server"),
    ],
)
def test_a_bridge_of_another_version_is_named(found: str | None, words: str | None) -> None:
    said = other_version(found)
    assert (said is None) if words is None else (said is not None and words in said and str(found) in said)


def test_doctor_names_the_version_of_the_bridge() -> None:
    micromanager = RunningMicroManager(version="5.0.0")
    try:
        camera, _, problems = inspect_bridge(micromanager.port)
    finally:
        micromanager.kill()
    assert camera is not None and camera.camera == "Camera"
    assert len(problems) == 1 and "found 5.0.0" in problems[0]


def test_the_recorded_bridge_of_a_real_micromanager_is_understood() -> None:
    port = replay(read_recording(RECORDED))
    done = subprocess.run([sys.executable, "-c", ASK, str(port)], check=True, capture_output=True, encoding="utf-8")
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "camera": "Camera", "shape": [128, 128], "dtype": "uint16", "exposure_ms": 10.0, "roi": [0, 0, 128, 128],
        "pixel_size_nm": 1000.0, "bit_depth": 16, "channel": "DAPI", "stage_um": [0.0, 0.0],
        "no_image": "java.lang.Exception: Circular buffer is empty.",
    }  # fmt: skip


def test_an_acquisition_leaves_nothing_in_micromanager(running: RunningMicroManager) -> None:
    running.do("setROI", 0, 0, 32, 24)
    source = open_source(f"mm:acquisition?port={running.port}&frames=5", launch=launch_camera)
    found: list[Any] = [source.open()]
    while not source.is_finished:
        found += source.read(64, 0.2)
    source.close()
    assert [event.number for event in found if isinstance(event, Frame)] == [0, 1, 2, 3, 4]
    assert running.do("n_objects") == 0
    assert running.do("n_servers") == 1


def test_names_outside_latin_1_are_found_and_shown(running: RunningMicroManager, tmp_path: Path) -> None:
    running.do("setROI", 0, 0, 32, 24)
    for name in ("赤-1", "青-2"):
        running.do("defineConfig", "Channel", name, "Camera", "Gain", "1")
    events = tmp_path / "plan.toml"
    events.write_text("num_time_points = 3\nchannel_group = 'Channel'\nchannels = ['赤-1', '青-2']\n", encoding="utf-8")
    source = open_source(f"mm:acquisition?port={running.port}&events={events}&channel=青-2", launch=launch_camera)
    found: list[Any] = [source.open()]
    while not source.is_finished:
        found += source.read(64, 0.2)
    source.close()
    assert isinstance(found[0], Segment) and found[0].channel == "青-2"
    assert [event.number for event in found if isinstance(event, Frame)] == [0, 1, 2]


def test_names_that_the_bridge_makes_equal_are_refused() -> None:
    events: list[Any] = [{"axes": {"channel": name, "time": 0}} for name in ("赤", "青")]
    plan = AcquisitionPlan.of(events)
    with pytest.raises(SourceError, match="differ in Latin-1"):
        plan.as_answered()
    assert AcquisitionPlan.of(events[:1]).as_answered().numbers == {axes_key({"channel": "?", "time": 0}): 0}


def test_doctor_records_without_a_word_of_pyjavaz(running: RunningMicroManager, tmp_path: Path) -> None:
    path = tmp_path / "scope.json"
    command = ["-m", "dblink_live", "doctor", "--record-bridge", str(path), "--port", str(running.port), "--json"]
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, encoding="utf-8")
    assert json.loads(done.stdout)
    assert "ignored" not in done.stderr and "Traceback" not in done.stderr
    assert running.do("n_objects") == 0


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"tags": {"Readout": "5MHz@x", "At": "a@ff"}, "pix": "[S@1f"}, id="texts with an @ before"),
        pytest.param({"list": ["@zz", {"pix": "@1f"}]}, id="within a list"),
    ],
)
def test_an_array_takes_the_place_of_its_name_alone(message: dict[str, Any]) -> None:
    assert _insert_array(None, message, 0x1F, b"pixels")
    text = json.dumps(message, default=lambda content: content.decode())
    assert text.count("pixels") == 1 and "1f" not in text and "@" in text


def test_a_real_micromanager_is_understood(real_port: int, tmp_path: Path) -> None:
    camera, _, problems = inspect_bridge(real_port)
    assert camera is not None and problems == ()
    path = tmp_path / "scope.json"
    command = ["-m", "dblink_live", "doctor", "--record-bridge", str(path), "--port", str(real_port), "--json"]
    subprocess.run([sys.executable, *command], check=True, capture_output=True, encoding="utf-8")
    again, _, _ = inspect_bridge(replay(read_recording(path)))
    assert again == camera
