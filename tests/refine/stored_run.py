"""Run folders to refine; as a program, a refinement that kills its own process on the way.

python stored_run.py RUN --die-after STEPS [--tile-px PX]
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import numpy as np

from dblink_live.models import load_model
from dblink_live.refine import RefineSettings, open_refinement
from dblink_live.simulate.video import Video, VideoParameters, simulate_video
from dblink_live.store import RunWriter
from dblink_live.types import (
    LOCALIZATION_DTYPE,
    Grid,
    LocalizationMap,
    Localizations,
    RunInfo,
    Segment,
    Shape,
)

MODEL = "filaments"
PIXEL_SIZE_NM = 160.0
SCALE = 4


def make_videos(sides: list[int], n_windows: int) -> list[Video]:
    """Moving filaments with missing windows, one video per segment."""
    return [
        simulate_video(
            VideoParameters(shape=Shape(side, side), n_windows=n_windows + i, speed=3.0, missing_share=0.2), seed=6
        )
        for i, side in enumerate(sides)
    ]


def write_run(path: Path, videos: list[Video], model_sha256: str | None = None) -> None:
    """A run that has ended, with the maps of ``videos`` and no pictures."""
    sha256 = load_model(MODEL, device="cpu").sha256 if model_sha256 is None else model_sha256
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model=MODEL, model_sha256=sha256)
    with RunWriter.create(path, info, window_frames=10) as writer:
        for index, video in enumerate(videos):
            n_windows, height, width = video.counts.shape
            grid = Grid(40.0, Shape(height, width))
            camera_shape = Shape(height // SCALE, width // SCALE)
            segment = Segment(index, camera_shape, "uint16", frame_interval_ms=20.0, pixel_size_nm=PIXEL_SIZE_NM)
            writer.begin_segment(segment, grid)
            missing = [round(10 * (1 - share)) for share in video.present]
            for t in range(n_windows):
                # Only what fits the mask of whole frames: a window of which no frame was seen has no counts.
                counts = video.counts[t] if missing[t] < 10 else np.zeros_like(video.counts[t])
                map = LocalizationMap(index, t, 10 * t, 10 * t + 10, counts, grid, missing[t])
                writer.write_map(map, _localizations(counts, t))
            seen = 10 * n_windows
            lost = sum(missing)
            ledger = {"seen": seen, "committed": seen - lost, "lost": {"camera": lost}, "deselected": 0, "tail": 0}
            writer.write_ledger(index, ledger)


def _localizations(counts: np.ndarray, window: int) -> Localizations:
    """Localizations that are counted as ``counts``."""
    rows, cols = np.nonzero(counts)
    repeats = counts[rows, cols]
    table = np.zeros(int(repeats.sum()), LOCALIZATION_DTYPE)
    table["frame"] = 10 * window
    table["y"] = np.repeat((rows + 0.5) / SCALE - 0.5, repeats)
    table["x"] = np.repeat((cols + 0.5) / SCALE - 0.5, repeats)
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--die-after", type=int, required=True)
    parser.add_argument("--tile-px", type=int, default=None)
    options = parser.parse_args()

    def die(done: int) -> None:
        if done >= options.die_after:
            # SIGTERM is TerminateProcess on Windows: neither can be caught.
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    with open_refinement(options.run, RefineSettings(tile_px=options.tile_px), device="cpu") as refinement:
        refinement.run(on_progress=die)


if __name__ == "__main__":
    main()
