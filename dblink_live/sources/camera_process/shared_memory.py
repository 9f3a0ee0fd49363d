"""Memory that two processes share and that vanishes with them.

A region has no name in any file system where the platform allows it, so that nothing is left behind even after
both sides were killed:

- Linux: an anonymous in-memory file (``memfd_create``), handed to the child as an inherited descriptor. It is the same
  memory as a file in ``/dev/shm`` without that mount's size limit (64 MB in many containers).
- Other Unix: a temporary file that is unlinked before it is used, handed on in the same way.
- Windows: a tagged mapping of the page file, which ends with its last handle. A file would be written to disk there.

`multiprocessing.shared_memory` is not used: in Python 3.11 the exit of an independent reader unlinks the live segment.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile
import uuid

from dblink_live.errors import SourceError


def reserve() -> str:
    """Reserve an empty region and return its address, ``fd:N`` or ``tag:NAME``, valid here and in heirs of N."""
    if sys.platform == "win32":
        return f"tag:dblink-{uuid.uuid4().hex}"
    if sys.platform == "linux":
        return f"fd:{os.memfd_create('dblink-ring', os.MFD_CLOEXEC)}"
    with tempfile.TemporaryFile(prefix="dblink-ring-") as file:
        return f"fd:{os.dup(file.fileno())}"


def inherited_descriptors(address: str) -> tuple[int, ...]:
    """Descriptors that a child must inherit (``pass_fds``) to use the address; empty on Windows."""
    kind, value = _split(address)
    return (int(value),) if kind == "fd" else ()


def create(address: str, nbytes: int) -> mmap.mmap:
    """Give a reserved region its size, touch every page and map it.

    Raises
    ------
    SourceError
        There is not that much memory. It is asked for here, at once: a page that is missing later would kill the
        process in the middle of an acquisition.
    """
    kind, value = _split(address)
    try:
        if kind == "tag":
            mapping = _map_tag(value, nbytes)
        else:
            descriptor = int(value)
            os.ftruncate(descriptor, nbytes)
            if sys.platform == "linux":
                os.posix_fallocate(descriptor, 0, nbytes)
            mapping = mmap.mmap(descriptor, nbytes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise SourceError(
                f"expected {nbytes / 2**20:.0f} MB of shared memory for the frame ring, found less; "
                "close other programs or choose a smaller region of interest"
            ) from error
        raise
    page = mmap.PAGESIZE
    for start in range(0, nbytes, page):
        mapping[start] = 0
    return mapping


def attach(address: str, nbytes: int) -> mmap.mmap:
    """Map a region that the other side has created."""
    kind, value = _split(address)
    return _map_tag(value, nbytes) if kind == "tag" else mmap.mmap(int(value), nbytes)


def release(address: str) -> None:
    """Drop this process's descriptor of a region; mappings that exist stay valid."""
    for descriptor in inherited_descriptors(address):
        os.close(descriptor)


def _map_tag(tag: str, nbytes: int) -> mmap.mmap:
    if sys.platform != "win32":
        raise SourceError(f"expected a region of this platform, found the Windows tag {tag!r}")
    return mmap.mmap(-1, nbytes, tagname=tag)


def _split(address: str) -> tuple[str, str]:
    kind, _, value = address.partition(":")
    if kind not in ("fd", "tag") or not value:
        raise SourceError(f"expected a shared region fd:N or tag:NAME, found {address!r}")
    return kind, value
