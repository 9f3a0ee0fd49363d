"""`doctor`: every figure that it promises, and problems that name what does not fit."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dblink_live.cli import main
from dblink_live.pipeline.overload import forecast
from dblink_live.types import Shape
from dblink_live.workflows.doctor import capacity, machine, microscope

KEYS = {"torch", "device", "qt", "micromanager", "disk_mb_s", "ring_mb_s", "holds", "problems"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurements, short."""
    monkeypatch.setattr(machine, "DISK_MAX_BYTES", machine.DISK_BLOCK_BYTES)
    monkeypatch.setattr(machine, "RING_S", 0.02)
    monkeypatch.setattr(capacity, "SIDES", (16,))
    monkeypatch.setattr(forecast, "MIN_S", 0.0)


@pytest.mark.usefixtures("quick")
def test_all_figures_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="the viewer's extra is not installed")
    pytest.importorskip("pymmcore", reason="the micromanager extra is not installed")
    assert main(["doctor", "--folder", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) >= KEYS
    assert report["problems"] == []
    assert report["disk_mb_s"] > 0
    assert report["ring_mb_s"] > 0
    assert report["micromanager"]["device_interface"] == 75
    assert [row["shape"] for row in report["holds"]] == [[16, 16]]
    assert report["holds"][0]["fps"] > 0
    largest = report["largest_field"]
    assert largest["device"] == report["device"] and largest["memory_side_px"] > 0
    assert any(line.startswith(report["device_description"]) for line in report["verdicts"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--folder", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.fixture
def probe_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def answer(facts: dict[str, Any] | None, problem: str = "") -> None:
        monkeypatch.setattr(machine, "probe", lambda *_: (facts, problem))

    return answer


def test_adapters_of_another_interface_are_named_with_both_versions(probe_answers: Callable[..., None]) -> None:
    facts = {
        "pymmcore": "11.10.0.74.0",
        "device_interface": 74,
        "mm-test-adapters": "75.20261014.post1",
        "pycromanager": "1.0.2",
        "pymmcore-plus": None,
        "problem": 'Failed to load device adapter "DemoCamera"',
    }
    probe_answers(facts)
    (problem,) = machine.inspect_micromanager().problems
    for named in ("11.10.0.74.0", "74", "75.20261014.post1", "75"):
        assert named in problem
    probe_answers({**facts, "device_interface": 75})
    (problem,) = machine.inspect_micromanager().problems
    assert "Failed to load device adapter" in problem
    probe_answers({**facts, "device_interface": 75, "problem": None})
    assert machine.inspect_micromanager().problems == ()


def test_what_is_not_installed_is_a_problem_and_no_crash(probe_answers: Callable[..., None]) -> None:
    probe_answers(None, "ModuleNotFoundError: No module named 'PySide6'")
    for finding in (machine.inspect_qt(), machine.inspect_micromanager()):
        assert finding.value is None
        assert "No module named 'PySide6'" in finding.problems[0]


def test_a_probe_that_dies_says_how() -> None:
    assert machine.probe("raise SystemExit('libEGL.so.1 is missing')", {}) == (None, "libEGL.so.1 is missing")
    assert machine.probe("import os; os._exit(7)", {})[1] == "its process ended with status 7"


def test_the_interface_of_a_micromanager_folder_is_asked_of_its_adapters(tmp_path: Path) -> None:
    adapters = pytest.importorskip("mm_test_adapters", reason="the micromanager extra is not installed")
    folder = Path(adapters.device_adapter_path())
    sound = microscope.inspect_folders([folder], 75)
    assert (sound.value, sound.problems) == ({str(folder): 75}, ())
    other = microscope.inspect_folders([folder, tmp_path], 74)
    assert "built for device interface 75, pymmcore speaks 74" in other.problems[0]
    assert f"(mmgr_dal_*) in {tmp_path}, found none" in other.problems[1]
    (tmp_path / "libmmgr_dal_Broken.so.0").write_bytes(b"no library")
    assert "none of the 1 adapters" in microscope.inspect_folders([tmp_path], 75).problems[0]


def test_a_camera_is_measured_and_compared(tmp_path: Path) -> None:
    pytest.importorskip("mm_test_adapters", reason="the micromanager extra is not installed")
    camera, problems = microscope.measure_camera("MMConfig_demo.cfg", seconds=0.3)
    assert problems == ()
    assert camera is not None
    assert (camera.shape, camera.exposure_ms) == ((512, 512), 10.0)
    assert camera.fps is not None
    assert camera.fps > 0
    none, problems = microscope.measure_camera(str(tmp_path / "none.cfg"))
    assert none is None
    assert "none.cfg" in problems[0]
    (tmp_path / "other.cfg").write_text("Device,Cam,NoSuchMaker,Camera-1\n")
    none, (problem,) = microscope.measure_camera(str(tmp_path / "other.cfg"))
    assert none is None and "NoSuchMaker (for Cam)" in problem and "SourceError" not in problem


def test_the_largest_field_is_what_every_stage_and_the_memory_hold() -> None:
    fast = forecast.NetworkCost(((1e4, 1e-5), (1e6, 1e-3)))

    def largest(costs: forecast.Costs, gb: float = 100.0) -> capacity.LargestField:
        return capacity.largest_field(costs, bytes_per_pixel=46_000.0, bytes_free=gb * 1e9)

    card = forecast.Costs(1e-8, fast, window_frames=10, grid_pixels=16.0, n_cores=16)
    found = largest(card)
    assert found.limited_by == "localizer" and found.side_px == 1000  # 1e-8 s per pixel: 1e6 pixels in 10 ms
    assert card.fps_held(Shape(1000, 1000)) >= 100 > card.fps_held(Shape(1008, 1008))
    small = largest(card, gb=8.0)
    assert (small.limited_by, small.side_px) == ("memory", 392)  # 0.9 * 8e9 / 46e3 = 156,521 = 395.6 squared
    assert "memory is the limit" in small.line("a card")
    slow = largest(forecast.Costs(1e-6, forecast.NetworkCost(((16.0, 0.001), (1024.0, 0.2))), 10, 16.0, 2))
    assert slow.side_px == 0 and slow.limited_by == "network" and slow.region_px > 0
    assert f"about {slow.region_px} x {slow.region_px} px are shown live" in slow.line("2 cores")


def test_verdicts_compare_the_camera_with_every_stage() -> None:
    camera = microscope.CameraFacts("Cam", (128, 256), "uint16", 10.0, False, None, None)
    holds = [{"shape": [64, 64], "fps": 400.0}, {"shape": [256, 256], "fps": 20.0}]
    assert camera.mb_s == 6.6
    assert microscope.fps_held(holds, camera.shape) == 50.0
    rate, disk, ring, live = microscope.verdicts(camera, holds, 5.0, 900.0)
    assert "256 x 128 px, 100 frames/s (at best, by its exposure), 6.6 MB/s" in rate
    assert "is too slow for that" in disk
    assert "holds that" in ring
    assert "50 frames/s" in live
    assert "shows a part of it" in live
    unknown = microscope.CameraFacts("Cam", (8, 8), "uint8", None, False, None, None)
    assert "is not known" in microscope.verdicts(unknown, holds, 5.0, 900.0)[0]


def test_a_bridge_that_is_not_there_is_said_and_not_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = taken.getsockname()[1]
        camera, words, problems = microscope.inspect_bridge(port)
        assert (camera, problems) == (None, ())
        assert f"no server listens at port {port}" in words
        command = ["doctor", "--record-bridge", str(tmp_path / "bridge.json"), "--port", str(port)]
        assert main(command) == 2
    assert f"port {port}" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for nvidia-smi")
@pytest.mark.parametrize("knows_capability", [True, False], ids=["driver of today", "driver from before 2022"])
def test_a_card_is_named_with_driver_memory_and_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_capability: bool
) -> None:
    script = tmp_path / "nvidia-smi"
    answer = "NVIDIA GeForce GTX 1080 Ti, 560.94, 11264"
    script.write_text(
        "#!/bin/sh\n"
        "case $1 in *compute_cap*) "
        + (f"echo '{answer}, 6.1'" if knows_capability else "exit 2")
        + f";; *) echo '{answer}';; esac\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (gpu,) = machine.inspect_gpus()
    assert (gpu.name, gpu.driver, gpu.memory_gb) == ("NVIDIA GeForce GTX 1080 Ti", "560.94", 11.0)
    assert gpu.compute_capability == (6.1 if knows_capability else None)
    (problem,) = machine.gpu_problems([gpu], machine.TorchFacts("2.13.0+cu130", "cpu"))
    assert "driver 560.94" in problem and ("CUDA 12.6" in problem) == knows_capability
    assert machine.gpu_problems([gpu], machine.TorchFacts("2.13.0+cu126", "cuda")) == ()
