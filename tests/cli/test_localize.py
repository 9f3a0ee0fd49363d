"""`localize` on written and on real stacks, and a stack through `reconstruct`."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

from benchmarks.ndtiff_writers import open_writer
from dblink_live import registry
from dblink_live.cli import main
from dblink_live.store import open_run
from dblink_live.tables import read_localizations
from dblink_live.types import Localizations, empty_localizations

PIXEL_NM = 108.0
SPOT = (10.3, 15.6)
"""y, x of the only molecule, in px."""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Twenty frames of 24 x 32 px with one bright molecule in each."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:24, :32]
    spot = 5000 / (2 * np.pi * 1.1**2) * np.exp(-((y - SPOT[0]) ** 2 + (x - SPOT[1]) ** 2) / (2 * 1.1**2))
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, rng.poisson(100 + spot, (20, 24, 32)).astype(np.uint16))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".hdf5"])
def test_molecules_are_found_and_written(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    out = tmp_path / f"table{suffix}"
    facts = ["--pixel-size-nm", str(PIXEL_NM), "--offset-adu", "0", "--electrons-per-adu", "1", "--psf-sigma-px", "1.1"]
    assert main(["localize", str(stack), "--out", str(out), *facts, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 20
    assert figures["is_calibrated"] is True
    table = read_localizations(out, PIXEL_NM)
    near = np.hypot(table.localizations["y"] - SPOT[0], table.localizations["x"] - SPOT[1]) < 0.5
    assert np.count_nonzero(near) == 20
    # 5000 photons give a precision of 0.02 px, so a mean over 20 frames lies within 0.005 px; 0.02 leaves 4 sigma.
    assert table.localizations["x"][near].mean() == pytest.approx(SPOT[1], abs=0.02)
    assert table.localizations["y"][near].mean() == pytest.approx(SPOT[0], abs=0.02)
    assert figures["localizations"] == len(table.localizations)


def test_an_unknown_gain_is_said(stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["localize", str(stack), "--out", str(tmp_path / "t.csv"), "--pixel-size-nm", "108", "--json"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["is_calibrated"] is False
    assert "uncalibrated" in printed.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["stack.tif", "--out", "t.csv"], "--pixel-size-nm", id="unknown pixel size"),
        pytest.param(["none.tif", "--out", "t.csv"], "none.tif", id="missing stack"),
        pytest.param(["stack.mp4", "--out", "t.csv"], "stack.mp4", id="unknown kind of stack"),
        pytest.param(["stack.tif", "--out", "t.xlsx"], "expected a table that ends in .h5", id="unknown kind of table"),
        pytest.param(["stack.tif", "--out", "none/t.csv"], "none", id="missing folder"),
        pytest.param(
            ["stack.tif", "--out", "t.csv", "--pixel-size-nm", "108", "--localizer", "gausian"],
            "did you mean 'gaussian'",
            id="unknown localizer",
        ),
        pytest.param(["rgb.tif", "--out", "t.csv", "--pixel-size-nm", "108"], "colour", id="colour"),
        pytest.param(["cut.tif", "--out", "t.csv", "--pixel-size-nm", "108"], "cut.tif", id="truncated"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    stack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(stack.parent)
    tifffile.imwrite("rgb.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    Path("cut.tif").write_bytes(stack.read_bytes()[:20_000])
    before = sorted(Path().iterdir())
    assert main(["localize", *arguments]) == 2
    printed = capsys.readouterr()
    assert named in printed.err.splitlines()[-1]
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert sorted(Path().iterdir()) == before


def test_a_table_is_not_replaced_unasked(stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("precious")
    command = ["localize", str(stack), "--out", str(tmp_path / "t.csv"), "--pixel-size-nm", "108"]
    assert main(command) == 2
    assert "t.csv exists" in capsys.readouterr().err
    assert (tmp_path / "t.csv").read_text() == "precious"
    assert main([*command, "--overwrite"]) == 0


def test_a_real_micromanager_stack_is_localized_and_reconstructed(
    shared_data: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = str(shared_data / "raw_dnapaint_micromanager" / "3C_30px_100f.tif")
    camera = ["--pixel-size-nm", "130"]
    assert main(["localize", stack, "--out", str(tmp_path / "t.csv"), *camera, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 100
    # DNA-PAINT with a few sites on at a time: far more than one and fewer than thirty a frame.
    assert 100 < found["localizations"] < 3000
    command = ["reconstruct", stack, "--out", str(tmp_path / "o.ome.zarr"), "--model", str(checkpoint), *camera]
    assert main([*command, "--device", "cpu", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    # 30 px of 130 nm are 97.5 px of 40 nm.
    assert (made["windows"], made["shape"]) == (10, [98, 98])
    assert made["localizations"] <= found["localizations"]


def test_a_zarr_array_is_localized_as_its_tiff(stack: Path, tmp_path: Path) -> None:
    copied = tmp_path / "stack.zarr"
    zarr.save_array(copied, tifffile.imread(stack))
    facts = ["--pixel-size-nm", str(PIXEL_NM), "--psf-sigma-px", "1.1"]
    tables = []
    for path in (stack, copied):
        out = tmp_path / f"{path.suffix[1:]}.csv"
        assert main(["localize", str(path), "--out", str(out), *facts]) == 0
        tables.append(read_localizations(out, PIXEL_NM).localizations)
    np.testing.assert_array_equal(*tables)


def test_a_recording_that_changes_on_the_way_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "two_shapes"
    writer = open_writer("preallocated", folder)
    for time, shape in enumerate([(24, 32), (24, 32), (16, 16)]):
        writer.put({"time": time}, np.full(shape, 100, np.uint16), {})
    writer.finish()
    out = tmp_path / "table.csv"
    assert main(["localize", f"ndtiff:{folder}", "--out", str(out), "--pixel-size-nm", "108"]) == 2
    assert "change of shape after frame" in capsys.readouterr().err
    assert not out.exists()


def plugged_in(camera: object, psf_sigma_px: float | None = None, row: int = 0, scale: float = 1.0) -> BrightestInRow:
    return BrightestInRow(row, scale)


class BrightestInRow:
    """A plug-in with options of its own."""

    name = "mine"

    def __init__(self, row: int, scale: float) -> None:
        self._row, self._scale = row, scale

    def localize(self, frames: np.ndarray, frame_numbers: np.ndarray) -> Localizations:
        rows = empty_localizations(len(frames))
        rows["frame"], rows["y"], rows["photons"] = frame_numbers, self._row, self._scale
        rows["x"] = frames[:, self._row].argmax(axis=1)
        return rows


def test_options_of_a_plug_in_reach_it_from_the_command_line(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = EntryPoint("mine", f"{__name__}:plugged_in", registry.LOCALIZERS)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point]))
    told = ["--localizer", "mine", "--set", "localizer.options.row=10", "--set", "localizer.options.scale=70.0"]
    facts = ["--pixel-size-nm", "100", "--electrons-per-adu", "1", "--offset-adu", "0"]
    assert main(["localize", str(stack), "--out", str(tmp_path / "t.csv"), *told, *facts]) == 0
    table = read_localizations(tmp_path / "t.csv", 100.0)
    assert set(np.round(table["y"]).tolist()) == {10.0} and set(table["photons"].tolist()) == {70.0}
    out = tmp_path / "mine.run"
    source = f"tiff:{stack}"
    assert main(["run", "--source", source, "--out", str(out), "--no-view", *told[2:], "--set", "localizer.name=mine",
                 "--set", "camera.pixel_size_nm=100"]) == 0  # fmt: skip
    with open_run(out) as run:
        assert set(run.localizations(0)["y"].tolist()) == {10.0}
    assert main(["localize", str(stack), "--out", str(tmp_path / "u.csv"), *facts, *told[:2], "--set",
                 "localizer.options.rwo=10"]) == 2  # fmt: skip
    assert "found rwo; leave that out" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, on which it would run")
@pytest.mark.parametrize("verb", ["localize", "reconstruct", "run"])
def test_a_device_for_the_localizer_reaches_it(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    source = ["--source", f"tiff:{stack}", "--no-view"] if verb == "run" else [str(stack)]
    told = ["--set", "localizer.device=cuda", "--set", "camera.pixel_size_nm=100"]
    out = tmp_path / ("t.csv" if verb == "localize" else "out.ome.zarr")
    assert main([verb, *source, "--out", str(out), *told]) == 2
    assert "expected a CUDA device for 'cuda', found 0" in capsys.readouterr().err
