"""What a user names as a source, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from dblink_live.cli import main
from dblink_live.errors import SourceError
from dblink_live.store import open_run
from dblink_live.workflows.inputs.guess_source import guess_source


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    tifffile.imwrite("stack.tif", rng.poisson(100, (20, 32, 40)).astype(np.uint16))
    zarr.save_array("frames.zarr", np.zeros((2, 8, 8), np.uint16))
    for folder in ("saving", "dataset", "a.run"):
        Path(folder).mkdir()
    Path("dataset/NDTiff.index").touch()
    Path("a.run/journal.sqlite").touch()
    for name in ("My Scope.cfg", "locs.csv", "notes.docx"):
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("stack.tif", "tiff:stack.tif"),
        ("stack.tif?fps=50", "tiff:stack.tif?fps=50"),
        ("frames.zarr", "zarr:frames.zarr"),
        ("dataset", "ndtiff:dataset"),
        ("saving", "ndtiff:saving"),
        ("My Scope.cfg", "mm:core?config=My%20Scope.cfg"),
        ("My Scope.cfg?fps=10", "mm:core?config=My%20Scope.cfg&fps=10"),
        ("tiff:stack.tif", "tiff:stack.tif"),
        ("sim:filaments?frames=3", "sim:filaments?frames=3"),
        ("mm:live", "mm:live"),
    ],
)
def test_the_kind_of_a_source_is_guessed(named: str, expected: str) -> None:
    assert guess_source(named) == expected


def test_what_else_is_known_becomes_options_of_the_source() -> None:
    assert guess_source("stack.tif", 20.0, (1, 2, 8, 8)) == "tiff:stack.tif?exposure_ms=20&roi=1,2,8,8"
    assert guess_source("stack.tif?fps=5", 20.0) == "tiff:stack.tif?fps=5&exposure_ms=20"
    with pytest.raises(SourceError, match="expected exposure_ms once"):
        guess_source("stack.tif?exposure_ms=10", 20.0)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("a.run", "dblink-live resume"),
        ("locs.csv", "dblink-live reconstruct"),
        ("notes.docx", "notes.docx"),
        ("none.tif", "found nothing at none.tif"),
    ],
)
def test_what_holds_no_frames_is_refused_with_the_verb_that_takes_it(
    named: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--source", named, "--out", "x.run", "--no-view"]) == 2
    printed = capsys.readouterr().err
    assert said in printed and len(printed.splitlines()) == 1
    assert not Path("x.run").exists()


SAME = ["--pixel-size-nm", "100", "--exposure-ms", "20", "--roi", "4,2,32,24", "--model", "filaments", "--window", "5"]


def test_the_same_camera_options_fit_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {
        "run": ["run", "--source", "stack.tif", "--out", "x.run", "--no-view"],
        "localize": ["localize", "stack.tif", "--out", "x.csv"],
        "reconstruct": ["reconstruct", "stack.tif", "--out", "x.ome.zarr"],
        "report": ["report", "stack.tif", "--out", "y.run"],
    }
    figures = {}
    for verb, command in commands.items():
        assert main([*command, *SAME, "--json"]) == 0, capsys.readouterr().err
        figures[verb] = json.loads(capsys.readouterr().out)
    for folder in ("x.run", "y.run"):
        with open_run(folder) as run:
            segment = run.segments[0].segment
            assert (segment.shape, segment.exposure_ms, run.window_frames) == ((24, 32), 20.0, 5)
            assert run.segments[0].pixel_size_nm == 100.0
    assert figures["reconstruct"]["windows"] == 4 and figures["reconstruct"]["shape"] == [60, 80]
    assert zarr.open_group("x.ome.zarr")["0"].shape == (4, 60, 80)


@pytest.mark.parametrize("option", [["--roi", "0,0,8,8"], ["--exposure-ms", "20"]])
def test_a_table_has_neither_region_nor_exposure(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("reconstruct", "report"):
        assert main([verb, "locs.csv", "--out", "o.ome.zarr", *option]) == 2
        assert f"expected camera frames beside {option[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["s.tif", "s.npy", "cell.run"])
def test_an_image_is_never_a_folder_of_a_files_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "stack.tif", "--out", name, *SAME]) == 2
    assert "ends in .ome.zarr" in capsys.readouterr().err
    assert not Path(name).exists()
