"""Names that come from a file, the wire or a stranger's journal never lead out of their folder."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr

from dblink_live.bus import StartMessage
from dblink_live.cli import main
from dblink_live.errors import DblinkError, ModelError, StoreError
from dblink_live.models import list_models, load_model
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations

GRID = Grid.covering(Shape(16, 16), pixel_size_nm=108.0, pitch_nm=40.0)
OUTSIDE = (
    "../secret",
    "../../secret",
    "counts/../../../secret",
    "/secret",
    "C:\\secret",
    "..\\secret",
    ".",
    "",
    "counts\0",
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A small run, and beside it something that is nobody's business."""
    folder = tmp_path / "stranger.run"
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
    with RunWriter.create(folder, info, window_frames=10) as writer:
        writer.begin_segment(Segment(index=0, shape=Shape(16, 16), dtype="uint16", frame_interval_ms=20.0), GRID, 108.0)
        counts = np.ones(GRID.shape, np.uint16)
        writer.write_map(LocalizationMap(0, 0, 0, 10, counts, GRID), empty_localizations())
        writer.finalize()
    secret = tmp_path / "secret"
    zarr.create_group(secret)
    zarr.create_array(secret / "0", data=np.full((1, *GRID.shape), 42, np.uint16))
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_series_is_a_folder_of_the_run(run_folder: Path, name: str) -> None:
    with open_run(run_folder) as run:
        window = run.windows()[0]
    with sqlite3.connect(run_folder / "journal.sqlite") as connection:
        connection.execute("UPDATE committed SET series = ?", (name,))
    connection.close()
    with open_run(run_folder) as run:
        assert run.windows()[0].series == name != window.series
        with pytest.raises(StoreError, match="expected a series like"):
            run.read_window(run.windows()[0])
        with pytest.raises(StoreError, match="expected a series like"):
            run.array(name)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_list_of_series_names_folders_of_the_run(run_folder: Path, name: str) -> None:
    listing = run_folder / "run.ome.zarr" / "OME" / "zarr.json"
    document = json.loads(listing.read_text())
    document["attributes"]["ome"]["series"] = ["counts", name]
    listing.write_text(json.dumps(document))
    # A finished run also has its metadata in one piece.
    with open_run(run_folder) as run, pytest.raises(StoreError, match="expected series like"):
        assert run.series is None


@pytest.mark.parametrize("name", ["../../../secret/0", "/secret/0", "../counts/0"])
def test_a_level_is_a_folder_of_its_series(run_folder: Path, name: str) -> None:
    metadata = run_folder / "run.ome.zarr" / "counts" / "zarr.json"
    document = json.loads(metadata.read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = name
    metadata.write_text(json.dumps(document))
    report = verify_run(run_folder)
    assert not report.ok
    with open_run(run_folder) as run:
        assert run.counts is not None
        assert run.counts[0].max() == 1


@pytest.mark.parametrize("name", ["../secret", "../../secret/0", "", ".", "/"])
def test_an_image_that_names_another_folder_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zarr.create_array(tmp_path / "secret", data=np.full((3, 16, 16), 42, np.uint16))
    image = {"multiscales": [{"axes": [], "datasets": [{"path": name}]}]}
    zarr.create_group(tmp_path / "maps.zarr", attributes={"ome": image})
    out = tmp_path / "o.ome.zarr"
    assert main(["reconstruct", str(tmp_path / "maps.zarr"), "--out", str(out), "--pixel-size-nm", "40"]) == 2
    assert capsys.readouterr().err.startswith("dblink-live reconstruct: error: expected an array")
    assert not out.exists()


@pytest.mark.parametrize(
    "name", ["../filaments", "..", ".", "", "filaments/../filaments", "zoo\\filaments", "filaments\0"]
)
def test_a_model_is_a_shipped_name_or_a_checkpoint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name not in list_models()
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ModelError, ValueError)):
        load_model(name, device="cpu")


def test_the_viewer_looks_for_a_run_on_its_own_machine_alone(tmp_path: Path) -> None:
    pytest.importorskip("PySide6", reason="the viewer is an extra")
    from dblink_live.viewer.sources.live_source import LiveSource

    start = StartMessage(run_uuid="1", run_folder=str(tmp_path))
    for address, folder in (("tcp://127.0.0.1:5556", tmp_path), ("tcp://192.0.2.1:5556", None)):
        # Another machine's path means nothing here, and on Windows asking for it can leave the machine.
        told: Any = SimpleNamespace(address=address, start=start)
        assert LiveSource(told).run_folder == folder


def test_a_run_is_made_where_it_was_asked_for(tmp_path: Path) -> None:
    info = RunInfo(uuid="../../x", created_utc="../y", config={"name": "../z"}, model="../../m", model_sha256="")
    folder = tmp_path / "a" / "b.run"
    with RunWriter.create(folder, info, window_frames=10) as writer:
        writer.finalize()
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == []
    with pytest.raises(DblinkError):
        open_run(tmp_path / "a")
