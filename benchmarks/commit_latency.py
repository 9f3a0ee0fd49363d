"""How long a window takes from being handed over until it is committed, and what of that is the journal's.

    python -m benchmarks.commit_latency [--folder F] [--windows 200] [--json OUT.json]

Each window is written alone and waited for: pixels flushed, localizations flushed, row flushed. Beside it, window by
window, the same pixels are written and flushed into an array without checksum, localizations or journal; what the
whole takes longer is the cost of these. In a live run a thread waits, and windows that are ready together share their
flushes, so this is the most that a window waits, and not what the line pays.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import Report, markdown_table
from dblink_live.store import RunWriter
from dblink_live.store.arrays import SeriesWriter, make_context
from dblink_live.store.hierarchy import BLOCK, SeriesSpec, create_level
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Localizations,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

INFO = RunInfo(uuid="benchmark", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
SIDES = (512, 2048)
DENSITY = 0.003
"""Localizations per pixel and window."""
N_MAPS = 8
_UNCOUNTED = 5
"""First windows, in which files and threads are made."""


def localizations_like(rng: np.random.Generator, n: int, window: int) -> Localizations:
    """Rows with the noise of real ones, which compress badly."""
    rows = empty_localizations(n)
    rows["frame"] = np.sort(rng.integers(10 * window, 10 * window + 10, n))
    for name in ("x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy"):
        rows[name] = rng.gamma(3.0, 10.0, n)
    return rows


def latencies(folder: Path, side: int, n_windows: int) -> tuple[list[float], list[float]]:
    """Seconds of each window: committed, and its pixels alone."""
    rng = np.random.default_rng(0)
    grid = Grid(40.0, Shape(side, side))
    maps = [rng.poisson(DENSITY, (side, side)).astype(np.uint16) for _ in range(N_MAPS)]
    spec = SeriesSpec("counts", 0, grid, "uint16", 10, 0.1)
    alone = SeriesWriter(create_level(folder / "alone", spec, 0, BLOCK), make_context())
    committed_s, alone_s = [], []
    with RunWriter.create(folder / "run", INFO, window_frames=10) as writer:
        writer.begin_segment(Segment(0, Shape(side // 4, side // 4), "uint16", frame_interval_ms=10.0), grid)
        for window in range(n_windows + _UNCOUNTED):
            counts = maps[window % N_MAPS]
            rows = localizations_like(rng, int(counts.sum()), window)
            started = time.perf_counter()
            writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, grid), rows)
            writer.flush()
            between = time.perf_counter()
            alone.write(window, counts).result()
            ended = time.perf_counter()
            committed_s.append(between - started)
            alone_s.append(ended - between)
    return committed_s[_UNCOUNTED:], alone_s[_UNCOUNTED:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--windows", type=int, default=200, help="of each size")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = Report("commit_latency", {"windows": options.windows})
    rows = []
    for side in SIDES:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            committed_s, alone_s = latencies(folder, side, options.windows)
        finally:
            shutil.rmtree(folder)
        p50, p99 = (1000 * float(np.percentile(committed_s, percent)) for percent in (50, 99))
        pixels_ms = 1000 * statistics.median(alone_s)
        share = 1 - sum(alone_s) / sum(committed_s)
        rows.append((f"{side} x {side}", p50, p99, pixels_ms, share))
        report.add(f"{side}", {"committed_s": committed_s, "alone_s": alone_s, "journal_share": share})
    header = ("map", "committed, p50 ms", "p99 ms", "pixels alone, median ms", "share of all but pixels")
    print(markdown_table(header, rows))
    report.finish(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
