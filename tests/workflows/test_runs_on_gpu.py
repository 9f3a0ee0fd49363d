"""Runs, refinements and the verbs around them on a CUDA device."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dblink_live.cli import main
from dblink_live.pipeline.provenance import describe_host
from dblink_live.store import open_run
from dblink_live.workflows.doctor import machine
from dblink_live.workflows.doctor.capacity import measure_capacity

pytestmark = pytest.mark.gpu


def pictures(path: Path, series: str) -> npt.NDArray[np.uint8]:
    with open_run(path) as run:
        return np.stack([run.read_window(row) for row in run.windows(series)])


def live_run(path: Path, device: str) -> Path:
    settings = [f"reconstruct.device={device}", "reconstruct.lookahead=4", "live.latency_s=1000"]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    source = "sim:filaments?frames=200&fps=1000&seed=3"
    assert main(["run", "--source", source, "--out", str(path), "--no-view", *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def runs(device: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same recording: on the CPU, and on the device."""
    folder = tmp_path_factory.mktemp("runs")
    return live_run(folder / "cpu.run", "cpu"), live_run(folder / "device.run", device)


def test_a_live_run_stores_the_cpus_pictures(runs: tuple[Path, Path], device: str) -> None:
    counts = [pictures(path, "counts") for path in runs]
    np.testing.assert_array_equal(counts[0], counts[1])
    both = [pictures(path, "live").astype(int) for path in runs]
    assert both[0].shape == both[1].shape and both[0].std() > 0
    # 255 steps of probability; TF32 is a hundredth of the range.
    assert np.abs(both[0] - both[1]).max() <= 3


def test_a_run_stores_the_name_of_the_card(device: str) -> None:
    described = describe_host(torch.device(device))
    assert described["device"] == device
    assert ("gpu" in described) == (device == "cuda")
    assert device == "cpu" or described["gpu"] == torch.cuda.get_device_name()


@pytest.mark.parametrize("arguments", [[], ["--tile-px", "128"]], ids=["whole", "tiles"])
def test_a_refinement_gives_the_cpus_pictures(
    runs: tuple[Path, Path], device: str, tmp_path: Path, arguments: list[str]
) -> None:
    found = []
    for number, name in enumerate(("cpu", device)):
        path = Path(shutil.copytree(runs[0], tmp_path / f"{number}.run"))
        assert main(["refine", str(path), "--device", name, *arguments]) == 0
        found.append(pictures(path, "full").astype(int))
    assert np.abs(found[0] - found[1]).max() <= 3


def test_a_refinement_by_workers(runs: tuple[Path, Path], device: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    alone, together = (Path(shutil.copytree(runs[0], tmp_path / f"{name}.run")) for name in ("alone", "together"))
    assert main(["refine", str(alone), "--device", device]) == 0
    command = [sys.executable, "-m", "dblink_live", "refine", str(together), "--device", device, "--workers", "2"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    difference = pictures(alone, "full").astype(int) - pictures(together, "full").astype(int)
    assert np.abs(difference).max() <= 3


def test_reconstruct_takes_the_device(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "maps.npy", np.random.default_rng(0).poisson(0.05, (12, 40, 40)).astype(np.uint16))
    arguments = [
        "reconstruct",
        str(tmp_path / "maps.npy"),
        "--out",
        str(tmp_path / "video.ome.zarr"),
        "--device",
        device,
    ]
    assert main([*arguments, "--json"]) == 0
    assert device in capsys.readouterr().out or device == "cpu"


def test_doctor_names_the_card_and_measures_its_field(device: str) -> None:
    facts = machine.inspect_torch()
    assert facts.device == device and facts.problems == ()
    measured = measure_capacity(device)
    assert all(field.fps > 0 for field in measured.fields)
    assert measured.largest.memory_side_px > 0
    if device == "cuda":
        (gpu, *_) = machine.inspect_gpus()
        assert gpu.name in facts.description and gpu.memory_gb and gpu.compute_capability
        assert machine.gpu_problems([gpu], facts) == ()
        assert measured.largest.side_px > 0, "no card of ours holds less than 8 x 8 px"


def test_setup_accepts_the_card(device: str, repository: Path) -> None:
    """The program with which run.py proves that torch computes on the card."""
    text = (repository / "run.py").read_text(encoding="utf-8")
    program = text.partition('CUDA_CHECK = """')[2].partition('"""')[0]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert (done.returncode == 0) == (device == "cuda"), done.stderr
