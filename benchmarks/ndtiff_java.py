"""Micro-Manager's own Java writer of NDTiff datasets, where ``DBLINK_NDTIFF_JAR`` names its library.

The jar holds NDTiffStorage and the classes of MMCoreJ that it needs; Micro-Manager's folder ``plugins/Micro-Manager``
has both, and several jars are joined as Java joins a class path. The writer stays alive over many datasets, so that
they are written by code that the Java virtual machine has compiled already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

VARIABLE = "DBLINK_NDTIFF_JAR"
PROGRAM = Path(__file__).parent / "java" / "NdtiffWriter.java"


def missing() -> str | None:
    """Why there is no Java writer here; None where there is one."""
    if not os.environ.get(VARIABLE):
        return f"no library is named; {VARIABLE} names NDTiffStorage's jar, as of a Micro-Manager folder"
    if shutil.which("java") is None:
        return "there is no java, which runs NDTiffStorage"
    return None


class JavaWriter:
    """A Java process that writes one dataset after the other."""

    def __init__(self) -> None:
        problem = missing()
        if problem is not None:
            raise RuntimeError(problem)
        command = ["java", "-Xmx1g", "-cp", os.environ[VARIABLE], str(PROGRAM)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        if self._read() != "ready":
            raise RuntimeError(f"the Java writer does not start: {' '.join(command)}")

    def __enter__(self) -> JavaWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Of the Java process."""
        return self._process.pid

    def begin(self, folder: Path, n_frames: int, size: int, fps: float | None) -> None:
        """Begin to write the dataset ``acq_1`` into ``folder``, with the pixels of `ndtiff_writers.frame_of`."""
        assert self._process.stdin is not None
        asked = (folder, "acq", n_frames, size, fps or 0.0, folder / "times.bin")
        self._process.stdin.write("\t".join(map(str, asked)) + "\n")
        self._process.stdin.flush()

    def finish(self) -> float:
        """Wait for the end of the dataset; frames per second."""
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def times_ns(folder: Path) -> npt.NDArray[np.int64]:
    """When each frame was handed over, on the clock of `time.perf_counter_ns` (Linux)."""
    return np.fromfile(folder / "times.bin", "<i8")
