"""`verify` and `view` on a real run folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.store import RunWriter
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

GRID = Grid(pitch_nm=40.0, shape=Shape(24, 32))
N_WINDOWS = 3


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run of three empty windows whose ledger balances."""
    folder = tmp_path / "cells.run"
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
    with RunWriter.create(folder, info, window_frames=10) as writer:
        segment = Segment(index=0, shape=Shape(6, 8), dtype="uint16", frame_interval_ms=20.0, pixel_size_nm=160.0)
        writer.begin_segment(segment, GRID)
        for window in range(N_WINDOWS):
            counts = np.zeros(GRID.shape, np.uint16)
            writer.write_map(
                LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, GRID), empty_localizations()
            )
            writer.write_reconstruction(Reconstruction(0, window, counts.astype(np.float32), "bounded", lookahead=2))
        ledger = {"seen": 30, "committed": 30, "lost": {}, "deselected": 0, "tail": 0, "in_flight": 0}
        writer.write_ledger(0, ledger)
    return folder


def test_a_whole_run_is_said_to_be_whole(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run_folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["problems"]) == (True, [])
    assert report["windows"] == {"counts": N_WINDOWS, "live": N_WINDOWS, "full": 0}
    assert report["ledger"]["0"]["committed"] == 30
    assert main(["verify", str(run_folder)]) == 0
    assert "whole" in capsys.readouterr().out


def test_damage_is_named_and_exits_with_1(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Each window is a shard, one file: window 1 of `live` is lost.
    shard = run_folder / "run.ome.zarr" / "live" / "0" / "c" / "1"
    files = [path for path in shard.rglob("*") if path.is_file()]
    # A picture of nothing but zeros takes no file at all; then the damage must be made elsewhere.
    target = files[0] if files else run_folder / "run.ome.zarr" / "live" / "0" / "zarr.json"
    target.write_bytes(b"damaged")
    assert main(["verify", str(run_folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert any("live" in problem for problem in report["problems"])
    assert main(["verify", str(run_folder)]) == 1
    assert "problem: " in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["verify", "resume", "refine"])
def test_a_folder_that_is_no_run_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    for path in (tmp_path, tmp_path / "none"):
        assert main([verb, str(path)]) == 2
        printed = capsys.readouterr()
        assert (printed.out, len(printed.err.splitlines())) == ("", 1)
        assert "expected a run folder" in printed.err


def test_view_opens_a_run_in_a_process_of_its_own(run_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="the viewer's extra is not installed")
    picture = tmp_path / "seen.png"
    assert main(["view", str(run_folder), "--screenshot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_view_without_a_name_takes_the_newest_run(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="the viewer's extra is not installed")
    monkeypatch.chdir(run_folder.parent)
    assert main(["view", "--screenshot", "seen.png"]) == 0
    assert Path("seen.png").is_file()
    monkeypatch.chdir(run_folder)
    assert main(["view"]) == 2
    assert "found none" in capsys.readouterr().err
