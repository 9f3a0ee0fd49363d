"""Keeps what a library prints, and finds in it why something went wrong.

pycromanager's engine prints the traceback of what failed and then raises "Error executing event": the reason is only
in what it printed, and a user is to see that one line rather than the traceback.
"""

from __future__ import annotations

import io
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_N_LINES = 400
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception): (.+)$")
_WRAPPERS = ("Error executing event",)


class CapturedOutput(io.TextIOBase):
    """A text stream that remembers its last lines."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_N_LINES)
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        self._lines.extend(lines)
        return len(text)

    def reason(self) -> str | None:
        """Return what the first exception said that was no wrapper of another; None where none was printed."""
        for line in [*self._lines, self._rest]:
            match = _ERROR.match(line.strip())
            if match and match.group(1) not in _WRAPPERS:
                return match.group(1)
        return None


@contextmanager
def kept() -> Iterator[CapturedOutput]:
    """While this lasts, nothing that Python code prints reaches the terminal."""
    words = CapturedOutput()
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = words
    try:
        yield words
    finally:
        sys.stdout, sys.stderr = before
