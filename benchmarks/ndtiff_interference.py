"""Does a writer of NDTiff datasets notice the follower, at the full speed of the writer?

    python -m benchmarks.ndtiff_interference [--writers java preallocated] [--blocks 40] [--frames 6000] [--size 128]
        [--rests 3 0] [--folder DIR] [--json FILE]

A block is one dataset for each arm, in random order, by one writer that lives on: *alone* and *alone again*, beside a
process that only waits, and *beside N*, with the follower that rests N times as long as it reads (`RESTS` in
``dblink_live/sources/ndtiff/follower.py``). The logarithm of each rate is compared with the mean of the two alone in
its block, so that what drifts from block to block cancels; given are the mean ratio with its 95 % interval (bootstrap
over blocks), its scatter, the processor time per frame of writer and follower, and how many frames the follower took.
*alone again over alone* is 1 but for chance: its interval says how small an effect would be seen.

``java`` is Micro-Manager's own library, where ``DBLINK_NDTIFF_JAR`` names it (`benchmarks.ndtiff_java`). Where writer
and follower have a core each, the ratio is what disk and memory share; on fewer cores it holds the follower's processor
time as well.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks import ndtiff_java
from benchmarks.ndtiff_writers import STYLES, frame_of, open_writer
from benchmarks.report import Report, markdown_table
from dblink_live.pipeline.priority import give_way
from dblink_live.sources.ndtiff import follower
from dblink_live.sources.ndtiff.follower import NdtiffFollower, NdtiffOptions
from dblink_live.types import Frame

ALONE, AGAIN = "alone", "alone again"
N_RESAMPLED = 10_000
PAUSE_S = 0.2
"""Between datasets, for what the system still does with the last one."""


class Writer(AbstractContextManager["Writer"], Protocol):
    """Writes one dataset after the other into ``FOLDER/acq_1``."""

    @property
    def pid(self) -> int: ...

    def begin(self, folder: Path, n_frames: int, size: int, fps: float | None) -> None: ...

    def finish(self) -> float: ...


class PythonWriter:
    """A writer of `ndtiff_writers` in a process of its own."""

    def __init__(self, style: str) -> None:
        self._ours, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_write, args=(style, theirs), daemon=True)
        self._process.start()

    def __enter__(self) -> PythonWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def begin(self, folder: Path, n_frames: int, size: int, fps: float | None) -> None:
        self._ours.send((folder, n_frames, size))

    def finish(self) -> float:
        return float(self._ours.recv())


def _write(style: str, orders: Connection) -> None:
    while True:
        folder, n_frames, size = orders.recv()
        started = time.perf_counter()
        writer = open_writer(style, folder / "acq_1", {"PixelSizeUm": 0.1})
        for number in range(n_frames):
            writer.put({"time": number}, frame_of(number, size), {"Exposure": 5.0, "BitDepth": 16})
        seconds = time.perf_counter() - started
        writer.finish()
        orders.send(n_frames / seconds)


class Companion:
    """The process beside the writer, which gives way to it as ``dblink-live run`` does."""

    def __init__(self) -> None:
        self._ours, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_accompany, args=(theirs,), daemon=True)
        self._process.start()
        self._ours.recv()

    def end(self) -> None:
        """Stop the process."""
        self._process.kill()

    def begin(self, folder: Path, rests: int | None) -> None:
        """Follow what appears in ``folder``; None waits."""
        self._ours.send((folder, rests))

    def finish(self) -> tuple[int, float]:
        """Frames taken, and processor seconds."""
        n_frames, seconds = self._ours.recv()
        return int(n_frames), float(seconds)


def _accompany(orders: Connection) -> None:
    give_way()
    orders.send("ready")
    while True:
        folder, rests = orders.recv()
        began_s, n_frames = time.process_time(), 0
        if rests is not None:
            follower.RESTS = rests
            dataset = folder / "acq_1"
            while not (dataset / "NDTiff.index").exists():
                time.sleep(0.001)
            source = NdtiffFollower(dataset, NdtiffOptions(watch=False, idle_s=30.0))
            source.open()
            while not source.is_finished:
                n_frames += sum(isinstance(event, Frame) for event in source.read(64, 0.05))
            source.close()
        orders.send((n_frames, time.process_time() - began_s))


@dataclass(frozen=True)
class Measured:
    """One dataset."""

    fps: float
    writer_us: float
    """Processor time of the writer per frame, in microseconds."""
    follower_us: float
    n_followed: int


def measure(
    writer: Writer, companion: Companion, parent: Path | None, rests: int | None, n_frames: int, size: int
) -> Measured:
    """Write a dataset, beside the follower or not."""
    process = psutil.Process(writer.pid)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        before = process.cpu_times()
        companion.begin(Path(name), rests)
        writer.begin(Path(name), n_frames, size, None)
        fps = writer.finish()
        n_followed, follower_s = companion.finish()
        after = process.cpu_times()
    time.sleep(PAUSE_S)
    writer_s = after.user + after.system - before.user - before.system
    return Measured(fps, 1e6 * writer_s / n_frames, 1e6 * follower_s / n_frames, n_followed)


def interval(logs: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean ratio and its 95 % interval from the logarithms of ratios, by resampling."""
    rng = np.random.default_rng(0)
    means = rng.choice(logs, (N_RESAMPLED, len(logs))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return math.exp(logs.mean()), math.exp(low), math.exp(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["java", *STYLES]
    parser.add_argument("--writers", nargs="+", choices=known, default=["java", "preallocated"])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--frames", type=int, default=6000)
    parser.add_argument("--size", type=int, default=128, help="side of a frame in pixels")
    parser.add_argument("--rests", type=int, nargs="+", default=[follower.RESTS, 0])
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: that of temporary files")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("ndtiff_interference", {key: str(value) for key, value in vars(options).items() if key != "json"})
    arms: dict[str, int | None] = {ALONE: None, AGAIN: None, **{f"beside {n}": n for n in options.rests}}
    companion, rows, n_lost = Companion(), [], 0
    for name in options.writers:
        if name == "java" and (problem := ndtiff_java.missing()):
            print(f"java is left out: {problem}")
            continue
        found: dict[str, list[Measured]] = {arm: [] for arm in arms}
        with ndtiff_java.JavaWriter() if name == "java" else PythonWriter(name) as writer:
            measure(writer, companion, options.folder, options.rests[0], options.frames, options.size)  # warm
            for block in range(options.blocks):
                for arm in random.Random(block).sample(list(arms), len(arms)):
                    one = measure(writer, companion, options.folder, arms[arm], options.frames, options.size)
                    found[arm].append(one)
        logs = {arm: np.log([one.fps for one in found[arm]]) for arm in arms}
        baseline = (logs[ALONE] + logs[AGAIN]) / 2
        for arm, rests in arms.items():
            against = logs[ALONE] if arm == AGAIN else baseline
            ratio, low, high = interval(logs[arm] - against)
            followed = min(one.n_followed for one in found[arm])
            n_lost += 0 if rests is None else options.frames - followed
            median = {
                key: float(np.median([getattr(one, key) for one in found[arm]]))
                for key in ("fps", "writer_us", "follower_us")
            }
            shown = "" if arm == ALONE else f"{ratio:.3f} ({low:.3f} to {high:.3f})"
            scatter = "" if arm == ALONE else float(np.std(logs[arm] - against))
            rows.append(
                [name, arm, median["fps"], shown, scatter, median["writer_us"], median["follower_us"], followed]
            )
        report.add(name, {arm: [vars(one) for one in found[arm]] for arm in arms})
    companion.end()
    header = ["writer", "arm", "frames/s", "ratio to alone", "scatter", "writer us/frame", "follower us/frame", "taken"]
    print(markdown_table(header, rows))
    report.finish(options.json)
    return int(n_lost > 0)


if __name__ == "__main__":
    sys.exit(main())
