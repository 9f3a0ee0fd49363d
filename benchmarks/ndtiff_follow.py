"""The NDTiff follower beside a writer: is every frame there and right, and how late is it?

    python -m benchmarks.ndtiff_follow [--fps 200] [--frames 10000] [--size 128] [--styles growing flushed preallocated]
        [--json FILE]

For each style of index a writer in a process of its own writes frames that are known beforehand; a follower compares
every pixel. Latency is from the moment at which the writer begins to put a frame on disk to the `Frame`
here, so it holds the write itself. The styles: *preallocated*, as Micro-Manager's Java library writes; *growing*, as
ndstorage, whose index reaches the disk in blocks of 8 kB, so that a frame waits for the 80 or so behind it; *flushed*,
the same without that wait.

Each is written at ``--fps``, where the writer's rate beside the follower is compared with its rate alone, and as fast
as it goes. What a writer loses at full speed scatters too much for one comparison: `benchmarks.ndtiff_interference`.
The follower lives in a process of its own, which gives way to the writer as ``dblink-live run`` does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.ndtiff_writers import STYLES, frame_of
from benchmarks.report import Report, markdown_table
from dblink_live.pipeline.priority import give_way
from dblink_live.sources.ndtiff.follower import NdtiffFollower, NdtiffOptions
from dblink_live.types import Frame

START_S = 30.0
"""Longest time that a writer takes to import its library and to write its first frame."""


@dataclass(frozen=True)
class Followed:
    """One dataset, followed while it was written."""

    n_missing: int
    n_wrong_pixels: int
    latency_median_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    writer_fps: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=128, help="side of a frame in pixels")
    parser.add_argument("--styles", nargs="+", choices=STYLES, default=STYLES)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("ndtiff_follow", {key: value for key, value in vars(options).items() if key != "json"})
    rows: list[list[object]] = []
    n_bad = 0
    for style in options.styles:
        asked = (style, options.frames, options.size)
        for fps in (options.fps, None):
            followed = in_own_process(follow, *asked, fps, True)
            n_bad += followed.n_missing + followed.n_wrong_pixels
            pace = "as fast as it goes" if fps is None else f"{fps:g} fps"
            ratio = followed.writer_fps / write_alone(*asked, fps) if fps else None
            rows.append([f"{style}, {pace}", *_row(followed), followed.writer_fps, "" if ratio is None else ratio])
            found = {"followed": asdict(followed), "writer_ratio": ratio}
            report.add(f"{style}, {pace}", found)
        print(f"{style} done", file=sys.stderr)
    header = [
        "dataset",
        "missing",
        "wrong pixels",
        "median ms",
        "p99 ms",
        "max ms",
        "writer fps",
        "beside us over alone",
    ]
    print(markdown_table(header, rows))
    report.finish(options.json)
    return int(n_bad > 0)


def _row(one: Followed) -> list[object]:
    return [one.n_missing, one.n_wrong_pixels, one.latency_median_ms, one.latency_p99_ms, one.latency_max_ms]


def write_alone(style: str, n_frames: int, size: int, fps: float | None) -> float:
    """Frames a second of a writer that nobody follows."""
    with tempfile.TemporaryDirectory() as name:
        return _finish(_start(style, Path(name), n_frames, size, fps))


def in_own_process(work: Callable[..., Followed], *arguments: object) -> Followed:
    """``work`` in a fresh process: a priority once lowered cannot be raised again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def follow(style: str, n_frames: int, size: int, fps: float | None, compares: bool) -> Followed:
    """Follow a writer, and where it ``compares``, look whether what came is what was written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = _start(style, folder, n_frames, size, fps)
        give_way()
        dataset = folder / "acq_1"
        while not (dataset / "NDTiff.index").exists():
            time.sleep(0.001)
        source = NdtiffFollower(dataset, NdtiffOptions(watch=False, idle_s=START_S))
        arrived = np.zeros(n_frames, np.int64)
        n_wrong = 0
        try:
            source.open()
            while not source.is_finished:
                events = source.read(64, 0.05)
                now_ns = time.perf_counter_ns()
                for event in events:
                    if isinstance(event, Frame):
                        arrived[event.number] = now_ns
                        if compares:
                            n_wrong += int(np.count_nonzero(event.data != frame_of(event.number, size)))
        finally:
            source.close()
            writer_fps = _finish(writer)
        seen = arrived > 0
        late_ms = (arrived - np.load(folder / "times.npy"))[seen] * 1e-6
        median, p99 = np.quantile(late_ms, (0.5, 0.99))
        return Followed(
            n_missing=int(n_frames - np.count_nonzero(seen)),
            n_wrong_pixels=n_wrong,
            latency_median_ms=float(median),
            latency_p99_ms=float(p99),
            latency_max_ms=float(late_ms.max()),
            writer_fps=writer_fps,
        )


def _start(style: str, folder: Path, n_frames: int, size: int, fps: float | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.ndtiff_writers", style, str(folder / "acq_1")]
    command += ["--frames", str(n_frames), "--size", str(size), "--times", str(folder / "times.npy")]
    command += [] if fps is None else ["--fps", str(fps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _finish(writer: subprocess.Popen[str]) -> float:
    answer, _ = writer.communicate()
    if writer.returncode:
        raise RuntimeError(f"the writer failed with status {writer.returncode}")
    return float(json.loads(answer)["fps"])


if __name__ == "__main__":
    sys.exit(main())
