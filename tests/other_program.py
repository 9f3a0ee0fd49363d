"""Another program that has files open, as a spreadsheet, a viewer or a virus scanner has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """
import sys, time
held = [open(path, "rb") for path in sys.argv[2:]]
print("open", flush=True)
time.sleep(float(sys.argv[1]))
"""


@contextmanager
def held(*paths: Path, seconds: float = 300.0) -> Iterator[None]:
    """Have ``paths`` open in another process for the length of the block, or ``seconds`` if that is less."""
    program = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(seconds), *map(str, paths)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.readline().strip() == b"open"
        try:
            yield
        finally:
            program.kill()
            program.wait()
