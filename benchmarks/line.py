"""Frames a second that the whole line holds on this machine: localize, bin, reconstruct, commit, publish.

    python -m benchmarks.line [--frames 600] [--sizes 64 128 256] [--json FILE]

Frames of the simulated camera (160 nm pixels, 0.1 molecules on a square micrometre) are written to a TIFF stack and
replayed as fast as the line takes them, so that what is measured is the line and neither the camera's pace nor the
cost of simulating it. Each size also shows what share of the time each stage took, measured by running the stages
alone on the same frames.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.report import Report, markdown_table
from dblink_live.config import run_config_from_plain
from dblink_live.localization import GaussianLocalizer
from dblink_live.models import StreamingReconstructor, load_model
from dblink_live.pipeline.live_run import open_live_run
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


def whole_line_fps(stack: Path, folder: Path) -> float:
    """Frames per second from the first frame read to the finalized run."""
    with open_live_run(f"tiff:{stack}", folder, run_config_from_plain({"camera": CAMERA})) as session:
        started = time.perf_counter()
        totals = session.run().totals
        return totals.frames_seen / (time.perf_counter() - started)


def stage_ms(frames: np.ndarray, size: int) -> tuple[float, float]:
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
    stream = StreamingReconstructor(load_model("filaments", device="cpu"))
    started = time.perf_counter()
    for window in windows:
        stream.push(window.map)
    stream.flush()
    return 1e3 * localizing_s / len(frames), 1e3 * (time.perf_counter() - started) / len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("line", {"frames": options.frames, "window_frames": 10, "lookahead": 8, "hop": 4, "threads": 1})
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            camera = make_camera("filaments", Shape(size, size), seed=7)
            frames = np.stack([camera.frame(n) for n in range(options.frames)])
            stack = Path(name) / f"{size}.tif"
            tifffile.imwrite(stack, frames, photometric="minisblack")
            fps = whole_line_fps(stack, Path(name) / f"{size}.run")
            localizing_ms, network_ms = stage_ms(frames, size)
            rows.append([f"{size} x {size}", fps, localizing_ms, network_ms, fps / rows[0][1] if rows else 1.0])
    header = ["camera", "frames/s, whole line", "localizer ms/frame", "network ms/frame", "ratio to the smallest"]
    print(markdown_table(header, rows))
    report.add("rows", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)


if __name__ == "__main__":
    main()
