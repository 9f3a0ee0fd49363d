"""The pass over a stored run: memory against its budget, time against the offline pass, workers, and the halo of tiles.

    python -m benchmarks.refine [--windows 1000] [--side 1024] [--memory-mb 4000] [--parts memory,workers,halo]
                                [--workers 2] [--folder F] [--model filaments] [--json OUT.json]

A run of sparse maps is made, and refined in processes of their own:

memory    highest resident size of the refinement, less what the process had before the pass, against the budget and
          the plan; seconds per window, against the same network over the same maps in memory (``--offline-windows``)
workers   one local Dask worker against ``--workers``, one thread each, on the same run cut into the same tiles, from
          when the workers are up; how long that took is given beside
halo      largest difference between a tile's picture and the whole field's, for rings of pixels around it: the
          network's `halo` must be so wide that it stays below half a grey level (1/510)

Absolute figures depend on what else the machine does; the ratios are taken within one call.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.report import Report, markdown_table
from dblink_live.models import load_model, reconstruct
from dblink_live.refine import RefineSettings, cluster, open_refinement
from dblink_live.simulate.video import VideoParameters, simulate_video
from dblink_live.store import RunWriter, open_run
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations

MB = 1e6
HALF_LEVEL = 0.5 / 255
_SAMPLE_S = 0.01
N_MAPS = 16
"""Different maps; they come round again and again."""


def write_run(folder: Path, model: str, n_windows: int, side: int) -> None:
    """A run that has ended, of moving filaments with noise."""
    info = RunInfo("benchmark", "2026-01-01T00:00:00", {}, model, load_model(model, "cpu").sha256)
    grid = Grid(40.0, Shape(side, side))
    video = simulate_video(VideoParameters(shape=Shape(min(side, 256), min(side, 256)), n_windows=N_MAPS), seed=7)
    repeats = -(-side // video.counts.shape[1])
    maps = [np.tile(counts, (repeats, repeats))[:side, :side].astype(np.uint16) for counts in video.counts]
    with RunWriter.create(folder, info, window_frames=10) as writer:
        segment = Segment(0, Shape(side // 4, side // 4), "uint16", frame_interval_ms=10.0, pixel_size_nm=160.0)
        writer.begin_segment(segment, grid)
        for t in range(n_windows):
            counts = maps[t % N_MAPS]
            writer.write_map(LocalizationMap(0, t, 10 * t, 10 * t + 10, counts, grid), empty_localizations())


class PeakMemory:
    """The highest resident size of this process, looked at a hundred times per second."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.peak = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.peak = max(self.peak, self._process.memory_info().rss)


def refine_here(folder: Path, memory_mb: int, threads: int) -> dict[str, object]:
    """Refine a run in this process, which does nothing else."""
    torch.set_num_threads(threads)
    with open_refinement(folder, RefineSettings(memory_mb=memory_mb), device="cpu") as refinement:
        # What libraries take at their first use is the program's own.
        reconstruct(np.zeros((2, 64, 64), np.uint16), refinement.model)
        planned = refinement.planned_bytes
        tile_px, n_tiles = refinement.facts.tile_px, refinement.n_tiles
        with PeakMemory() as memory:
            summary = refinement.run()
    return {
        "budget_mb": memory_mb,
        "planned_mb": planned / MB,
        "taken_mb": (memory.peak - memory.before) / MB,
        "program_mb": memory.before / MB,
        "tile_px": tile_px,
        "tiles": n_tiles,
        "windows": summary.written,
        "seconds": summary.seconds,
    }


