"""Read a file that another program is still writing: unbuffered, without locking it.

A buffered reader returns what lay in the file when it filled its buffer: zeros, where a file is preallocated. A memory
map would keep Windows from cutting the file to its length at the end. So every read here asks the system, and on
Windows the file is opened with all sharing allowed: it can be written, cut, renamed and deleted while it is read.
"""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _SHARE_READ_WRITE_DELETE = 0x1 | 0x2 | 0x4
    _OPEN_EXISTING = 3
    _ATTRIBUTE_NORMAL = 0x80

    def _open_shared(path: str, flags: int) -> int:
        """Open as `open` does on Windows, but with FILE_SHARE_DELETE, which the C runtime cannot request."""
        create = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
        create.argtypes = [
            wintypes.LPCWSTR,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.HANDLE,
        ]
        create.restype = wintypes.HANDLE
        handle = create(path, _GENERIC_READ, _SHARE_READ_WRITE_DELETE, None, _OPEN_EXISTING, _ATTRIBUTE_NORMAL, None)
        if handle is None or handle == wintypes.HANDLE(-1).value:
            raise ctypes.WinError(ctypes.get_last_error())
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)

else:
    # Elsewhere an open file blocks no other program.
    _open_shared = None


class SharedFile:
    """A file open for reading at any offset, without buffer and without a lock.

    Raises
    ------
    OSError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(str(path), "r", opener=_open_shared)

    def size(self) -> int:
        """Bytes in the file now; what a folder's listing says lags behind on Windows."""
        return os.fstat(self._file.fileno()).st_size

    def quiet_s(self) -> float:
        """Seconds since the file was last written to, as far as the system tells: on Windows it may tell late."""
        return time.time() - os.fstat(self._file.fileno()).st_mtime

    def read(self, offset: int, n_bytes: int) -> bytes:
        """At most ``n_bytes`` from ``offset`` on; fewer where the file ends before."""
        content = bytearray(n_bytes)
        return bytes(content[: self.read_into(offset, memoryview(content))])

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill ``target`` (bytes) from ``offset`` on and return how many were read before the file ended."""
        self._file.seek(offset)
        n_read = 0
        while n_read < len(target):
            n = self._file.readinto(target[n_read:])
            if not n:
                break
            n_read += n
        return n_read

    def close(self) -> None:
        self._file.close()
