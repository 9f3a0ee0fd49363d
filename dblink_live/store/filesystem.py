"""The file system under a run folder: its kind, free space and errors."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path, PurePosixPath

from dblink_live.errors import StoreError
from dblink_live.files import check_path, tensorstore_code, windows_code

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.glusterfs",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3",
        "smbfs", "webdav",
    }
)  # fmt: skip
"""Types under which several machines can hold the same file, as `/proc/mounts` and macOS's `mount` spell them."""

MAX_INNER_PATH = len("/run.ome.zarr/counts_10/0/c/1000000/0/0.") + 24
"""Characters by which paths within a run are longer than its own, with the ending of an unfinished file."""
_DRIVE_REMOTE = 4  # GetDriveTypeW
_DISK_FULL_WINDOWS = {39, 112, 1295}
"""Handle disk full, disk full, quota exceeded: numbers, for the words are in the user's language."""
_DISK_FULL_TEXT = re.compile(
    r"no space left|database or disk is full|disk quota exceeded|not enough space", re.IGNORECASE
)
_DISK_FULL_SQLITE = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}
"""The second is how SQLite says that there is no room for the index of its log."""
_DISK_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC}


def existing_ancestor(path: Path) -> Path:
    """``path`` itself or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes that can still be written under ``path``, which need not exist yet."""
    return shutil.disk_usage(existing_ancestor(path)).free


def free_nodes(path: Path) -> int | None:
    """Files and folders that can still be made under ``path``; None where the file system sets no such limit."""
    if sys.platform == "win32":
        return None  # NTFS makes room for its records as they come.
    found = os.statvfs(existing_ancestor(path))
    return found.f_favail if found.f_files else None


def flush_hierarchy(root: Path) -> None:
    """Let the disk have the metadata files of an OME-Zarr, and the directories that name them.

    zarr-python, which writes them, leaves that to the operating system.
    """
    # No deeper: below lie the windows, which tensorstore flushes.
    files = [path for pattern in ("zarr.json", "*/zarr.json", "*/*/zarr.json") for path in root.glob(pattern)]
    for path in files:
        _flush(path, os.O_RDWR)
    for folder in {root.parent, *(path.parent for path in files)}:
        flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Let the disk have the names that ``folder`` holds."""
    if sys.platform != "win32":  # NTFS keeps directories in its own journal; they cannot be opened
        _flush(folder, os.O_RDONLY)


def _flush(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def network_share_reason(path: Path) -> str | None:
    """Why ``path`` lies on a network share, in words; None where it is local or cannot be told.

    SQLite's WAL keeps its index in memory that reader and writer share, which does not exist between machines: on a
    share a reader may see half a journal, or corrupt it. What cannot be told here fails later, when WAL is switched on.
    """
    if sys.platform == "win32":
        return _windows_share_reason(path)
    real = PurePosixPath(existing_ancestor(path).resolve().as_posix())
    try:
        if sys.platform == "darwin":
            listing = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True).stdout
            mounts = parse_macos_mounts(listing)
        else:
            mounts = parse_linux_mounts(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
    except (OSError, subprocess.SubprocessError):
        return None
    return mount_reason(real, mounts)


def check_new_run(path: Path) -> None:
    """Raise StoreError where a run folder may not be made, before anything is written."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"expected a new run folder, found the file {path}; give another --out")
    if path.is_dir() and any(path.iterdir()):
        raise StoreError(
            f"expected a new run folder, but {path} exists and is not empty; give another --out, or delete it first "
            "(recorded runs are never overwritten)"
        )
    check_path(path, n_more=MAX_INNER_PATH)
    check_local(path)


def check_local(path: Path) -> None:
    """Raise StoreError where a run may not be written because it lies on a network share; it can be read there."""
    reason = network_share_reason(path)
    if reason is not None:
        raise StoreError(
            f"expected {path} to lie on a local disk, but {reason}, where a write-ahead log cannot be kept; "
            "record on a local disk and copy the finished run"
        )


def parse_linux_mounts(text: str) -> dict[PurePosixPath, str]:
    """Mount point to file system type, from the text of ``/proc/self/mounts``; a later mount hides an earlier one."""
    mounts = {}
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3:
            # The kernel writes a blank in a path as \040, and so on.
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[1])
            mounts[PurePosixPath(point)] = fields[2]
    return mounts


def parse_macos_mounts(text: str) -> dict[PurePosixPath, str]:
    """Mount point to file system type, from what ``mount`` prints: ``//me@host/s on /Volumes/s (smbfs, nodev)``."""
    found = re.findall(r"^.+? on (/.*?) \((\w+)[,)]", text, flags=re.MULTILINE)
    return {PurePosixPath(point): kind for point, kind in found}


def mount_reason(path: PurePosixPath, mounts: dict[PurePosixPath, str]) -> str | None:
    """The reason to refuse ``path``, by the innermost mount that holds it."""
    for point in (path, *path.parents):
        if point in mounts:
            kind = mounts[point]
            return f"{point} is a network file system ({kind})" if kind in NETWORK_FILE_SYSTEMS else None
    return None


def is_unc(text: str) -> bool:
    r"""Return whether a Windows path names a share: ``\\host\share``, also in its ``\\?\UNC\`` spelling."""
    text = text.replace("/", "\\")
    if text.upper().startswith("\\\\?\\UNC\\"):
        return True
    return text.startswith("\\\\") and not text.startswith(("\\\\?\\", "\\\\.\\"))


def _windows_share_reason(path: Path) -> str | None:
    # resolve() turns a mapped drive into its UNC name where Windows tells it.
    for candidate in (path.absolute(), existing_ancestor(path).resolve()):
        if is_unc(str(candidate)):
            return f"{candidate} is a network share"
        if sys.platform == "win32":
            import ctypes

            if ctypes.windll.kernel32.GetDriveTypeW(candidate.anchor) == _DRIVE_REMOTE:
                return f"drive {candidate.anchor} is a network drive"
    return None


def is_disk_full(error: BaseException) -> bool:
    """Return whether ``error`` (of the OS, SQLite or tensorstore, in the OS's words) says that the disk is full."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL_ERRNO:
        return True
    if windows_code(error) in _DISK_FULL_WINDOWS:
        return True
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in _DISK_FULL_SQLITE:
        return True
    code = tensorstore_code(error) if sys.platform != "win32" else None
    return code in _DISK_FULL_ERRNO if code is not None else _DISK_FULL_TEXT.search(str(error)) is not None


def store_error(error: BaseException, path: Path, doing: str) -> StoreError:
    """Turn whatever went wrong while ``doing`` something to ``path`` into the one error that users see."""
    if isinstance(error, StoreError):
        return error
    try:
        free = f"{free_bytes(path) / 1e6:.1f} MB are free"
    except OSError:
        free = "the folder can no longer be reached"
    if is_disk_full(error):
        return StoreError(
            f"the disk is full while {doing} in {path} ({free}); what was committed before is intact. "
            "Free some space, or give a run folder on another disk"
        )
    return StoreError(f"{doing} in {path} failed: {error} ({free}); what was committed before is intact")
