"""``evaluate`` from the command line: what it reads, what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from dblink_live.cli import main


@pytest.fixture
def truth(tmp_path: Path) -> np.ndarray:
    """Three windows of 16 x 16 pixels with one line; saved as truth.npz under the key Y."""
    video = np.zeros((3, 16, 16), np.uint8)
    video[:, 8, 3:13] = 1
    np.savez(tmp_path / "truth.npz", X=np.zeros(3), Y=video)
    return video


def evaluate(folder: Path, reconstruction: str, *more: str) -> int:
    return main(
        ["evaluate", "--reconstruction", str(folder / reconstruction), "--truth", str(folder / "truth.npz"), *more]
    )


def test_scores_of_a_picture_that_is_one_pixel_off(
    truth: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "off.npy", np.roll(truth, 1, axis=1).astype(np.float32))
    assert evaluate(tmp_path, "off.npy", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["f1_1px"] == 1.0
    assert scores["f1_0px"] == 0.0
    assert set(scores) >= {
        "recall",
        "hallucination",
        "fidelity",
        "false_positive_rate",
        "psnr_db",
        "ssim",
        "temporal_consistency",
        "threshold",
    }
    assert evaluate(tmp_path, "off.npy") == 0
    assert "fidelity" in capsys.readouterr().out


def test_stored_bytes_count_as_probability(
    truth: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 120 of 255 lies below the threshold 0.5 and 140 above it: read as plain numbers both would lie above.
    group = zarr.create_group(tmp_path / "r.zarr")
    for name, value in (("full", 140), ("live", 120)):
        group.create_array(name, data=truth * np.uint8(value))
    assert evaluate(tmp_path, "r.zarr/full", "--json") == 0
    assert json.loads(capsys.readouterr().out)["f1_0px"] == 1.0
    assert evaluate(tmp_path, "r.zarr/live", "--json") == 0
    assert json.loads(capsys.readouterr().out)["f1_0px"] == 0.0


def test_a_perfect_picture_has_an_infinite_psnr_and_valid_json(
    truth: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "same.npy", truth)
    assert evaluate(tmp_path, "same.npy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["psnr_db"] is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param(np.zeros((2, 16, 16)), "(2, 16, 16)", id="another shape"),
        pytest.param(np.full((3, 16, 16), np.nan), "NaN", id="NaN"),
        pytest.param(np.zeros((3, 16, 16, 3)), "(3, 16, 16, 3)", id="colour"),
        pytest.param(np.zeros((3, 16, 16), complex), "complex", id="complex numbers"),
    ],
)
@pytest.mark.usefixtures("truth")
def test_wrong_input_is_one_line_that_says_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: np.ndarray, named: str
) -> None:
    np.save(tmp_path / "wrong.npy", content)
    assert evaluate(tmp_path, "wrong.npy") == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.usefixtures("truth")
def test_damaged_and_missing_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "notes.txt").write_text("no array")
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    for name in ("cut.npy", "none.npy", "notes.txt", "two.npz"):
        assert evaluate(tmp_path, name) == 2
        printed = capsys.readouterr()
        assert name in printed.err
        assert len(printed.err.splitlines()) == 1


def test_sums_stand_beside_where_the_counts_are_given(
    truth: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "sim.npz", X=truth * np.uint16(3), Y=truth)
    np.save(tmp_path / "r.npy", truth.astype(np.float32))
    assert evaluate(tmp_path, "r.npy", "--counts", str(tmp_path / "sim.npz"), "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    # Counts that equal the structure leave nothing for a network to win; a blur of 0.7 px keeps the line within 1 px.
    assert scores["plain_sum"]["f1_1px"] == scores["leaky_sum"]["f1_1px"] == 1.0
    assert evaluate(tmp_path, "r.npy", "--counts", str(tmp_path / "sim.npz")) == 0
    assert "leaky sum" in capsys.readouterr().out
    np.save(tmp_path / "narrow.npy", truth[:, :, 1:])
    assert evaluate(tmp_path, "r.npy", "--counts", str(tmp_path / "narrow.npy")) == 2
    assert "one shape" in capsys.readouterr().err
