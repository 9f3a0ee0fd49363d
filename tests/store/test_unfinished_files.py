"""What a killed writer leaves half written does no harm to the one that comes after it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import zarr
from synthetic import GRID, INFO, WINDOW_FRAMES, balanced_ledger, make_map, make_segment, write_window

from dblink_live.store import RawWriter, RunWriter, create_raw, open_run, read_raw, trim_raw, verify_run
from dblink_live.store.arrays import SeriesWriter, make_context
from dblink_live.store.connections import connect_read_only, create_database
from dblink_live.store.hierarchy import BLOCK, FOLDER_NAME
from dblink_live.store.raw.journal import FILE_NAME as RAW_FILE_NAME
from dblink_live.store.raw.journal import RawJournal

LONGER = os.urandom(200_000)
"""Than any file of these runs: whoever writes over it without emptying it leaves its tail there."""


def leave_behind(file: Path) -> None:
    """What tensorstore leaves when it is killed while it writes ``file``, with the locks that are its default."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_name(file.name + ".__lock").write_bytes(LONGER)


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith((".__lock", ".partial"))]


def test_a_window_is_written_beside_what_a_killed_writer_left_of_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4, GRID.shape).astype(np.uint16)
    path = tmp_path / "array"
    zarr.create_array(path, shape=(2, *GRID.shape), chunks=(1, *GRID.shape), shards=(1, *GRID.shape), dtype=np.uint16)
    leave_behind(path / "c" / "0" / "0" / "0")
    leave_behind(path / "zarr.json")
    writer = SeriesWriter(path, make_context())
    writer.write(0, image).result()
    writer.write(BLOCK, image).result()  # for which the array must grow
    array = zarr.open_array(path, mode="r")
    assert array.shape[0] == 2 * BLOCK
    np.testing.assert_array_equal(array[0], image)
    np.testing.assert_array_equal(array[BLOCK], image)


def test_a_run_that_is_taken_up_is_whole_and_holds_nothing_unfinished(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    writer = RunWriter.create(folder, INFO, window_frames=WINDOW_FRAMES)
    writer.begin_segment(make_segment(), GRID)
    for window in range(3):
        write_window(writer, 0, window)
    writer.close()
    root = folder / FOLDER_NAME
    for product in ("counts", "live"):
        leave_behind(root / product / "0" / "zarr.json")
        leave_behind(root / product / "zarr.json")
        for window in range(3, 6):
            leave_behind(root / product / "0" / "c" / str(window) / "0" / "0")
    with RunWriter.resume(folder) as writer:
        assert unfinished(root) == []
        for window in range(3, 6):
            write_window(writer, 0, window)
        writer.write_ledger(0, balanced_ledger(6))
    report = verify_run(folder)
    assert report.ok, report.problems
    with open_run(folder) as run:
        assert run.counts is not None
        np.testing.assert_array_equal(run.counts[5], make_map(0, 5)[0].counts)


def test_recorded_frames_are_written_beside_what_a_killed_recorder_left(tmp_path: Path) -> None:
    folder, segment = tmp_path / "run", make_segment()
    frames = np.random.default_rng(1).integers(0, 4, (64, *segment.shape)).astype(np.uint16)
    with RunWriter.create(folder, INFO, window_frames=WINDOW_FRAMES):
        session = create_raw(folder, segment, 100.0)
        leave_behind(folder / FOLDER_NAME / "raw" / "0" / "c" / "0" / "0" / "0")
        raw = RawWriter(folder, session)
        for number, frame in enumerate(frames):
            raw.append(number, number, frame)
        raw.finish("the camera was stopped")
        raw.close()
        trim_raw(folder)
    (found,) = read_raw(folder)
    np.testing.assert_array_equal(found.read(found.shards[0]), frames)
    assert unfinished(folder / FOLDER_NAME) == []


def test_who_looks_at_a_database_in_the_making_finds_none(tmp_path: Path) -> None:
    path = tmp_path / "raw.sqlite"

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        assert not path.exists()

    create_database(path, fill)
    connection = connect_read_only(path)
    assert connection.execute("SELECT count(*) FROM meta").fetchone() == (0,)
    connection.close()


def test_a_database_whose_maker_died_is_made_again(tmp_path: Path) -> None:
    class DeathError(Exception):
        pass

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE meta (key TEXT)")
        raise DeathError

    path = tmp_path / RAW_FILE_NAME
    with pytest.raises(DeathError):
        create_database(path, fill)
    path.with_name(path.name + ".partial").write_bytes(LONGER)
    journal = RawJournal(tmp_path)
    assert journal.n_sessions == 0
    journal.close()
    assert unfinished(tmp_path) == []
