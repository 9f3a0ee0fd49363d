"""Following an NDTiff dataset: both writers, from any start point, over several files, to its end and beyond."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ndtiff_follower import SIZE, check, drain, follow, put

from benchmarks.ndtiff_writers import STYLES, JavaStyleWriter, Writer, open_writer
from dblink_live.errors import SourceError
from dblink_live.types import Frame


@pytest.fixture(autouse=True)
def _settle_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    # How long a dataset must look closed is a matter of slow disks, not of these tests.
    monkeypatch.setattr("dblink_live.sources.ndtiff.dataset.SETTLE_S", 0.1)


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    if request.param != "preallocated":
        pytest.importorskip("ndstorage", reason="needs the extra 'micromanager'")
    return str(request.param)


def test_a_finished_dataset_is_read_to_its_end(style: str, tmp_path: Path) -> None:
    writer = open_writer(style, tmp_path / "acq_1")
    put(writer, range(150))
    writer.finish()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    segment = source.open()
    assert (segment.shape, segment.dtype) == ((SIZE, SIZE), "uint16")
    check(drain(source), range(150))
    assert source.ending == "the dataset is finished"  # type: ignore[attr-defined]
    source.close()


def test_every_frame_of_a_growing_dataset_comes_once_and_whole(style: str, tmp_path: Path) -> None:
    writer = open_writer(style, tmp_path / "acq_1")
    put(writer, range(1))

    def write() -> None:
        for number in range(1, 400):
            put(writer, range(number, number + 1))
            if number % 50 == 0:
                time.sleep(0.02)
        writer.finish()

    thread = threading.Thread(target=write)
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    thread.start()
    source.open()
    events = drain(source)
    thread.join()
    source.close()
    check(events, range(400))


def test_frames_come_as_soon_as_the_index_has_them(tmp_path: Path) -> None:
    writer = open_writer("preallocated", tmp_path / "acq_1")
    put(writer, range(1))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    source.open()
    check(source.read(64, 0.0), range(1))
    assert source.read(64, 0.0) == []
    put(writer, range(1, 4))
    check(source.read(64, 0.0), range(1, 4))
    assert not source.is_finished
    writer.finish()
    assert not any(isinstance(event, Frame) for event in drain(source))
    source.close()


@pytest.mark.parametrize("style", ["flushed", "preallocated"], indirect=True)
def test_the_next_data_file_is_followed(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both writers begin a new file when 5 MB are left: here, after 10 kB instead of 4 GB.
    limit = 5_000_000 + 10_000
    folder = tmp_path / "acq_1"
    if style == "preallocated":
        writer: Writer = JavaStyleWriter(folder, {}, max_file_bytes=limit)
    else:
        monkeypatch.setattr("ndstorage.ndtiff_file.MAX_FILE_SIZE", limit)
        writer = open_writer(style, folder)
    put(writer, range(20))
    source = follow(f"ndtiff:{folder}")
    source.open()
    first = source.read(64, 0.0)
    check(first, range(20))
    put(writer, range(20, 50))
    writer.finish()
    check(drain(source), range(20, 50))
    source.close()
    assert len(list(folder.glob("*.tif"))) > 2


def test_a_pause_between_two_files_is_not_the_end(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {}, max_file_bytes=5_000_000 + 2_000, index_bytes=0)
    put(writer, range(2))
    # The first file is closed, the second one begun and empty. An index without zeros behind it shows no difference.
    writer._end_file()
    writer._begin_file()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    source.open()
    check(source.read(64, 0.0), range(2))
    deadline = time.perf_counter() + 0.5
    while time.perf_counter() < deadline:
        assert source.read(64, 0.05) == []
    assert not source.is_finished
    put(writer, range(2, 3))
    writer.finish()
    check(drain(source), range(2, 3))
    source.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param("start=0", range(30), id="the beginning"),
        pytest.param("start=12", range(12, 30), id="a number"),
        pytest.param("start=newest", range(29, 30), id="the newest"),
        pytest.param("frames=7", range(7), id="so many"),
        pytest.param("start=12&frames=7", range(12, 19), id="so many from there"),
        pytest.param("start=25&frames=50", range(25, 30), id="fewer than asked for"),
    ],
)
def test_any_start_point(options: str, expected: range, tmp_path: Path) -> None:
    writer = open_writer("preallocated", tmp_path / "acq_1")
    put(writer, range(30))
    writer.finish()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?{options}")
    source.open()
    events = drain(source)
    check(events, expected)
    # What lies before the start is accounted for; what lies behind the last frame asked for was not looked at.
    assert sum(event.count or 0 for event in events if not isinstance(event, Frame)) == expected.start  # type: ignore[union-attr]
    source.close()


def test_the_start_is_waited_for(tmp_path: Path) -> None:
    writer = open_writer("preallocated", tmp_path / "acq_1")
    put(writer, range(3))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?start=5")
    later = threading.Timer(0.2, lambda: put(writer, range(3, 8)))
    later.start()
    source.open()
    later.join()
    writer.finish()
    check(drain(source), range(5, 8))
    source.close()


def test_an_interrupted_run_goes_on_behind_what_it_kept(tmp_path: Path) -> None:
    writer = open_writer("preallocated", tmp_path / "acq_1")
    put(writer, range(30))
    writer.finish()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?start=5&frames=20", n_kept=15)
    source.open()
    assert source.n_frames_expected == 10
    events = drain(source)
    check(events, range(15, 25))
    assert len(events) == 10, "what was reported before the interruption must not be reported again"
    source.close()


def test_a_dataset_that_stops_growing_is_reported_and_is_no_error(
    style: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(style, tmp_path / "acq_1")
    put(writer, range(200))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?idle_s=0.5")
    source.open()
    with caplog.at_level(logging.WARNING):
        events = drain(source)
    source.close()
    writer.finish()
    # The library keeps the newest entries in its buffer; what has reached the disk is whole.
    n_frames = sum(isinstance(event, Frame) for event in events)
    check(events, range(n_frames))
    assert n_frames == 200 if style != "growing" else 0 < n_frames < 200
    assert "stopped growing" in caplog.text
    assert f"after {n_frames} frames" in caplog.text


def test_stop_ends_after_the_frames_already_returned(tmp_path: Path) -> None:
    writer = open_writer("preallocated", tmp_path / "acq_1")
    put(writer, range(10))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    source.open()
    check(source.read(4, 0.0), range(4))
    source.stop()
    assert source.is_finished
    assert source.read(4, 0.0) == []
    source.close()
    writer.finish()


@pytest.fixture
def appearing(tmp_path: Path) -> Iterator[list[Writer]]:
    """A dataset that appears in the folder a moment after the test has begun."""
    for name in ("old_1", "old_2"):
        old = open_writer("preallocated", tmp_path / name)
        old.put({"time": 0}, np.zeros((4, 4), np.uint16), {})
        old.finish()
    writers: list[Writer] = []

    def begin() -> None:
        writers.append(open_writer("preallocated", tmp_path / "acq_3"))
        put(writers[0], range(5))
        writers[0].finish()

    timer = threading.Timer(0.3, begin)
    timer.start()
    yield writers
    timer.join()


@pytest.mark.parametrize("options", ["", "?watch=true"])
def test_the_next_dataset_in_a_folder_is_followed(
    options: str, appearing: list[Writer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = follow(f"ndtiff:{tmp_path}{options}")
    assert source.open().shape == (SIZE, SIZE)
    check(drain(source), range(5))
    assert "waiting for the next dataset" in caplog.text
    source.close()


def test_a_dataset_whose_folder_is_there_before_its_index_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "acq_1"
    folder.mkdir()
    later = tmp_path / "written elsewhere"
    writer = open_writer("preallocated", later)
    put(writer, range(5))
    writer.finish()

    def arrive() -> None:
        for path in sorted(later.iterdir(), reverse=True):
            path.rename(folder / path.name)

    timer = threading.Timer(0.3, arrive)
    timer.start()
    source = follow(f"ndtiff:{folder}")
    source.open()
    timer.join()
    check(drain(source), range(5))
    source.close()


def test_a_run_that_watched_a_folder_is_not_taken_up_with_another_dataset(tmp_path: Path) -> None:
    source = follow(f"ndtiff:{tmp_path}", n_kept=120)
    with pytest.raises(SourceError, match=r"go on in a new run with ndtiff:.*start=120"):
        source.open()
