"""Local or network, and what a full disk does."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from synthetic import INFO, WINDOW_FRAMES, make_segment, write_run

from dblink_live.errors import StoreError
from dblink_live.files import windows_path_problem
from dblink_live.store import RunWriter, checksum, filesystem, free_bytes, network_share_reason, open_run, verify_run
from dblink_live.store.connections import connect_read_only, create_database
from dblink_live.store.filesystem import is_disk_full
from dblink_live.types import Grid, LocalizationMap, Shape, empty_localizations

LINUX_MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
//server/microscopy /mnt/share cifs rw,vers=3.1.1 0 0
server:/export /mnt/my\\040lab nfs4 rw 0 0
me@host:/data /home/me/remote fuse.sshfs rw 0 0
/dev/sdb1 /mnt/share/fast xfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
"""
MACOS_MOUNTS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@server/lab data on /Volumes/lab data (smbfs, nodev, nosuid, mounted by me)
/dev/disk5s1 on /Volumes/Fast (apfs, local, nodev)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/home/me/run", None, id="root"),
        pytest.param("/mnt/share/run", "cifs", id="cifs"),
        pytest.param("/mnt/share", "cifs", id="the-mount-itself"),
        pytest.param("/mnt/my lab/deep/down/run", "nfs4", id="nfs-with-a-blank"),
        pytest.param("/home/me/remote/run", "fuse.sshfs", id="sshfs"),
        pytest.param("/mnt/share/fast/run", None, id="local-disk-below-a-share"),
        pytest.param("/mnt/shared", None, id="alike-but-another-folder"),
    ],
)
def test_network_mounts_on_linux(path: str, kind: str | None) -> None:
    reason = filesystem.mount_reason(PurePosixPath(path), filesystem.parse_linux_mounts(LINUX_MOUNTS))
    assert (reason is None) if kind is None else (reason is not None and kind in reason)


def test_network_mounts_on_macos() -> None:
    mounts = filesystem.parse_macos_mounts(MACOS_MOUNTS)
    assert "smbfs" in (filesystem.mount_reason(PurePosixPath("/Volumes/lab data/run"), mounts) or "")
    assert filesystem.mount_reason(PurePosixPath("/Volumes/Fast/run"), mounts) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(r"\\server\share\run", True, id="unc"),
        pytest.param("//server/share/run", True, id="unc-slashes"),
        pytest.param(r"\\?\UNC\server\share\run", True, id="long-unc"),
        pytest.param(r"\\?\C:\data\run", False, id="long-local"),
        pytest.param(r"\\.\pipe\x", False, id="device"),
        pytest.param(r"C:\data\run", False, id="local"),
    ],
)
def test_unc_paths(path: str, expected: bool) -> None:
    assert filesystem.is_unc(path) is expected


def test_this_folder_is_local(tmp_path: Path) -> None:
    assert network_share_reason(tmp_path / "not" / "yet" / "there") is None
    assert free_bytes(tmp_path / "not" / "yet" / "there") > 0


def test_a_network_share_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dblink_live.store.filesystem.network_share_reason", lambda path: "/mnt/share is a network file system (cifs)"
    )
    with pytest.raises(StoreError, match=r"network file system \(cifs\).*record on a local disk"):
        RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True, id="os"),
        pytest.param(OSError(errno.EACCES, os.strerror(errno.EACCES)), False, id="os-other"),
        pytest.param(sqlite3.OperationalError("database or disk is full"), True, id="sqlite"),
        pytest.param(sqlite3.OperationalError("database is locked"), False, id="sqlite-other"),
        pytest.param(
            ValueError("RESOURCE_EXHAUSTED: ... [OS error 28: ENOSPC No space left on device]"), True, id="tensorstore"
        ),
        pytest.param(ValueError("INVALID_ARGUMENT: ..."), False, id="tensorstore-other"),
    ],
)
def test_a_full_disk_is_told_from_other_failures(tmp_path: Path, error: Exception, is_full: bool) -> None:
    message = str(filesystem.store_error(error, tmp_path, "writing a window"))
    assert ("the disk is full while writing a window" in message) is is_full
    assert str(tmp_path) in message and "MB are free" in message and "is intact" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("making a small file system needs root on Linux")
    point = tmp_path / "small"
    point.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(point)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def test_a_finished_run_opens_from_read_only_media(small_disk: Path) -> None:
    write_run(small_disk / "run", n_windows=6)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    report = verify_run(small_disk / "run")
    assert report.ok and report.status == "complete"
    with pytest.raises(StoreError, match="creating a run"):
        RunWriter.create(small_disk / "new", INFO, window_frames=WINDOW_FRAMES)


