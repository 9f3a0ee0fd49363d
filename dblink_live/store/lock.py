"""The lock that a run's only writer holds. The operating system frees it when the process dies, however it dies."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dblink_live.errors import StoreError

FILE_NAME = "writer.lock"
_TRIES = 20
_PAUSE_S = 0.05


class WriterLock:
    """Held for as long as a process writes to a run folder; at most one process can hold it.

    Parameters
    ----------
    folder
        The run folder.
    name
        Of the file that is locked: the recorder has a lock of its own.

    Raises
    ------
    StoreError
        Another process holds it.
    """

    def __init__(self, folder: Path, name: str = FILE_NAME) -> None:
        self._descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        # `is_being_written` of some reader holds the lock for an instant: a refusal counts when it lasts.
        for _ in range(_TRIES):
            if _try_lock(self._descriptor, shared=False):
                return
            time.sleep(_PAUSE_S)
        os.close(self._descriptor)
        raise StoreError(
            f"expected {folder} to have no writer, but another process is writing to it; wait until it has ended"
        )

    def release(self) -> None:
        """Let others write. Closing the file is what frees the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_being_written(folder: Path) -> bool:
    """Return whether a living process holds the writer's lock of ``folder``."""
    try:
        descriptor = os.open(folder / FILE_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        if sys.platform != "win32":
            return not _try_lock(descriptor, shared=True)
        # Windows knows no shared lock here: two readers that ask at once must not take each other for the writer.
        for _ in range(4):
            if _try_lock(descriptor, shared=False):
                return False
            time.sleep(0.01)
        return True
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, shared: bool) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
