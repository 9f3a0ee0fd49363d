"""The disk is full at every write of a run: what was committed is whole, and the run goes on once there is space."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import small_disk
import zarr
from small_disk import CANNOT_MOUNT, DiskFinding, check, take_up, write

from dblink_live.errors import StoreError
from dblink_live.store import open_run
from dblink_live.store.arrays import SeriesWriter
from dblink_live.store.journal import Journal
from dblink_live.store.localizations import LocalizationWriter

PROGRAM = Path(small_disk.__file__)
SYSTEM_ERROR = OSError(errno.ENOSPC, "No space left on device")
DATABASE_ERROR = sqlite3.OperationalError("database or disk is full")


@pytest.mark.skipif(sys.platform != "linux", reason="needs the namespaces of Linux to mount a small file system")
def test_a_real_disk_that_is_too_small_by_any_number_of_pages(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path), "--stride", "3"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=280)
    if tried.returncode == CANNOT_MOUNT:
        pytest.skip("this system lets users mount nothing")
    assert tried.returncode == 0, tried.stderr
    finding = DiskFinding(**json.loads(tried.stdout))
    assert finding.problems == []
    # The disks ended in every phase: none for the databases, some for a part of the windows, enough for all.
    assert finding.n_too_small > 0 and finding.n_interrupted > 3 and finding.n_fitted == 1
    assert finding.max_committed > 2
    for message in finding.messages:
        assert message.startswith("the disk is full while ") and "\n" not in message
        assert "Free some space" in message


class _Disk:
    """Fails from write number ``n_good`` on (from 0)."""

    def __init__(self, n_good: int) -> None:
        self._n_left = n_good

    def take(self, error: Exception) -> None:
        if self._n_left == 0:
            raise error
        self._n_left -= 1

    def guarding(self, function: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.take(error)
            return function(*args, **kwargs)

        return guarded


class _Unwritten:
    """Pixels that find no room: the error comes where they are waited for."""

    def __init__(self, disk: _Disk) -> None:
        self.error: OSError | None = None
        try:
            disk.take(SYSTEM_ERROR)
        except OSError as error:
            self.error = error

    def result(self) -> None:
        if self.error is not None:
            raise self.error


@contextmanager
def _full(disk: _Disk) -> Iterator[None]:
    """Let every write of the store go to ``disk`` first."""
    with pytest.MonkeyPatch.context() as patch:
        write_pixels = SeriesWriter.write

        def write_pixels_if_there_is_room(self: SeriesWriter, index: int, image: Any) -> Any:
            unwritten = _Unwritten(disk)
            if unwritten.error is not None:
                return unwritten
            return write_pixels(self, index, image)

        patch.setattr(SeriesWriter, "write", write_pixels_if_there_is_room)
        for owner, name, error in [
            (zarr, "create_array", SYSTEM_ERROR),
            (zarr, "create_group", SYSTEM_ERROR),
            (zarr.Group, "update_attributes", SYSTEM_ERROR),
            (SeriesWriter, "trim", SYSTEM_ERROR),
            (LocalizationWriter, "write", DATABASE_ERROR),
            (Journal, "transaction", DATABASE_ERROR),
        ]:
            patch.setattr(owner, name, disk.guarding(getattr(owner, name), error))
        yield


def test_every_single_write_can_fail(tmp_path: Path) -> None:
    """The same on every system: the n-th write of the store and all later ones fail, for every n."""
    finding = DiskFinding()
    n_good = n_committed = 0
    while not finding.n_fitted:
        run, disk = tmp_path / f"{n_good}.run", _Disk(n_good)
        with _full(disk):
            message = write(run)
        if message is None:
            finding.n_fitted += 1
        else:
            assert message.startswith("the disk is full while ") and "\n" not in message
            try:
                open_run(run).close()
            except StoreError:
                finding.n_too_small += 1
            else:
                now = check(run, f"write {n_good}", finding)
                # A later death never leaves less: commits are in order.
                assert now >= n_committed - small_disk.N_WINDOWS
                n_committed = max(n_committed, now)
                take_up(run)
                check(run, f"write {n_good}, taken up", finding)
                with open_run(run) as opened:
                    assert opened.status == "complete"
                    assert opened.committed_count("counts") == small_disk.N_WINDOWS
                finding.n_interrupted += 1
        n_good += 1
    assert finding.problems == []
    assert finding.n_interrupted > 2 * small_disk.N_WINDOWS and n_committed > small_disk.N_WINDOWS
