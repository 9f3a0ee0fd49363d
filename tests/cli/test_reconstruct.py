"""`reconstruct` from each kind of input, and `models` on the checkpoint that it runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr

from dblink_live.cli import main
from dblink_live.models import load_model, reconstruct
from dblink_live.types import Grid, Shape, empty_localizations
from dblink_live.workflows.inputs.network_input import CountedTable

SHAPE = (5, 22, 17)


@pytest.fixture
def counts(tmp_path: Path) -> np.ndarray:
    """Five windows of odd size, saved as .npy, as .npz under the key X, and as .zarr."""
    video = np.random.default_rng(3).poisson(0.1, SHAPE).astype(np.uint16)
    np.save(tmp_path / "maps.npy", video)
    np.savez(tmp_path / "maps.npz", X=video, Y=np.zeros(1))
    zarr.create_array(tmp_path / "maps.zarr", data=video)
    return video


@pytest.mark.parametrize("name", ["maps.npy", "maps.npz", "maps.zarr"])
@pytest.mark.parametrize("lookahead", ["full", "2"])
def test_maps_become_the_video_that_the_library_makes(
    counts: np.ndarray,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    lookahead: str,
) -> None:
    out = tmp_path / "out.ome.zarr"
    arguments = ["--model", str(checkpoint), "--device", "cpu", "--lookahead", lookahead, "--json"]
    assert main(["reconstruct", str(tmp_path / name), "--out", str(out), *arguments]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["windows"], figures["shape"], figures["localizations"]) == (5, [22, 17], int(counts.sum()))
    yaozarrs.validate_zarr_store(str(out))
    stored = np.asarray(zarr.open_array(out / "0", mode="r")[:])
    expected = reconstruct(counts, load_model(checkpoint, "cpu"), "full" if lookahead == "full" else int(lookahead))
    # One step of 255 where the rounding falls the other way.
    np.testing.assert_allclose(stored / 255, expected, atol=0.51 / 255)


def test_an_image_that_it_made_is_not_replaced_unasked(
    counts: np.ndarray, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reconstruct", str(tmp_path / "maps.npy"), "--out", str(tmp_path / "o.ome.zarr")]
    command += ["--model", str(checkpoint), "--device", "cpu"]
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 2
    assert "o.ome.zarr exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("content", "more", "named"),
    [
        pytest.param(np.full(SHAPE, np.nan), [], "NaN", id="NaN"),
        pytest.param(np.full(SHAPE, -1), [], "negative", id="negative counts"),
        pytest.param(np.zeros((0, 8, 8)), [], "(0, 8, 8)", id="no window"),
        pytest.param(np.zeros((1, 2, 8, 8)), [], "(1, 2, 8, 8)", id="too many axes"),
        pytest.param(np.zeros(SHAPE), ["--pixel-size-nm", "100"], "found 100 nm", id="another pitch than the model's"),
        pytest.param(np.zeros(SHAPE), ["--device", "abacus"], "abacus", id="unknown device"),
        pytest.param(np.zeros(SHAPE), ["--model", "filamants"], "filamants", id="unknown model"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: np.ndarray,
    more: list[str],
    named: str,
) -> None:
    np.save(tmp_path / "wrong.npy", content)
    command = [
        "reconstruct",
        str(tmp_path / "wrong.npy"),
        "--out",
        str(tmp_path / "o.zarr"),
        "--model",
        str(checkpoint),
    ]
    assert main([*command, *more]) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.npy"]


def test_maps_of_another_pitch_say_so_themselves(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformation = {"type": "scale", "scale": [1.0, 0.1, 0.1]}
    image = {
        "axes": [{"name": "t", "type": "time"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")],
        "datasets": [{"path": "0", "coordinateTransformations": [transformation]}],
    }
    group = zarr.create_group(tmp_path / "m.zarr", attributes={"ome": {"version": "0.5", "multiscales": [image]}})
    group.create_array("0", data=np.zeros(SHAPE, np.uint16))
    command = ["reconstruct", str(tmp_path / "m.zarr"), "--out", str(tmp_path / "o.zarr"), "--model", str(checkpoint)]
    assert main(command) == 2
    assert "found 100 nm" in capsys.readouterr().err


def test_a_table_is_counted_window_by_window() -> None:
    rng = np.random.default_rng(5)
    table = empty_localizations(2000)
    table["frame"] = rng.integers(7, 60, 2000)
    table["x"] = rng.uniform(-1.0, 9.0, 2000)  # some lie outside the field
    table["y"] = rng.uniform(-1.0, 7.0, 2000)
    grid = Grid.covering(Shape(6, 8), pixel_size_nm=108.0, pitch_nm=40.0)
    counted = CountedTable(table, grid, 108.0, window_frames=10, first_frame=7, n_frames=53)

    expected = np.zeros((6, *grid.shape), np.uint16)
    for row in table:
        i = int((row["y"] + 0.5) * 108.0 // 40.0)
        j = int((row["x"] + 0.5) * 108.0 // 40.0)
        if 0 <= i < grid.shape.height and 0 <= j < grid.shape.width:
            expected[(int(row["frame"]) - 7) // 10, i, j] += 1
    assert counted.shape == expected.shape
    np.testing.assert_array_equal(counted[0:6], expected)
    np.testing.assert_array_equal(counted[2:4], expected[2:4])
    assert counted.n_inside == expected.sum() < 2000


def test_models_prints_a_card_and_facts(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(checkpoint), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["pixel_size_nm"], facts["threshold"]) == ("tiny", 40.0, 0.4)
    assert facts["architecture"] == "light"
    assert facts["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert set(facts["envelope"]) == {"density", "speed", "noise", "precision", "pitch"}
    assert main(["models", str(checkpoint)]) == 0
    card = capsys.readouterr().out
    assert "tiny" in card
    assert facts["sha256"] in card
    assert main(["models"]) == 0
    assert main(["models", "dblink", "--json"]) == 0
    assert "--config paper" in json.loads(capsys.readouterr().out.splitlines()[-1])["card"]
    assert main(["models", "nonsense"]) == 2


def test_a_table_becomes_a_video(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Frames count from 1, positions in nm from the corner: 250 nm lies in column 6 of 40 nm.
    (tmp_path / "t.csv").write_text('"frame","x [nm]","y [nm]"\n1,250.0,90.0\n12,30.0,500.0\n')
    out = tmp_path / "t.ome.zarr"
    command = ["reconstruct", str(tmp_path / "t.csv"), "--out", str(out), "--model", str(checkpoint)]
    assert main([*command, "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["windows"], figures["localizations"]) == (2, 2)
    counts = np.zeros((2, *figures["shape"]), np.uint16)
    counts[0, 2, 6] = counts[1, 12, 0] = 1
    stored = np.asarray(zarr.open_array(out / "0", mode="r")[:])
    np.testing.assert_allclose(stored / 255, reconstruct(counts, load_model(checkpoint, "cpu")), atol=0.51 / 255)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        pytest.param("", "empty", id="empty table"),
        pytest.param("1,nan,5.0\n", "nan", id="NaN"),
        pytest.param("1,5.0,5.0\n1,1e9,5.0\n", "outlier", id="stray row"),
    ],
)
def test_a_wrong_table_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, named: str
) -> None:
    (tmp_path / "t.csv").write_text(f'"frame","x [nm]","y [nm]"\n{rows}')
    command = ["reconstruct", str(tmp_path / "t.csv"), "--out", str(tmp_path / "o.zarr"), "--model", str(checkpoint)]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert len(printed.err.splitlines()) == 1


def test_a_real_storm_table_is_read_whole(
    shared_data: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One window for all 1851 frames: every row is counted, without a minute of network.
    table = shared_data / "tab_ecoli_storm" / "01_storm.csv"
    command = ["reconstruct", str(table), "--out", str(tmp_path / "o.zarr"), "--model", str(checkpoint)]
    assert main([*command, "--window", "2000", "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["windows"] == 1
    assert figures["localizations"] == len(table.read_text().splitlines()) - 1


def test_maps_that_state_another_pitch_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.zeros((2, 8, 8), np.uint16)
    np.savez(tmp_path / "fine.npz", X=counts, pixel_size_nm=27.0)
    command = ["reconstruct", str(tmp_path / "fine.npz"), "--out", str(tmp_path / "o.ome.zarr")]
    # What the file states is not overridden by an option: one of the two is wrong.
    for told in ([], ["--pixel-size-nm", "40"]):
        assert main([*command, *told]) == 2
        assert "grid of 40 nm" in (said := capsys.readouterr().err) and "found 27 nm" in said
    np.savez(tmp_path / "fine.npz", X=counts, pixel_size_nm=-1.0)
    assert main(command) == 2
    assert "expected pixel_size_nm above 0" in capsys.readouterr().err
