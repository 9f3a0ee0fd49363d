"""Windows that can be made again from their number alone; as a program, a process that writes them into a run.

    python synthetic.py RUN PUBLISHED --windows 300

Each line of PUBLISHED names a picture and its checksum *before* it is handed to the store, as a publisher would have
shown it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np

from dblink_live.store import RunWriter, checksum, encode_probability
from dblink_live.types import (
    FloatImage,
    Grid,
    LocalizationMap,
    Localizations,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

WINDOW_FRAMES = 10
PIXEL_SIZE_NM = 108.0
LOOKAHEAD = 3
GRID = Grid(pitch_nm=40.0, shape=Shape(37, 53))
INFO = RunInfo(
    uuid="1f0c", created_utc="2026-01-01T00:00:00", config={"windows": {"frames": 10}}, model="light", model_sha256="ab"
)


def make_segment(index: int = 0, frame_interval_ms: float | None = 20.0, exposure_ms: float | None = None) -> Segment:
    return Segment(
        index=index,
        shape=Shape(14, 20),
        dtype="uint16",
        exposure_ms=exposure_ms,
        frame_interval_ms=frame_interval_ms,
        pixel_size_nm=PIXEL_SIZE_NM,
    )


def make_map(segment: int, window: int, grid: Grid = GRID) -> tuple[LocalizationMap, Localizations]:
    """The counts of a window and the localizations that they count; some of those lie outside the grid."""
    rng = np.random.default_rng([segment, window])
    localizations = empty_localizations(int(rng.integers(20, 60)))
    localizations["frame"] = np.sort(rng.integers(0, WINDOW_FRAMES, len(localizations))) + window * WINDOW_FRAMES
    height_px, width_px = (side * grid.pitch_nm / PIXEL_SIZE_NM for side in grid.shape)
    localizations["y"] = rng.uniform(-1.5, height_px + 0.5, len(localizations))
    localizations["x"] = rng.uniform(-1.5, width_px + 0.5, len(localizations))
    for name in ("photons", "sx", "sy", "bg", "lpx", "lpy"):
        localizations[name] = rng.gamma(3.0, 10.0, len(localizations))
    rows, cols = grid.index_of(localizations["y"], localizations["x"], PIXEL_SIZE_NM)
    inside = (rows >= 0) & (rows < grid.shape.height) & (cols >= 0) & (cols < grid.shape.width)
    counts = np.zeros(grid.shape, np.uint16)
    np.add.at(counts, (rows[inside], cols[inside]), 1)
    start = window * WINDOW_FRAMES
    return LocalizationMap(segment, window, start, start + WINDOW_FRAMES, counts, grid, window % 3), localizations


def make_picture(segment: int, window: int, grid: Grid = GRID) -> FloatImage:
    rng = np.random.default_rng([segment, window, 1])
    return rng.random(grid.shape, dtype=np.float32)


def write_window(writer: RunWriter, segment: int, window: int, grid: Grid = GRID) -> None:
    """Write a map and the picture that its coming makes possible."""
    writer.write_map(*make_map(segment, window, grid))
    if window >= LOOKAHEAD:
        due = window - LOOKAHEAD
        writer.write_reconstruction(
            Reconstruction(segment, due, make_picture(segment, due, grid), "bounded", LOOKAHEAD, latency_s=0.1)
        )


def balanced_ledger(n_windows: int) -> dict[str, object]:
    """The ledger of ``n_windows`` of `make_map`, whose missing frames the camera lost."""
    missing = sum(window % 3 for window in range(n_windows))
    seen = n_windows * WINDOW_FRAMES + 4
    return {"seen": seen, "committed": seen - 4 - missing, "lost": {"camera": missing}, "deselected": 0, "tail": 4}


def write_run(path: Path, n_windows: int, grid: Grid = GRID, finalize: bool = True) -> RunWriter:
    """A run with one segment; finalized, or handed back open."""
    writer = RunWriter.create(path, INFO, window_frames=WINDOW_FRAMES)
    writer.begin_segment(make_segment(), grid)
    for window in range(n_windows):
        write_window(writer, 0, window, grid)
    writer.write_ledger(0, balanced_ledger(n_windows))
    if finalize:
        writer.finalize()
    return writer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("published", type=Path)
    parser.add_argument("--windows", type=int, default=None, help="default: on and on, without finalizing")
    parser.add_argument("--pause-s", type=float, default=0.0)
    options = parser.parse_args()
    with options.published.open("a", encoding="utf-8") as log:

        def publish(product: str, window: int, digest: bytes) -> None:
            log.write(json.dumps([product, 0, window, digest.hex()]) + "\n")
            log.flush()

        writer = RunWriter.create(options.run, INFO, window_frames=WINDOW_FRAMES)
        writer.begin_segment(make_segment(), GRID)
        for window in itertools.count() if options.windows is None else range(options.windows):
            publish("counts", window, checksum(make_map(0, window)[0].counts))
            if window >= LOOKAHEAD:
                due = window - LOOKAHEAD
                publish("live", due, checksum(encode_probability(make_picture(0, due), "uint8")))
            write_window(writer, 0, window)
            time.sleep(options.pause_s)
        writer.write_ledger(0, balanced_ledger(options.windows))
        writer.finalize()


if __name__ == "__main__":
    main()
