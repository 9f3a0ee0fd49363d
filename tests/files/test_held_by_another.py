"""What the program does while another one holds its files open: nothing is lost, and the file is named.

On Windows as it is, on Linux under `windows_rules`.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_program import held

from dblink_live import files
from dblink_live.cli import main
from dblink_live.files import FileHeldError
from dblink_live.store.connections import create_database
from dblink_live.store.hierarchy import SeriesSpec, read_array
from dblink_live.store.image import ImageWriter
from dblink_live.types import Grid, Shape

pytestmark = pytest.mark.usefixtures("windows_rules")
SPEC = SeriesSpec("live", 0, Grid(40.0, Shape(64, 64)), "uint8", 10, 0.1)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 0.1)


def write_image(path: Path, n_windows: int, value: float) -> None:
    with ImageWriter(path, SPEC, overwrite=True) as writer:
        for _ in range(n_windows):
            writer.append(np.full((64, 64), value, np.float32))


def windows_of(path: Path) -> Any:
    return np.asarray(read_array(path / "0")[:])


@pytest.mark.usefixtures("_impatient")
def test_an_image_that_is_read_keeps_the_old_video_whole_and_the_new_one_too(tmp_path: Path) -> None:
    path = tmp_path / "video.ome.zarr"
    write_image(path, 3, 0.2)
    for name in ("video.new.ome.zarr", "video.new2.ome.zarr"):
        with held(path / "0" / "c" / "1" / "0" / "0"), pytest.raises(FileHeldError, match=name):
            write_image(path, 5, 0.8)
        assert windows_of(path).shape == (3, 64, 64) and (windows_of(path) == 51).all()
        assert windows_of(tmp_path / name).shape == (5, 64, 64) and (windows_of(tmp_path / name) == 204).all()
    write_image(path, 4, 1.0)
    assert windows_of(path).shape == (4, 64, 64) and (windows_of(path) == 255).all()


@pytest.mark.usefixtures("_impatient")
def test_a_table_that_excel_holds_is_kept_under_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, target = tmp_path / "in.csv", tmp_path / "out.csv"
    head = '"frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]"'
    table.write_text(f"{head}\n1,100,200,130,900\n", encoding="utf-8")
    assert main(["convert", str(table), str(target)]) == 0
    before = target.read_bytes()
    table.write_text(table.read_text(encoding="utf-8").replace("900", "700"), encoding="utf-8")
    with held(target):
        assert main(["convert", str(table), str(target), "--overwrite"]) == 1
    error = capsys.readouterr().err
    assert "Excel" in error and str(tmp_path / "out.new.csv") in error and error.count("\n") == 1
    assert target.read_bytes() == before
    assert b"700" in (tmp_path / "out.new.csv").read_bytes()


def test_a_virus_scanner_that_holds_a_new_database_for_a_moment_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = threading.Event()

    def fill(database: sqlite3.Connection) -> None:
        database.execute("CREATE TABLE meta(x)")

        def scan() -> None:
            with held(tmp_path / "journal.sqlite.partial", seconds=1.0):
                scanned.set()
                threading.Event().wait(1.0)

        threading.Thread(target=scan).start()
        scanned.wait()

    create_database(tmp_path / "journal.sqlite", fill)
    assert (tmp_path / "journal.sqlite").is_file() and not (tmp_path / "journal.sqlite.partial").exists()


@pytest.mark.usefixtures("_impatient")
def test_pictures_and_curves_that_are_looked_at_stop_no_training(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra 'train'")
    from dblink_live.models import build_network
    from dblink_live.train.reconstruction.settings import TrainingSettings
    from dblink_live.train.reconstruction.state import begin
    from dblink_live.train.reconstruction.watch import CURVE_FILE, PREVIEW_FILE, watch_folder, watched

    settings = TrainingSettings(clip_windows=2, supervised_windows=2, warmup_forward=0, warmup_reverse=0, device="cpu")
    state = begin(build_network("light"), settings)
    checkpoint = tmp_path / "tiny.safetensors"
    folder = watch_folder(checkpoint)
    folder.mkdir()
    looked_at = [folder / name for name in (CURVE_FILE, PREVIEW_FILE, "events.out.tfevents.1")]
    for path in looked_at:
        path.write_bytes(b"old")
    notices: list[str] = []
    with held(*looked_at), watched(checkpoint, settings, notices.append) as watch:
        watch.refresh(state)
    assert any("TensorBoard" in notice for notice in notices)
    assert [path.read_bytes() for path in looked_at] == [b"old"] * 3
    assert not list(folder.glob("*.partial"))
    with watched(checkpoint, settings, notices.append) as watch:
        watch.refresh(state)
    assert (folder / PREVIEW_FILE).read_bytes()[:4] == b"\x89PNG"