@pytest.mark.parametrize(
    "what", [pytest.param("arrays", id="arrays"), pytest.param("localizations", id="localizations")]
)
def test_a_full_disk_ends_the_run_with_all_that_was_committed(small_disk: Path, what: str) -> None:
    """Full once while array data is written and once while a database is."""
    rng = np.random.default_rng(5)
    # Noise does not compress: 320 kB a map, or 430 kB of localizations per window.
    grid = Grid(pitch_nm=40.0, shape=Shape(400, 400) if what == "arrays" else Shape(8, 8))
    digests: list[bytes] = []

    def fill() -> None:
        with RunWriter.create(small_disk / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
            writer.begin_segment(make_segment(), grid)
            for window in range(200):
                counts = np.zeros(grid.shape, np.uint16)
                localizations = empty_localizations(0)
                if what == "arrays":
                    # Saturated, so that verify does not compare it with the localizations that are not there.
                    counts = rng.integers(0, 65536, grid.shape).astype(np.uint16)
                    counts[0, 0] = 65535
                else:
                    localizations = empty_localizations(12_000)
                    for name in ("x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy"):
                        localizations[name] = rng.uniform(1e3, 1e4, len(localizations))
                digests.append(checksum(counts))
                writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, grid), localizations)

    with pytest.raises(StoreError, match=r"the disk is full while .*MB are free.*is intact") as caught:
        fill()
    assert str(small_disk) in str(caught.value)
    with open_run(small_disk / "run") as run:
        assert run.status == "interrupted"
        rows = run.windows("counts")
        assert 3 <= len(rows) < 200
        for row in rows:
            assert checksum(run.read_window(row)) == digests[row.window]
    report = verify_run(small_disk / "run")
    assert report.ok, report.problems


@pytest.mark.parametrize(
    ("path", "n_more", "words"),
    [
        (r"D:\runs\cell1.run", 70, None),
        (r"\\server\share\cell1.run", 70, None),
        (r"D:\runs\β-tubulin 37°C\cell1.run", 70, None),
        (r"D:\runs\cell:1.run", 0, "hidden stream"),
        (r"D:\runs\what?.run", 0, "'?' is not allowed"),
        (r"D:\runs\con.run", 0, "name of a device"),
        (r"D:\LPT1\a.run", 0, "name of a device"),
        (r"D:\console\com10.run", 0, None),
        (r"D:\runs\cell1.", 0, "ends in a dot"),
        (
            "D:\\" + 9 * "a long name of a folder\\" + "a.run",
            70,
            "paths of up to 294 characters, and Windows takes 259",
        ),
    ],
)
def test_what_windows_cannot_name_is_told_before_anything_is_written(path: str, n_more: int, words: str | None) -> None:
    problem = windows_path_problem(PureWindowsPath(path), n_more)
    assert (problem is None) if words is None else (problem is not None and words in problem)


@pytest.mark.parametrize("code", [39, 112, 1295])
def test_a_full_disk_is_known_by_its_number_in_any_language(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    error = OSError(22, "Es steht nicht genug Speicherplatz auf dem Datenträger zur Verfügung")
    assert not is_disk_full(error)
    error.winerror = code  # type: ignore[attr-defined]
    assert is_disk_full(error)
    said = ValueError(f"RESOURCE_EXHAUSTED: Error writing: Espacio insuficiente [os_error_code='{code}']")
    assert not is_disk_full(said)
    monkeypatch.setattr("dblink_live.files.sys.platform", "win32")
    assert is_disk_full(said)


def test_a_run_is_opened_by_a_path_with_signs_of_uris(tmp_path: Path) -> None:
    folder = tmp_path / "50% #1 ?µ"
    folder.mkdir()
    create_database(folder / "journal.sqlite", lambda database: database.execute("CREATE TABLE meta(x)"))
    with contextlib.closing(connect_read_only(folder / "journal.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM meta").fetchone() == (0,)
