"""`simulate`: what it writes is what `reconstruct`, `localize` and `evaluate` read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import binary_dilation

from dblink_live.cli import main
from dblink_live.simulate import PRESETS, simulate_video
from dblink_live.tables import read_localizations
from dblink_live.types import Shape
from dblink_live.windows import bin_localizations


def simulate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["simulate", *arguments, "--json"]) == 0
    figures: dict[str, object] = json.loads(capsys.readouterr().out)
    return figures


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["simulate", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_maps_are_those_of_the_preset_and_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "maps.npz"
    figures = simulate(capsys, "filaments", "--out", str(out), "--frames", "30", "--seed", "4", "--preset", "3x speed")
    video = simulate_video(replace(PRESETS["3x speed"], n_windows=3), 4)
    with np.load(out, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["X"], video.counts)
        np.testing.assert_array_equal(archive["truth"], video.truth)
        assert archive["pixel_size_nm"] == 40.0
    assert (figures["windows"], figures["localizations"]) == (3, int(video.counts.sum()))


@pytest.mark.parametrize("structure", ["mitochondria", "er"])
def test_maps_are_reconstructed_and_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, structure: str
) -> None:
    maps, video = str(tmp_path / "maps.npz"), str(tmp_path / "video.ome.zarr")
    simulate(capsys, structure, "--out", maps, "--frames", "20")
    assert main(["reconstruct", maps, "--out", video, "--model", str(checkpoint), "--device", "cpu"]) == 0
    assert main(["evaluate", "--reconstruction", video, "--truth", maps, "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out.splitlines()[-1])["f1_1px"] <= 1


def test_camera_frames_are_localized_where_the_truth_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    stack, video = tmp_path / "frames.ome.tif", tmp_path / "video.ome.zarr"
    figures = simulate(capsys, "filaments", "--raw", "--out", str(stack), "--frames", "40", "--seed", "2")
    frames = tifffile.imread(stack)
    assert (frames.shape, frames.dtype) == ((40, 32, 32), np.uint16)
    with np.load(tmp_path / "frames.truth.npz", allow_pickle=False) as archive:
        truth = archive["truth"]
    assert truth.shape == (4, 128, 128)

    structure = binary_dilation(truth, iterations=2, structure=np.ones((1, 3, 3)))
    camera = [f"--{key}={figures[key.replace('-', '_')]}" for key in ("offset-adu", "electrons-per-adu")]
    assert main(["localize", str(stack), "--out", str(tmp_path / "found.csv"), *camera]) == 0
    table = read_localizations(tmp_path / "found.csv", 160.0)
    found = bin_localizations(table.localizations, Shape(32, 32), 160.0, scale=4, window=10)
    # At 1200 photons the error is a fifth of a fine pixel; what overlaps is found in between, and is rare.
    assert found.sum() > 40
    assert (found * structure[: len(found)]).sum() > 0.9 * found.sum()

    command = ["reconstruct", str(stack), "--out", str(video), "--model", str(checkpoint), "--device", "cpu"]
    assert main([*command, *camera]) == 0
    assert zarr.open_array(video / "0", mode="r").shape == truth.shape
    assert main(["evaluate", "--reconstruction", str(video), "--truth", str(figures["truth"])]) == 0


def test_same_seed_same_frames_and_another_seed_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stacks = []
    for name, seed in (("a.tif", "1"), ("b.tif", "1"), ("c.tif", "2")):
        simulate(capsys, "er", "--raw", "--out", str(tmp_path / name), "--frames", "10", "--seed", seed)
        stacks.append(tifffile.imread(tmp_path / name))
    np.testing.assert_array_equal(stacks[0], stacks[1])
    assert (stacks[0] != stacks[2]).any()


def test_what_cannot_be_simulated_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps, stack = str(tmp_path / "maps.npz"), str(tmp_path / "frames.tif")
    assert "multiple of 10" in refused(capsys, "er", "--out", maps, "--frames", "25")
    assert "3x speed" in refused(capsys, "filaments", "--out", maps, "--preset", "4x speed")
    assert "'growing filaments'" in refused(capsys, "er", "--out", maps, "--preset", "growing filaments")
    assert "camera frames" in refused(capsys, "filaments", "--raw", "--out", stack, "--preset", "half density")
    assert ".tif" in refused(capsys, "filaments", "--raw", "--out", maps)
    assert "a folder to write to" in refused(capsys, "filaments", "--out", str(tmp_path / "no" / "maps.npz"))
    assert "actin" in refused(capsys, "actin", "--out", maps)
    Path(maps).write_bytes(b"mine")
    assert "exists" in refused(capsys, "filaments", "--out", maps)
    assert Path(maps).read_bytes() == b"mine"


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", no_room)
    assert main(["simulate", "filaments", "--out", str(tmp_path / "maps.npz"), "--frames", "10"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
