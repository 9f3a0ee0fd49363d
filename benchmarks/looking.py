"""How long `analyze` and `report` take on a run of 400 windows.

    python -m benchmarks.looking [--sides 160 640]

The run is simulated: filaments that move, counted on a grid of 40 nm, with a localization in each counted pixel and the
blurred truth in place of a network's pictures. Each command runs in a process of its own, as a user starts it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.report import markdown_table
from dblink_live.config import RunConfig
from dblink_live.models import load_model
from dblink_live.simulate import PRESETS, simulate_video
from dblink_live.store import RunWriter
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

N_WINDOWS, FRAMES = 400, 10
PITCH_NM, PIXEL_NM = 40.0, 160.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[160, 640], help="of the pictures, in pixels")
    options = parser.parse_args()
    rows, figures = [], []
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            run = make_run(Path(folder) / f"side{side}.run", side)
            for verb in ("analyze", "report"):
                wall_s, cpu_s = measure(verb, run)
                rows.append([f"{side} x {side}", verb, f"{wall_s:.1f} s", f"{cpu_s:.1f} s"])
                figures.append({"side_px": side, "verb": verb, "wall_s": wall_s, "cpu_s": cpu_s})
    print(markdown_table(["pictures", "command", "time", "processor time"], rows))
    print(json.dumps(figures))


def make_run(folder: Path, side: int) -> Path:
    """Write a run of `N_WINDOWS` windows whose pictures are ``side`` pixels wide."""
    grid, camera = Grid(PITCH_NM, Shape(side, side)), Shape(side // 4, side // 4)
    preset = dataclasses.replace(PRESETS["default"], n_windows=N_WINDOWS, shape=grid.shape)
    video = simulate_video(preset, seed=3)
    rng = np.random.default_rng(0)
    config = msgspec.to_builtins(RunConfig())
    info = RunInfo("looking", "2026-01-01T00:00:00", config, "filaments", load_model("filaments").sha256)
    with RunWriter.create(folder, info, window_frames=FRAMES) as writer:
        segment = Segment(0, camera, "uint16", frame_interval_ms=10.0, pixel_size_nm=PIXEL_NM)
        writer.begin_segment(segment, grid, PIXEL_NM)
        for window in range(N_WINDOWS):
            counts = np.asarray(video.counts[window], np.uint16)
            places = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0)
            table = empty_localizations(len(places))
            table["frame"] = FRAMES * window + np.sort(rng.integers(0, FRAMES, len(places)))
            for axis, place in (("y", places[:, 0]), ("x", places[:, 1])):
                table[axis] = (place + rng.uniform(0.05, 0.95, len(places))) * PITCH_NM / PIXEL_NM - 0.5
            span = (FRAMES * window, FRAMES * (window + 1))
            writer.write_map(LocalizationMap(0, window, *span, counts, grid), table)
            picture = np.clip(2.5 * gaussian_filter(video.truth[window].astype(np.float32), 1.0), 0, 1)
            writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", 8, latency_s=0.5))
    return folder


def measure(verb: str, run: Path) -> tuple[float, float]:
    """Seconds on the clock and of the processors that ``dblink-live VERB RUN`` takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dblink_live", verb, str(run), "--json"], check=True, capture_output=True)
    wall_s = time.perf_counter() - started_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
