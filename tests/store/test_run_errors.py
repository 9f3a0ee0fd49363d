"""Bad use of a run folder gets one clear error, and nothing that was committed is touched."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from synthetic import GRID, INFO, WINDOW_FRAMES, make_map, make_picture, make_segment, write_run

from dblink_live.errors import StoreError
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Grid, Reconstruction, Shape


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """A run with one segment and one committed window, open."""
    return write_run(tmp_path / "run", n_windows=1, finalize=False)


def _picture(window: int, **changes: object) -> Reconstruction:
    picture = Reconstruction(0, window, make_picture(0, window), "bounded", 3)
    return dataclasses.replace(picture, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [pytest.param("notes.txt", id="something"), pytest.param("journal.sqlite", id="a-run")]
)
def test_a_folder_that_holds_something_is_never_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / content).write_text("mine")
    with pytest.raises(StoreError, match=r"exists and is not empty; give another --out"):
        RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
    assert (tmp_path / "run" / content).read_text() == "mine"


def test_an_empty_folder_is_welcome_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "run"):
        write_run(path, n_windows=1)
        assert verify_run(path).ok


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StoreError, match="found the file"):
        RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)


def test_a_parent_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="creating a run"):
        RunWriter.create(tmp_path / "file" / "run", INFO, window_frames=WINDOW_FRAMES)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        pytest.param(_picture(0, stage="provisional"), "provisional", id="provisional"),
        pytest.param(_picture(5), "write_map first", id="no-map"),
        pytest.param(_picture(0, segment=4), "segment 4 to have begun", id="no-segment"),
        pytest.param(_picture(0, image=np.zeros((3, 3), np.float32)), r"found \(3, 3\)", id="shape"),
        pytest.param(_picture(0, image=np.full(GRID.shape, 1.5, np.float32)), "to 1.5", id="above-one"),
        pytest.param(_picture(0, image=np.full(GRID.shape, -0.1, np.float32)), "from -0.1", id="below-zero"),
        pytest.param(_picture(0, image=np.full(GRID.shape, np.nan, np.float32)), "nan", id="nan"),
    ],
)
def test_a_picture_that_must_not_be_stored(writer: RunWriter, picture: Reconstruction, message: str) -> None:
    with writer, pytest.raises(StoreError, match=message):
        writer.write_reconstruction(picture)
    with open_run(writer.path) as run:
        assert run.committed_count("live") == 0 and run.committed_count("counts") == 1


def test_a_map_that_must_not_be_stored(writer: RunWriter) -> None:
    other = Grid(pitch_nm=40.0, shape=Shape(4, 4))
    map, localizations = make_map(0, 1)
    with writer:
        with pytest.raises(StoreError, match="begin a new segment"):
            writer.write_map(make_map(0, 1, other)[0], localizations)
        with pytest.raises(StoreError, match="written before"):
            writer.write_map(*make_map(0, 0))
        with pytest.raises(StoreError, match="segment 9 to have begun"):
            writer.write_map(*make_map(9, 0))
        with pytest.raises(StoreError, match="segment 0 has begun before"):
            writer.begin_segment(make_segment(), GRID)
        with pytest.raises(StoreError, match="expected localizations as rows"):
            writer.write_map(map, np.zeros(3, [("x", np.float32)]))
        # None of this has hurt the writer.
        writer.write_map(map, localizations)
    with open_run(writer.path) as run:
        assert run.committed_count("counts") == 2


def test_a_picture_is_written_once(writer: RunWriter) -> None:
    with writer:
        writer.write_reconstruction(_picture(0))
        with pytest.raises(StoreError, match="written before"):
            writer.write_reconstruction(_picture(0))


def test_what_a_finished_run_holds_cannot_be_written_again(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=6)
    with RunWriter.append_to(tmp_path / "run") as writer:
        with pytest.raises(StoreError, match="written before"):
            writer.write_map(*make_map(0, 2))
        with pytest.raises(StoreError, match="written before"):
            writer.write_reconstruction(_picture(2))


def test_a_closed_writer_says_so(writer: RunWriter) -> None:
    writer.finalize()
    writer.finalize()
    writer.close()
    with pytest.raises(StoreError, match="finalized or closed"):
        writer.event("too late")


def test_an_error_leaves_an_interrupted_run_with_all_that_was_written(tmp_path: Path) -> None:
    writer = write_run(tmp_path / "run", n_windows=7, finalize=False)
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    with open_run(tmp_path / "run") as run:
        assert run.status == "interrupted"
        assert run.committed_count("counts") == 7
    report = verify_run(tmp_path / "run")
    assert report.ok and report.status == "interrupted"


def test_a_run_has_one_writer(writer: RunWriter) -> None:
    with writer:
        with open_run(writer.path) as run:
            assert run.status == "running"
        with pytest.raises(StoreError, match="another process is writing"):
            RunWriter.append_to(writer.path)
    RunWriter.append_to(writer.path).finalize()


def test_an_addition_that_fails_does_not_break_a_finished_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=6)
    with pytest.raises(KeyboardInterrupt), RunWriter.append_to(tmp_path / "run") as writer:
        writer.write_reconstruction(_picture(0, stage="full"))
        raise KeyboardInterrupt
    report = verify_run(tmp_path / "run")
    assert report.ok and report.status == "complete" and report.windows["full"] == 1


@pytest.mark.parametrize("name", [pytest.param("nowhere", id="missing"), pytest.param("", id="no-journal")])
def test_a_folder_that_is_no_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="expected a run folder"):
        open_run(tmp_path / name)


def test_a_journal_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="readable database"):
        open_run(tmp_path)


def test_a_journal_of_a_later_version(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=1)
    connection = sqlite3.connect(tmp_path / "run" / "journal.sqlite")
    connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="format 1, found 99"):
        open_run(tmp_path / "run")


def test_localizations_are_asked_for_by_what_is_committed(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        for index in range(2):
            writer.begin_segment(make_segment(index), GRID)
            writer.write_map(*make_map(index, 0))
    with open_run(tmp_path / "run") as run:
        with pytest.raises(StoreError, match="2 segments"):
            run.localizations(window=0)
        with pytest.raises(StoreError, match="to be committed"):
            run.localizations(segment=1, window=5)