def refine_apart(folder: Path, memory_mb: int, threads: int = 1) -> dict[str, object]:
    """As `refine_here`, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.refine", "--child", str(folder), "--memory-mb", str(memory_mb)]
    done = subprocess.run([*command, "--threads", str(threads)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_and_time(unrefined: Path, options: argparse.Namespace) -> dict[str, object]:
    """Peak memory against the budget, and the time a window against the offline pass."""
    folder = Path(shutil.copytree(unrefined, options.folder / "memory.run"))
    found = refine_apart(folder, options.memory_mb, options.threads)
    shutil.rmtree(folder)
    n_offline = min(options.offline_windows, options.windows)
    model = load_model(options.model, "cpu")
    with open_run(unrefined) as run:
        counts = np.stack([run.read_window(row) for row in run.windows("counts")[:n_offline]])
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    with torch.inference_mode():
        model.network.probability(model.network(torch.from_numpy(counts.astype(np.float32))[None]))
    offline_s = (time.perf_counter() - started) / n_offline
    refine_s = float(str(found["seconds"])) / options.windows
    return {**found, "refine_s": refine_s, "offline_s": offline_s, "ratio": refine_s / offline_s}


def workers(unrefined: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    """One worker and several, with tiles as several would have them."""
    rows: list[dict[str, object]] = []
    for n_workers in (1, options.workers):
        folder = Path(shutil.copytree(unrefined, options.folder / f"workers_{n_workers}.run"))
        settings = RefineSettings(memory_mb=options.memory_mb, n_workers=options.workers)
        started = time.perf_counter()
        with cluster.start_workers(n_workers) as client:
            client.run(load_model, options.model, "cpu")
            up_s = time.perf_counter() - started
            with open_refinement(folder, settings, model=options.model, device="cpu") as refinement:
                (summary,) = cluster.refine_together([refinement], client, threads=1)
                tiles = refinement.n_tiles
        rows.append({"workers": n_workers, "up_s": up_s, "seconds": summary.seconds, "tiles": tiles})
        shutil.rmtree(folder)
    return rows


def halo(options: argparse.Namespace) -> list[dict[str, object]]:
    """Largest difference of a tile from the whole, for several halos, in fields of real structure."""
    model = load_model(options.model, "cpu")
    side, core, n_windows = 256, 64, 40
    rows: list[dict[str, object]] = []
    for seed in (1, 2):
        video = simulate_video(VideoParameters(shape=Shape(side, side), n_windows=n_windows, speed=3.0), seed=seed)
        whole = reconstruct(video.counts, model)
        begin = (side - core) // 2
        inner = slice(begin, begin + core)
        for ring in (8, 16, 24, 32, 48, 64, 96):
            outer = slice(begin - ring, begin + core + ring)
            part = reconstruct(video.counts[:, outer, outer], model)[:, ring : ring + core, ring : ring + core]
            difference = float(np.abs(part - whole[:, inner, inner]).max())
            rows.append({"seed": seed, "halo_px": ring, "difference": difference, "enough": difference < HALF_LEVEL})
    print(f"halo stated for {model.architecture}: {model.network.halo} px; half a grey level: {HALF_LEVEL:.5f}")
    return rows


def show(rows: list[dict[str, object]]) -> None:
    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows]), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--memory-mb", type=int, default=4000)
    parser.add_argument(
        "--offline-windows", type=int, default=4, help="in memory at once: a window of 1024 x 1024 is GBs"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of torch, for memory and time")
    parser.add_argument("--parts", default="memory,workers,halo")
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--folder", type=Path, default=None, help="where the runs are made (default: a temporary one)")
    parser.add_argument("--json", default=None)
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(refine_here(options.child, options.memory_mb, options.threads)), flush=True)
        return 0
    parts = options.parts.split(",")
    report = Report("refine", {key: str(value) for key, value in vars(options).items()})
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        options.folder = Path(scratch)
        unrefined = options.folder / "unrefined.run"
        if set(parts) & {"memory", "workers"}:
            write_run(unrefined, options.model, options.windows, options.side)
        if "memory" in parts:
            found = memory_and_time(unrefined, options)
            show([found])
            report.add("memory", found)
        if "workers" in parts:
            rows = workers(unrefined, options)
            show(rows)
            report.add("workers", rows)
        if "halo" in parts:
            rows = halo(options)
            show(rows)
            report.add("halo", rows)
    report.add("load_average", os.getloadavg() if hasattr(os, "getloadavg") else None)
    report.finish(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
