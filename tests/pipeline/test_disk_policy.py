"""The forecast before a run, and what is done while its disk fills up."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.config import run_config_from_plain
from dblink_live.errors import ConfigError
from dblink_live.pipeline.disk import LOOK_EVERY_S, DiskAction, DiskGuard, DiskUse
from dblink_live.pipeline.live_run import LiveRun, open_live_run
from dblink_live.store import open_run, read_raw, verify_run

TOTAL = 1000


class _Disk:
    """A disk of 1000 bytes and a clock, both of which a test sets."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.now = 0.0
        self.n_looks = 0

    def measure(self, path: Path) -> DiskUse:
        self.n_looks += 1
        return DiskUse(TOTAL, TOTAL - self.free, self.free)

    def later(self, free: int) -> None:
        self.free = free
        self.now += LOOK_EVERY_S


def _guard(disk: _Disk, policy: str) -> DiskGuard:
    return DiskGuard(Path(), policy, disk.measure, lambda: disk.now)  # type: ignore[arg-type]


def test_the_run_is_stopped_at_95_percent() -> None:
    disk = _Disk(free=500)
    guard = _guard(disk, "stop")
    seen = []
    for free in (500, 51, 49, 400):
        disk.later(free)
        seen.append(guard.look())
    # What is asked for stays asked for, also when somebody makes room.
    assert seen == [DiskAction.NOTHING, DiskAction.NOTHING, DiskAction.STOP, DiskAction.STOP]


def test_recording_ends_first_and_the_run_at_half_of_the_rest() -> None:
    disk = _Disk(free=500)
    guard = _guard(disk, "drop_raw")
    seen = []
    for free in (51, 49, 26, 24):
        disk.later(free)
        seen.append(guard.look())
    assert seen == [DiskAction.NOTHING, DiskAction.DROP_RAW, DiskAction.DROP_RAW, DiskAction.STOP]
    assert "98 % full" in guard.describe()


def test_a_disk_that_was_full_of_other_things_is_used_to_its_half() -> None:
    disk = _Disk(free=40)
    guard = _guard(disk, "stop")
    seen = []
    for free in (40, 21, 19):
        disk.later(free)
        seen.append(guard.look())
    assert seen == [DiskAction.NOTHING, DiskAction.NOTHING, DiskAction.STOP]


def test_the_disk_is_asked_now_and_then_only() -> None:
    disk = _Disk(free=500)
    guard = _guard(disk, "stop")
    for _ in range(1000):
        guard.look()
    assert disk.n_looks == 2  # when it was made, and at the first look


def test_a_disk_that_cannot_be_asked_changes_nothing() -> None:
    disk = _Disk(free=500)
    asked: list[int] = []

    def measure(path: Path) -> DiskUse:
        asked.append(1)
        if len(asked) > 1:
            raise OSError("gone")
        return disk.measure(path)

    guard = DiskGuard(Path(), "stop", measure, lambda: disk.now)
    assert guard.look() is DiskAction.NOTHING


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="when_full"):
        run_config_from_plain({"store": {"when_full": "panic"}})


def _filling_up(free: int) -> Callable[[Path], DiskUse]:
    """Half empty when the run is made, with ``free`` of 1000 bytes at every later look."""
    disk = _Disk(free=500)

    def measure(path: Path) -> DiskUse:
        if disk.n_looks:
            disk.free = free
        return disk.measure(path)

    return measure


def _run(source: str, folder: Path, free: int, **store: object) -> LiveRun:
    config = run_config_from_plain({"store": store, "camera": {"pixel_size_nm": 100.0}})
    with open_live_run(source, folder, config, publish=False, measure=_filling_up(free)) as session:
        return session.run()


def _events(folder: Path) -> str:
    with open_run(folder) as run:
        assert run.status == "complete"
        return "\n".join(event.text for event in run.events)


def test_a_run_that_is_stopped_is_complete_and_every_frame_has_its_fate(tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(stack, rng.poisson(100, (300, 32, 32)).astype(np.uint16), photometric="minisblack")
    finished = _run(f"tiff:{stack}?fps=100", tmp_path / "run", free=40)
    totals = finished.totals
    assert finished.stopped_by_disk is not None and totals.stopped_early
    assert 0 < totals.frames_seen < 300
    assert totals.frames_seen == totals.frames_committed + totals.frames_tail + sum(totals.lost.values())
    assert "96 % full" in _events(finished.folder)
    report = verify_run(finished.folder)
    assert report.ok, report.problems


@pytest.mark.skipif(importlib.util.find_spec("pymmcore_plus") is None, reason="needs the extra 'micromanager'")
def test_a_run_goes_on_without_recording(tmp_path: Path) -> None:
    source = "sim:filaments?frames=100&fps=25&size=32&seed=5"
    finished = _run(source, tmp_path / "run", free=40, record=True, when_full="drop_raw")
    assert finished.stopped_by_disk is None
    assert finished.totals.frames_seen == 100
    assert not finished.totals.lost
    (raw,) = read_raw(finished.folder)
    # What was recorded before is kept: the first frames, without a hole.
    assert len(raw.numbers) < 100
    assert raw.numbers.tolist() == list(range(len(raw.numbers)))
    events = _events(finished.folder)
    assert "no longer recorded" in events and "raw recording stopped" not in events
    report = verify_run(finished.folder)
    assert report.ok, report.problems
