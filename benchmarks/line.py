"""Frames a second that the whole line holds on this machine: localize, bin, reconstruct, commit, publish.

    python -m benchmarks.line [--frames 600] [--sizes 64 128 256] [--overload 3 20 100] [--seconds 120]
        [--engine eager] [--json FILE]

Frames of the simulated camera (160 nm pixels, 0.1 molecules on a square micrometre) are written to a TIFF stack and
replayed as fast as the line takes them, so that what is measured is the line and neither the camera's pace nor the
cost of simulating it. Each size also shows what was forecast, and what localizer and network take alone on the same
frames. With ``--overload`` a simulated camera runs so many times faster than the forecast holds: what is shown must
stay within the latency budget.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import tifffile

from benchmarks.report import Report, markdown_table
from dblink_live.config import RunConfig, run_config_from_plain
from dblink_live.localization import GaussianLocalizer
from dblink_live.models import StreamingReconstructor, load_model
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.pipeline.network_runner import Engine, NetworkRunner
from dblink_live.pipeline.overload.forecast import measure_costs
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.types import Grid, Shape
from dblink_live.windows import WindowAccumulator

CAMERA = {
    "pixel_size_nm": SCMOS.pixel_size_nm,
    "offset_adu": SCMOS.offset_adu,
    "electrons_per_adu": SCMOS.electrons_per_adu,
    "read_noise_e": SCMOS.read_noise_e,
}
WARM_UP_FRAMES = 100
MAX_FPS = 1000.0
"""The simulated camera does not go faster."""


def config_with(engine: Engine) -> RunConfig:
    """The configuration of all runs here."""
    return run_config_from_plain({"camera": CAMERA, "reconstruct": {"engine": engine}})


def whole_line_fps(stack: Path, folder: Path, config: RunConfig) -> float:
    """Frames per second from the first frame read to the finalized run."""
    with open_live_run(f"tiff:{stack}", folder, config) as session:
        started = time.perf_counter()
        totals = session.run().totals
        return totals.frames_seen / (time.perf_counter() - started)


def stage_ms(frames: np.ndarray, size: int, engine: Engine) -> tuple[float, float]:
    """Milliseconds a frame of the localizer alone and of the network alone."""
    numbers = np.arange(len(frames))
    localizer = GaussianLocalizer(SCMOS, psf_sigma_px=0.875)
    localizer.localize(frames[:WARM_UP_FRAMES], numbers[:WARM_UP_FRAMES])
    started = time.perf_counter()
    localizations = localizer.localize(frames, numbers)
    localizing_s = time.perf_counter() - started
    grid = Grid.covering(Shape(size, size), SCMOS.pixel_size_nm, 40.0)
    accumulator = WindowAccumulator(grid, SCMOS.pixel_size_nm, 10, segment=0, first_frame=0)
    windows = accumulator.add(numbers, numbers, localizations)
    model = load_model("filaments", device="cpu")
    runner = NetworkRunner(model, engine)
    stream = StreamingReconstructor(replace(model, network=runner.network))
    with runner.computing():
        started = time.perf_counter()
        for window in windows:
            stream.push(window.map)
        stream.flush()
    return 1e3 * localizing_s / len(frames), 1e3 * (time.perf_counter() - started) / len(frames)


def under_overload(overload: float, size: int, seconds: float, folder: Path, config: RunConfig) -> list[object]:
    """What becomes of a simulated camera that is so many times faster than this machine is forecast to hold."""
    shape = Shape(size, size)
    costs = measure_costs(load_model("filaments", device="cpu"), config, SCMOS, shape)
    fps = min(overload * costs.fps_held(shape), MAX_FPS)
    spec = f"sim:filaments?fps={fps:g}&frames={max(1, round(fps * seconds))}&size={size}&seed=7"
    with open_live_run(spec, folder, config) as session:
        finished = session.run()
    totals, expected = finished.totals, finished.forecast
    region = totals.live_region
    return [
        overload,
        f"{size} x {size} at {fps:.0f}",
        expected.load if expected else None,
        f"{region.width} x {region.height}" if region else "none",
        totals.windows_counts,
        totals.windows_live,
        sum(totals.lost.values()),
        totals.latency.p50,
        totals.latency.p99,
        totals.budget_s,
        sum(stage.busy_s for stage in totals.stages) / seconds,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--overload", type=float, nargs="*", default=[])
    parser.add_argument("--overload-size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--engine", choices=get_args(Engine), default="auto")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report(
        "line", {"frames": options.frames, "window_frames": 10, "lookahead": 8, "hop": 4, "engine": options.engine}
    )
    config = config_with(options.engine)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            camera = make_camera("filaments", Shape(size, size), seed=7)
            frames = np.stack([camera.frame(n) for n in range(options.frames)])
            stack = Path(name) / f"{size}.tif"
            tifffile.imwrite(stack, frames, photometric="minisblack")
            fps = whole_line_fps(stack, Path(name) / f"{size}.run", config)
            localizing_ms, network_ms = stage_ms(frames, size, options.engine)
            costs = measure_costs(load_model("filaments", device="cpu"), config, SCMOS, Shape(size, size))
            forecast_fps = costs.fps_held(Shape(size, size))
            rows.append([f"{size} x {size}", fps, forecast_fps, forecast_fps / fps, localizing_ms, network_ms])
        overloaded = [
            under_overload(overload, options.overload_size, options.seconds, Path(name) / f"overload{n}.run", config)
            for n, overload in enumerate(options.overload)
        ]
    header = ["camera", "frames/s, whole line", "forecast", "forecast / held", "localizer ms/frame", "network ms/frame"]
    print(markdown_table(header, rows))
    report.add("rows", [dict(zip(header, row, strict=True)) for row in rows])
    if overloaded:
        header = ["times the forecast", "camera", "load at start", "live region", "windows", "with a picture"]
        header += ["frames lost", "latency p50 s", "p99 s", "budget s", "stage times / wall"]
        print(markdown_table(header, overloaded))
        report.add("overload", [dict(zip(header, row, strict=True)) for row in overloaded])
    report.finish(options.json)


if __name__ == "__main__":
    main()
