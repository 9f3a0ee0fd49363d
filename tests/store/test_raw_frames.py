"""Recorded camera frames: whole shards, the last one cut short, readable while written and after a kill."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import zarr

from dblink_live.errors import StoreError
from dblink_live.store import RawWriter, RunWriter, create_raw, open_run, read_raw, trim_raw, verify_run
from dblink_live.store.hierarchy import FOLDER_NAME
from dblink_live.store.verify.ome_zarr import validate_ome_zarr
from dblink_live.types import Gap, GapCause, Grid, RunInfo, Segment, Shape

INFO = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
SHAPE = Shape(7, 11)


def _segment(dtype: str, index: int = 0) -> Segment:
    return Segment(index=index, shape=SHAPE, dtype=dtype, frame_interval_ms=20.0)  # type: ignore[arg-type]


def _begin(folder: Path, dtype: str = "uint16") -> RunWriter:
    writer = RunWriter.create(folder, INFO, window_frames=10)
    create_raw(folder, _segment(dtype), pixel_size_nm=100.0)
    writer.begin_segment(_segment(dtype), Grid(40.0, Shape(18, 28)))
    return writer


def _frames(n: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 200, (n, *SHAPE)).astype(dtype)


def _record(folder: Path, frames: np.ndarray, session: int = 0, *, finish: bool = True) -> RawWriter:
    raw = RawWriter(folder, session)
    for number, frame in enumerate(frames):
        raw.append(number, 1000 * number, frame)
    if finish:
        raw.finish("ended with the camera")
    return raw


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("n_frames", [0, 1, 64, 130, 1100])
def test_frames_are_read_back_with_their_numbers_and_times(tmp_path: Path, dtype: str, n_frames: int) -> None:
    folder = tmp_path / "run"
    frames = _frames(n_frames, dtype)
    with _begin(folder, dtype):
        _record(folder, frames).close()
        trim_raw(folder)
    (raw,) = read_raw(folder)
    assert np.array_equal(raw.numbers, np.arange(n_frames))
    assert np.array_equal(raw.t_host_ns, 1000 * np.arange(n_frames))
    stored = zarr.open_array(folder / FOLDER_NAME / "raw" / "0", mode="r")
    assert stored.dtype == dtype
    assert np.array_equal(stored[:], frames)
    report = verify_run(folder)
    assert report.ok, report.problems
    assert any(f"{n_frames} camera frames recorded" in note for note in report.notes)


def test_a_shard_is_one_file_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with _begin(folder):
        _record(folder, _frames(130, "uint16")).close()
        files = [path for path in (folder / FOLDER_NAME / "raw" / "0" / "c").rglob("*") if path.is_file()]
    assert len(files) == 3


def test_a_gap_leaves_no_room_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    frames = _frames(2, "uint16")
    with _begin(folder):
        raw = RawWriter(folder, 0)
        raw.append(4, 0, frames[0])
        raw.record_gap(Gap(0, 4, 5, GapCause.RECORD))
        raw.append(10, 0, frames[1])
        raw.finish("ended with the camera")
        raw.close()
        trim_raw(folder)
    (found,) = read_raw(folder)
    assert found.numbers.tolist() == [4, 10]
    assert found.gaps == [Gap(0, 4, 5, GapCause.RECORD)]
    assert np.array_equal(found.read(found.shards[0]), frames)
    assert any("5 were lost" in note for note in verify_run(folder).notes)


def test_it_is_a_valid_ome_zarr_while_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    frames = _frames(200, "uint16")
    with _begin(folder):
        raw = _record(folder, frames, finish=False)
        (found,) = read_raw(folder)
        # Of three full shards two may be under way; what is committed can be read.
        assert len(found.numbers) >= 64
        stored = zarr.open_array(folder / FOLDER_NAME / "raw" / "0", mode="r")
        assert np.array_equal(stored[: len(found.numbers)], frames[: len(found.numbers)])
        assert validate_ome_zarr(folder / FOLDER_NAME) == []
        assert verify_run(folder).ok
        with pytest.raises(StoreError, match="another process"):
            trim_raw(folder)
        raw.close()


def test_what_was_committed_before_a_kill_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _begin(folder).close()
    script = textwrap.dedent(
        f"""
        import numpy as np, os, signal
        from pathlib import Path
        from dblink_live.store import RawWriter
        raw = RawWriter(Path({str(folder)!r}), 0)
        frames = np.random.default_rng(3).integers(0, 200, (500, {SHAPE.height}, {SHAPE.width})).astype(np.uint16)
        for number, frame in enumerate(frames):
            raw.append(number, 0, frame)
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    (found,) = read_raw(folder)
    assert found.session.ending is None
    # Of seven full shards at most two were under way.
    assert len(found.numbers) >= 5 * 64
    assert np.array_equal(
        np.concatenate([found.read(shard) for shard in found.shards]), _frames(500, "uint16")[: len(found.numbers)]
    )
    trim_raw(folder)
    report = verify_run(folder)
    assert report.ok, report.problems
    assert any("was cut off" in note for note in report.notes)
    with open_run(folder) as run:
        assert run.raw is not None
        assert run.raw.shape == (len(found.numbers), *SHAPE)


def test_a_camera_that_starts_again_gets_a_series_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    frames = _frames(70, "uint16")
    with _begin(folder) as writer:
        _record(folder, frames).close()
        create_raw(folder, _segment("uint16", index=1), 100.0)
        writer.begin_segment(_segment("uint16", index=1), Grid(40.0, Shape(18, 28)))
        _record(folder, frames[:3], session=1).close()
        trim_raw(folder)
    assert [(raw.session.series, len(raw.numbers)) for raw in read_raw(folder)] == [("raw", 70), ("raw_1", 3)]
    assert verify_run(folder).ok


def test_a_run_that_died_before_its_first_segment_is_recorded_again(tmp_path: Path) -> None:
    """Its recorder had begun: both recordings then belong to segment 0."""
    folder = tmp_path / "run"
    frames = _frames(70, "uint16")
    writer = RunWriter.create(folder, INFO, window_frames=10)
    assert create_raw(folder, _segment("uint16"), 100.0) == 0
    _record(folder, frames).close()
    assert create_raw(folder, _segment("uint16"), 100.0) == 1
    writer.begin_segment(_segment("uint16"), Grid(40.0, Shape(18, 28)))
    _record(folder, frames[:3], session=1).close()
    trim_raw(folder)
    writer.finalize()
    sessions = [(raw.session.first_segment, raw.session.series, len(raw.numbers)) for raw in read_raw(folder)]
    assert sessions == [(0, "raw", 70), (0, "raw_1", 3)]
    assert verify_run(folder).ok


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with _begin(folder):
        _record(folder, _frames(130, "uint16")).close()
        trim_raw(folder)
    (shard,) = (path for path in (folder / FOLDER_NAME / "raw" / "0" / "c" / "1").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    assert any("shard 1" in problem for problem in verify_run(folder).problems)
