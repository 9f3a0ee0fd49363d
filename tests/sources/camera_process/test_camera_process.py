"""The camera process as its parent sees it: order, losses, errors, and no orphan whoever is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from dblink_live.errors import DblinkError, PluginError, SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources.camera_process import CameraProcess, client
from dblink_live.types import CameraRecipe, Frame, Gap, GapCause, Shape

pytest.importorskip("pymmcore", reason="needs the extra 'micromanager'")


def _recipe(function: str, **settings: object) -> CameraRecipe:
    return CameraRecipe(name=function, builder=f"camera_builders:{function}", **settings)  # type: ignore[arg-type]


@contextlib.contextmanager
def _opened(recipe: CameraRecipe) -> Iterator[CameraProcess]:
    source = CameraProcess(recipe)
    source.open()
    try:
        yield source
    finally:
        source.close()


def _read_all(source: FrameSource) -> list[SourceEvent]:
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(64, 0.2)
    return events


def _read_until_error(source: FrameSource) -> tuple[list[SourceEvent], str]:
    events: list[SourceEvent] = []
    with pytest.raises(SourceError) as caught:
        while True:
            events += source.read(64, 0.2)
    return events, str(caught.value)


def _numbers(events: list[SourceEvent]) -> list[int]:
    return [event.number for event in events if isinstance(event, Frame)]


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_until_gone(pid: int, limit_s: float = 30.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not _is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return _is_gone(pid)


def test_a_camera_process_is_a_frame_source() -> None:
    assert isinstance(CameraProcess(_recipe("snake", options={"numbers": ""})), FrameSource)


def test_a_snake_case_core_with_tagged_images_is_served_like_any_other() -> None:
    source = CameraProcess(_recipe("snake", options={"numbers": "0,1,2"}, n_frames=3))
    segment = source.open()
    assert segment.shape == Shape(3, 5)
    assert segment.roi == (7, 8, 5, 3)
    assert segment.binning == 2
    assert segment.bit_depth == 12
    # 0.0 in Micro-Manager means that nobody has calibrated it.
    assert segment.pixel_size_nm is None
    frames = _read_all(source)
    source.close()
    assert _numbers(frames) == [0, 1, 2]
    first = frames[0]
    assert isinstance(first, Frame)
    np.testing.assert_array_equal(first.data, np.full((3, 5), 40_000, np.uint16))
    # Twelve bits saturate at 4095: all of these pixels are above.
    assert first.n_saturated == 15


def test_numbers_that_the_camera_skipped_are_gaps_in_their_place() -> None:
    with _opened(_recipe("snake", options={"numbers": "0,1,5,6,8"}, n_frames=9)) as source:
        events = _read_all(source)
        assert source.counters is not None
        assert source.counters.n_camera_lost == 4
    told = [event.number if isinstance(event, Frame) else event for event in events]
    assert told == [0, 1, Gap(0, 1, 3, GapCause.CAMERA), 5, 6, Gap(0, 6, 1, GapCause.CAMERA), 8]


def test_a_camera_that_ends_early_is_reported_after_its_frames() -> None:
    with _opened(_recipe("snake", options={"numbers": "0,1,2"}, n_frames=10)) as source:
        events, message = _read_until_error(source)
    assert _numbers(events) == [0, 1, 2]
    assert events[-1] == Gap(0, 2, None, GapCause.CAMERA)
    assert "expected 10 frames" in message


def test_a_driver_that_raises_is_reported_after_its_frames() -> None:
    with _opened(_recipe("snake", options={"numbers": "0,1,-1"})) as source:
        events, message = _read_until_error(source)
    assert _numbers(events) == [0, 1]
    assert "the driver broke" in message


def test_numbers_that_run_backwards_end_the_acquisition() -> None:
    with _opened(_recipe("snake", options={"numbers": "0,1,2,0"})) as source:
        events, message = _read_until_error(source)
    assert _numbers(events) == [0, 1, 2]
    assert "found 0 after 2" in message


def test_stop_ends_in_order_and_hands_over_what_was_taken() -> None:
    with _opened(_recipe("snake", options={"numbers": "", "endless": True, "interval_s": 0.001})) as source:
        events: list[SourceEvent] = []
        while len(events) < 50:
            events += source.read(64, 0.2)
        source.stop()
        events += _read_all(source)
        assert _numbers(events) == list(range(len(events)))
        assert source.counters is not None
        assert source.counters.n_popped == len(events)


def test_a_camera_that_was_never_started_closes_in_order() -> None:
    with _opened(_recipe("snake", options={"numbers": "0,1"})) as source:
        pid = source.pid
    assert pid is not None
    assert _is_gone(pid)


def test_what_a_driver_prints_blocks_nothing() -> None:
    with _opened(_recipe("prints_a_lot", n_frames=3)) as source:
        assert _numbers(_read_all(source)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("recipe", "kind", "message"),
    [
        pytest.param(_recipe("no_such"), PluginError, "expected a camera builder", id="unknown builder"),
        pytest.param(_recipe("crashes"), SourceError, "ended with status 7", id="driver crash"),
        pytest.param(
            _recipe("demo_camera", options={"pixel_type": "32bitRGB"}), SourceError, "found colour", id="colour"
        ),
        pytest.param(
            _recipe("demo_camera", options={"pixel_type": "32bit"}), SourceError, "found 32 bits", id="32 bits"
        ),
        pytest.param(_recipe("demo_camera", binning=3), SourceError, r"\(1, 2, 4, 8\), found 3", id="binning"),
        pytest.param(_recipe("demo_camera", roi=(500, 0, 20, 20)), SourceError, "within the 512 x 512", id="roi"),
        pytest.param(_recipe("demo_camera", exposure_ms=50.0, fps=100.0), SourceError, "at most 10 ms", id="rate"),
    ],
)
def test_what_cannot_start_says_why_and_leaves_nothing(
    recipe: CameraRecipe, kind: type[DblinkError], message: str
) -> None:
    source = CameraProcess(recipe)
    with pytest.raises(kind, match=message):
        source.open()
    assert source.pid is not None
    assert _is_gone(source.pid)
    source.close()


def test_a_real_core_is_built_without_torch_zarr_or_qt() -> None:
    with _opened(_recipe("demo_that_lists_modules", n_frames=3)) as source:
        assert _numbers(_read_all(source)) == [0, 1, 2]


def test_settings_reach_a_real_camera() -> None:
    source = CameraProcess(_recipe("demo_camera", roi=(16, 8, 64, 32), binning=2, exposure_ms=3.0, n_frames=5))
    segment = source.open()
    assert (segment.shape, segment.roi, segment.binning) == (Shape(32, 64), (16, 8, 64, 32), 2)
    assert segment.exposure_ms == 3.0
    frames = _read_all(source)
    source.close()
    assert [frame.data.shape for frame in frames if isinstance(frame, Frame)] == [(32, 64)] * 5


def test_an_overflow_of_the_cores_buffer_is_reported_after_the_buffered_frames() -> None:
    # Two megabytes hold four frames of 512 x 512 x 16 bit: at 2 ms per frame and 30 ms a pop they overflow at once.
    recipe = _recipe("demo_camera", options={"pop_delay_s": 0.03}, buffer_mb=2)
    with _opened(recipe) as source:
        events, message = _read_until_error(source)
    numbers = _numbers(events)
    assert len(numbers) >= 4
    assert numbers == list(range(len(numbers)))
    assert events[-1] == Gap(0, numbers[-1], None, GapCause.CAMERA)
    assert f"overflowed after frame {numbers[-1]}" in message


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_is_left_to_the_parent() -> None:
    with _opened(_recipe("snake", options={"numbers": "", "endless": True, "interval_s": 0.001})) as source:
        source.read(1, 1.0)
        assert source.pid is not None
        os.kill(source.pid, signal.SIGINT)
        events: list[SourceEvent] = []
        while len(events) < 100:
            events += source.read(64, 1.0)
        source.stop()
        _read_all(source)


def test_a_killed_camera_process_is_an_unknown_loss_and_an_error() -> None:
    before = _shared_files()
    with _opened(_recipe("snake", options={"numbers": "", "endless": True, "interval_s": 0.001})) as source:
        source.read(64, 1.0)
        assert source.pid is not None
        psutil.Process(source.pid).kill()
        events, message = _read_until_error(source)
        last = source.counters.n_written - 1 if source.counters else None
    assert events[-1] == Gap(0, last, None, GapCause.CAMERA)
    assert f"after frame {last}" in message
    assert "`dblink-live resume RUN` goes on" in message
    assert _shared_files() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot suspend a process by a signal")
def test_a_hung_camera_process_is_killed_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WRITER_TIMEOUT_S", 0.5)
    with _opened(_recipe("snake", options={"numbers": "", "endless": True, "interval_s": 0.001})) as source:
        source.read(64, 1.0)
        assert source.pid is not None
        os.kill(source.pid, signal.SIGSTOP)
        events, message = _read_until_error(source)
        assert _is_gone(source.pid)
        assert source.is_finished
        assert source.read(64, 0.0) == []
    assert isinstance(events[-1], Gap)
    assert events[-1].count is None
    assert "no heartbeat for 0.5 s" in message


PARENT_PROGRAM = textwrap.dedent(
    """
    import time
    from dblink_live.sources.camera_process import CameraProcess
    from dblink_live.types import CameraRecipe

    options = {"numbers": "", "endless": True, "interval_s": 0.001}
    source = CameraProcess(CameraRecipe(name="snake", builder="camera_builders:snake", options=options))
    source.open()
    source.read(10, 5.0)
    print(source.pid, flush=True)
    time.sleep(60)
    """
)


def test_a_killed_parent_leaves_no_camera_process_and_no_file() -> None:
    before = _shared_files()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT_PROGRAM], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    camera_pid = int(parent.stdout.readline())
    assert not _is_gone(camera_pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _wait_until_gone(camera_pid)
    assert _shared_files() == before


def _shared_files() -> set[str]:
    """Files that a ring could leave behind."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir() if "dblink" in path.name} if folder.is_dir() else set()
