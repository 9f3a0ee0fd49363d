"""``mm:core``: a real core through pycromanager, in its own process, and what goes wrong on a microscope PC."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.sources import open_source
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.sources.micromanager import core as micromanager
from dblink_live.types import Frame, Shape

mm_test_adapters = pytest.importorskip("mm_test_adapters", reason="needs the extra 'micromanager'")


def test_every_frame_of_a_real_core_arrives_once_and_in_order() -> None:
    source = open_source("mm:core?config=MMConfig_demo.cfg&exposure_ms=5&frames=200", launch=CameraProcess)
    segment = source.open()
    assert segment.shape == Shape(512, 512)
    assert segment.dtype == "uint16"
    assert segment.exposure_ms == 5.0
    assert segment.pixel_size_nm == 1000.0
    assert source.is_live
    assert source.n_frames_expected == 200
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(64, 0.2)
    source.close()
    frames = [event for event in events if isinstance(event, Frame)]
    assert len(frames) == len(events)
    assert [frame.number for frame in frames] == list(range(200))
    # Time of arrival in the core, on the host's clock: it rises, and lies within the segment.
    times = np.array([frame.t_host_ns for frame in frames])
    assert (np.diff(times) > 0).all()
    assert times[0] > segment.host_anchor_ns
    # The demo camera's pictures change from frame to frame: equal ones would be one slot read twice.
    assert all(not np.array_equal(a.data, b.data) for a, b in itertools.pairwise(frames))


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "scope.cfg"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(None, "found no such file", id="no file"),
        pytest.param(
            "Device,Cam,AndorSDK3,Zyla\n",
            r"found none called AndorSDK3 \(for Cam\) in .*MICROMANAGER_PATH .*Hardware Configuration Wizard",
            id="missing adapter",
        ),
        pytest.param(
            "Device,Stage,ASITiger,Z\nDevice,Lamp,ASITiger,L\nDevice,Cam,Ueye,IDS\n",
            r"found none called ASITiger \(for Stage, Lamp\) and Ueye \(for Cam\)",
            id="several missing adapters",
        ),
        pytest.param("Device,Cam,DemoCamera,NoSuchCamera\n", "expected Micro-Manager to load", id="missing device"),
        pytest.param("Device,Shutter,DemoCamera,DShutter\n", "expected a camera in", id="no camera"),
    ],
)
def test_a_configuration_that_cannot_be_loaded_says_why(lines: str | None, message: str, config: Path) -> None:
    if lines is not None:
        config.write_text(lines + "Property,Core,Initialize,1\n", encoding="utf-8")
    source = open_source(f"mm:core?config={config}", launch=CameraProcess)
    with pytest.raises(SourceError, match=message):
        source.open()


@pytest.mark.skipif(sys.platform != "linux", reason="an adapter's file has another name elsewhere")
def test_an_adapter_that_cannot_be_loaded_says_what_may_be_missing(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a camera whose maker's driver is not installed: the adapter's file is there."""
    (tmp_path / "libmmgr_dal_PVCAM.so.0").write_bytes(b"no library")
    config.write_text("Device,Cam,PVCAM,Camera-1\nProperty,Core,Initialize,1\n", encoding="utf-8")
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    source = open_source(f"mm:core?config={config}", launch=CameraProcess)
    with pytest.raises(SourceError, match=r'adapter "PVCAM".* install the driver of the device.s maker') as raised:
        source.open()
    assert "\n" not in str(raised.value)


def test_versions_that_do_not_fit_are_both_named() -> None:
    micromanager.check_adapter_versions("12.5.1.75.0", "75.20261014.post1")
    with pytest.raises(SourceError, match=r"pymmcore 12\.5\.1\.75\.0, found mm-test-adapters 74\.2 of interface 74"):
        micromanager.check_adapter_versions("12.5.1.75.0", "74.2")


def test_the_folder_that_holds_all_adapters_is_taken(tmp_path: Path, config: Path) -> None:
    config.write_text("Device,Cam,Andor,Zyla\nDevice,Stage,ASI,XY\n# Device,Old,Gone,X\n", encoding="utf-8")
    poor, rich = tmp_path / "poor", tmp_path / "rich"
    for folder, names in ((poor, ["libmmgr_dal_Andor.so.0"]), (rich, ["mmgr_dal_Andor.dll", "mmgr_dal_ASI.dll"])):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    assert micromanager.choose_folder(config, [poor, rich]) == rich
    with pytest.raises(SourceError, match=r"found none called ASI \(for Stage\) in"):
        micromanager.choose_folder(config, [poor])
    with pytest.raises(SourceError, match="found no folder of any"):
        micromanager.choose_folder(config, [])


def test_the_variable_names_the_first_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    folders = micromanager.adapter_folders()
    assert folders[0] == tmp_path
    assert Path(mm_test_adapters.device_adapter_path()) in folders
