"""Start a process that shares the frame ring, and exchange lines with it.

Parent and child talk in lines of JSON over the child's standard streams until the ring takes over. The child's standard
input stays open, and its end tells the child that the parent is gone, or wants it to end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from dblink_live.sources.camera_process import shared_memory


def spawn(module: str, address: str) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` with the same import path as this process, as an heir of the region at ``address``."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    # -m rather than multiprocessing: spawn would import the parent's main module, and torch with it.
    command = [sys.executable, "-P", "-m", module]
    if sys.platform == "win32":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        pass_fds=shared_memory.inherited_descriptors(address),
    )


def take_stdout() -> TextIOWrapper:
    """In the child: keep standard output for answers, and send what libraries print to standard error.

    A pipe without a reader would block the child once it is full.
    """
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def read_line() -> str:
    """In the child: one line of standard input, without reading ahead of it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line.decode("utf-8")


def when_stdin_closes(act: Callable[[], None]) -> None:
    """In the child: wait in the background for the parent's end of the pipe to close."""

    def wait() -> None:
        # The descriptor itself, not sys.stdin: its lock would still be held when the interpreter shuts down.
        with suppress(OSError):
            while os.read(0, 4096):
                pass
        act()

    threading.Thread(target=wait, name="watch-parent", daemon=True).start()
