"""A run of many hours, played faster than it would come: does anything grow that should not?

    python -m benchmarks.soak [--hours 6] [--speed 20] [--fps 10] [--size 32] [--window-frames 10]
                              [--out RUN] [--verify] [--json FILE]

The whole line runs as it does behind a microscope: a camera behind a real Micro-Manager core in a process of its own,
the ring, localizer, network, store and publisher. The camera takes the frames of ``--hours`` at ``--fps`` in
``hours / speed``; its frames are rendered once and come round again and again. Memory, open handles and the journal's
logs are sampled on the way, files and bytes at every sixth of the run; each is given with its slope a simulated
hour, over the run without its first fifth, in which caches fill.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.report import Report, markdown_table
from dblink_live.bus import Publisher
from dblink_live.config import RunConfig, run_config_from_plain
from dblink_live.models import Model, load_model
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.provenance import describe_run
from dblink_live.pipeline.totals import LineTotals
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.store import RunWriter, verify_run
from dblink_live.types import CameraRecipe, FrameArray, Shape

N_RENDERED = 500
"""Different frames; the camera hands them out in turn."""
N_SAMPLES = 240
N_WALKS = 6
WARM_UP = 0.2
"""Share of the run that is left out of the slopes."""
PIXEL_SIZE_NM = 100.0
MB = 1e6


class Carousel:
    """A specimen of a few hundred frames that come round again and again."""

    def __init__(self, size: int) -> None:
        camera = make_camera("filaments", Shape(size, size), seed=5)
        self.shape = camera.shape
        self._frames = [camera.frame(n) for n in range(N_RENDERED)]

    def frame(self, number: int) -> FrameArray:
        return self._frames[number % N_RENDERED]


def build_core(size: int, fps: float, n_frames: int) -> object:
    """The camera, built in its own process."""
    from dblink_live.sources.micromanager.simulated_camera import SimulatedCamera, core_with

    return core_with(SimulatedCamera(Carousel(size), exposure_ms=1000.0 / fps, n_frames=n_frames), PIXEL_SIZE_NM)


@dataclass(frozen=True)
class Sample:
    """What the run holds at one moment."""

    hours: float
    """Simulated."""
    rss_mb: float
    """Of the main process."""
    rss_camera_mb: float | None
    """None once the camera process has handed over its last frame."""
    handles: int
    """Open files and sockets of the main process; handles on Windows."""
    threads: int
    wal_mb: float
    """Logs of both databases."""


@dataclass(frozen=True)
class Walk:
    """What lies in the run folder at one moment."""

    hours: float
    files: int
    total_mb: float


class Sampler:
    """Takes samples in a thread, from the first frame to the last."""

    def __init__(self, folder: Path, camera_pid: int, hours_now: Callable[[], float], pause_s: float) -> None:
        self.samples: list[Sample] = []
        self.walks: list[Walk] = []
        self._folder = folder
        self._own, self._camera = psutil.Process(), psutil.Process(camera_pid)
        self._hours_now = hours_now
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.walks.append(_walk(self._folder, self._hours_now()))

    def _run(self) -> None:
        while not self._over.wait(self._pause_s):
            self.samples.append(self._look())
            if len(self.samples) % (N_SAMPLES // N_WALKS) == 0:
                self.walks.append(_walk(self._folder, self._hours_now()))

    def _look(self) -> Sample:
        own = self._own
        try:
            # A process that has ended and was not waited for yet holds nothing.
            camera_mb = self._camera.memory_info().rss / MB or None
        except psutil.Error:
            camera_mb = None
        return Sample(
            hours=self._hours_now(),
            rss_mb=own.memory_info().rss / MB,
            rss_camera_mb=camera_mb,
            handles=own.num_handles() if sys.platform == "win32" else own.num_fds(),
            threads=own.num_threads(),
            wal_mb=sum(_size(path) for path in self._folder.glob("*-wal")) / MB,
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # folded in since it was listed
        return 0


def _walk(folder: Path, hours: float) -> Walk:
    """Counts file by file: a list of them all would make the very process grow whose memory is looked at."""
    n_files = n_bytes = 0
    for n in _sizes(folder):
        n_files += 1
        n_bytes += n
    return Walk(hours, n_files, n_bytes / MB)


def _sizes(folder: str | Path) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)
            else:
                yield _size(Path(entry.path))


@dataclass(frozen=True)
class Soak:
    """One whole run."""

    samples: list[Sample]
    walks: list[Walk]
    totals: LineTotals
    wall_s: float
    cpu_s: float
    """Of the main process."""


def soak(folder: Path, hours: float, speed: float, fps: float, size: int, config: RunConfig, model: Model) -> Soak:
    """Run it, and sample it on the way."""
    n_frames = round(hours * 3600 * fps)
    options = {"size": size, "fps": fps * speed, "n_frames": n_frames}
    recipe = CameraRecipe(
        name="carousel", builder="benchmarks.soak:build_core", options=options, n_frames=n_frames, fps=fps * speed
    )
    n_seen = 0

    def progress(n: int) -> None:
        nonlocal n_seen
        n_seen = n

    with ExitStack() as stack:
        source = CameraProcess(recipe)
        stack.callback(source.close)
        segment = source.open()
        info = describe_run(config, model, recipe.name)
        writer = stack.enter_context(RunWriter.create(folder, info, window_frames=config.windows.frames))
        publisher = stack.enter_context(Publisher(config.publish.address))
        line = LiveLoop(
            source, model, config, writer, pictures=PreviewPublisher(publisher, info.uuid), on_progress=progress
        )
        started, cpu = time.perf_counter(), time.process_time()
        pause_s = hours * 3600 / speed / N_SAMPLES
        with Sampler(folder, source.pid or 0, lambda: n_seen / fps / 3600, pause_s) as sampler:
            totals = line.run(segment)
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return Soak(sampler.samples, sampler.walks, totals, wall_s, cpu_s)


def slope_an_hour(hours: Sequence[float], values: npt.ArrayLike) -> float | None:
    """Of a straight line through what was sampled after the warm-up; None of fewer than two samples."""
    x, y = np.asarray(hours, float), np.asarray(values, float)
    kept = np.isfinite(y) & (x >= WARM_UP * x.max(initial=0.0))
    if np.count_nonzero(kept) < 2 or np.ptp(x[kept]) == 0:
        return None
    return float(np.polyfit(x[kept], y[kept], 1)[0])


def rows_of(run: Soak) -> list[list[object]]:
    """One row a quantity: at the end of the warm-up, at the end, the most, and the slope a simulated hour."""
    rows: list[list[object]] = []
    hours = [sample.hours for sample in run.samples]
    for name in ("rss_mb", "rss_camera_mb", "handles", "threads", "wal_mb"):
        values = np.array([getattr(sample, name) for sample in run.samples], float)
        kept = values[np.asarray(hours) >= WARM_UP * max(hours, default=0.0)]
        kept = kept[np.isfinite(kept)]
        if len(kept):
            rows.append([name, float(kept[0]), float(kept[-1]), float(kept.max()), slope_an_hour(hours, values)])
    walked = [walk.hours for walk in run.walks]
    for name in ("files", "total_mb"):
        values = np.array([getattr(walk, name) for walk in run.walks], float)
        rows.append([name, float(values[0]), float(values[-1]), float(values.max()), slope_an_hour(walked, values)])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=6.0, help="simulated")
    parser.add_argument("--speed", type=float, default=20.0, help="times faster than the simulated hours")
    parser.add_argument("--fps", type=float, default=10.0, help="of the simulated camera; it is driven at fps x speed")
    parser.add_argument("--size", type=int, default=32, help="camera pixels a side")
    parser.add_argument("--window-frames", type=int, default=10)
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--out", type=Path, default=None, help="keep the run here")
    parser.add_argument("--verify", action="store_true", help="read every window again at the end")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    camera = {
        "pixel_size_nm": PIXEL_SIZE_NM,
        "offset_adu": SCMOS.offset_adu,
        "electrons_per_adu": SCMOS.electrons_per_adu,
        "read_noise_e": SCMOS.read_noise_e,
    }
    reconstruct = {"model": options.model, "lookahead": 4, "hop": 4, "device": "cpu"}
    config = run_config_from_plain(
        {
            "camera": camera,
            "windows": {"frames": options.window_frames},
            "reconstruct": reconstruct,
            "publish": {"address": "tcp://127.0.0.1:*"},
        }
    )
    model = load_model(options.model, "cpu")
    scratch = Path(tempfile.mkdtemp(prefix="soak-"))
    folder = options.out or scratch / "soak.run"
    try:
        run = soak(folder, options.hours, options.speed, options.fps, options.size, config, model)
        problems = verify_run(folder).problems if options.verify else None
    finally:
        shutil.rmtree(scratch)
    n_windows = run.totals.windows_counts
    print(markdown_table(["", "after warm-up", "at the end", "most", "slope an hour"], rows_of(run)))
    print(
        f"\n{options.hours:g} simulated hours in {run.wall_s / 60:.1f} min ({options.hours * 3600 / run.wall_s:.1f}x); "
        f"{run.totals.frames_seen} frames seen, {run.totals.frames_committed} committed, lost {run.totals.lost or 0}; "
        f"{n_windows} windows; {1000 * run.cpu_s / max(n_windows, 1):.1f} ms of processor time a window"
    )
    if problems is not None:
        print("verify:", problems or "whole")
    report = Report("soak", {key: str(value) for key, value in vars(options).items()})
    report.add("totals", asdict(run.totals))
    report.add("wall_s", run.wall_s)
    report.add("cpu_s", run.cpu_s)
    report.add("rows", rows_of(run))
    report.add("samples", [asdict(sample) for sample in run.samples])
    report.add("walks", [asdict(walk) for walk in run.walks])
    report.add("problems", problems)
    report.finish(options.json)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
