"""One command of the program in a process of its own, whose output is read as it comes.

The output goes through a file, not a pipe: a run goes on when the window that started it is closed, and must not die of
a pipe that nobody reads any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

POLL_MS = 100
_PREFIX, _SUFFIX = "dblink-live-", ".log"
_KEPT_S = 86_400.0
_MAX_LINES = 400
"""Of the output that is kept."""
_PERCENT = re.compile(r"\((\d{1,3}) %\)")
_COUNTED = re.compile(r": (\d+) ?/ ?(\d+) ")


_left_running: list[subprocess.Popen[bytes]] = []
"""Processes that outlive their window; Python complains of a handle that is dropped while its process runs."""


class Child(QObject):
    """Runs ``python -m dblink_live ARGUMENTS``.

    Parameters
    ----------
    arguments
        The verb and what follows it.
    """

    said = Signal(str)
    """A line of the output."""
    finished = Signal(int)
    """The exit status; negative where a signal ended it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__()
        self.arguments = list(arguments)
        self.lines: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._output = Path(tempfile.gettempdir())
        self._reading = -1
        self._status = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None

    @property
    def problem(self) -> str:
        """The last line that it said: of a command that failed, what was wrong."""
        return next((line for line in reversed(self.lines) if line.strip()), "")

    def start(self) -> None:
        """Start the process. One that cannot be started finishes with a line that says why."""
        _clear_away_outputs()
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX)
        self._output = Path(name)
        command = [sys.executable, "-u", "-m", "dblink_live", *self.arguments]
        try:
            if sys.platform == "win32":
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=handle,
                    stderr=handle,
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
                )
            else:
                # A session of its own: Ctrl-C in the terminal closes the window and leaves the run.
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, start_new_session=True
                )
        except OSError as error:
            os.close(handle)
            self._close_output()
            self._hear(f"cannot start {sys.executable}: {error.strerror}")
            self.finished.emit(1)
            return
        os.close(handle)
        self._reading = os.open(self._output, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._timer.start(POLL_MS)

    def stop(self) -> None:
        """Ask for an orderly end, as Ctrl-C does; a run first works off what the camera has taken."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                self._process.send_signal(signal.SIGINT)

    def let_go(self) -> None:
        """Read its output no longer; the process goes on, and so does the file of its output."""
        self._timer.stop()
        if self._process is None or self._process.poll() is not None:
            self._close_output()
        else:
            self._stop_reading()
            _left_running.append(self._process)
        self._process = None

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status; for programs without an event loop."""
        if self._process is not None:
            self._process.wait(timeout_s)
            self._look()
        return self._status

    def _look(self) -> None:
        if self._process is None:
            return
        status = self._process.poll()
        self._read()
        if status is None:
            return
        self._timer.stop()
        self._read()
        if self._rest:
            self._hear(self._rest.decode("utf-8", "replace"))
        self._close_output()
        self._process, self._status = None, status
        self.finished.emit(status)

    def _read(self) -> None:
        while chunk := os.read(self._reading, 65536):
            *whole, self._rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in whole:
                if line.strip():
                    self._hear(line.decode("utf-8", "replace"))

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        del self.lines[:-_MAX_LINES]
        self.said.emit(line)

    def _close_output(self) -> None:
        self._stop_reading()
        with contextlib.suppress(OSError):
            self._output.unlink()

    def _stop_reading(self) -> None:
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1


def _clear_away_outputs() -> None:
    """Delete what processes wrote that outlived their window and have been silent for a day."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()


def share_done(line: str) -> float | None:
    """Return how far a line of progress says the work is, in [0, 1]; None where it does not say.

    Examples
    --------
    >>> share_done("refining: 50/200 windows (25 %)"), share_done("opening the run")
    (0.25, None)
    """
    if found := _PERCENT.search(line):
        return min(int(found[1]), 100) / 100
    if (found := _COUNTED.search(line)) and int(found[2]):
        return min(int(found[1]) / int(found[2]), 1.0)
    return None
