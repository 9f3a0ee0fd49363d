"""A small run that reports are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dblink_live.store import RunWriter
from dblink_live.types import (
    Gap,
    GapCause,
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

GRID = Grid(pitch_nm=40.0, shape=Shape(64, 72))
PIXEL_NM = 160.0
HOSTILE = "<script>alert('x')</script>\"&"


DIAGONAL = np.eye(*GRID.shape, dtype=np.float32)


def write_run(
    folder: Path,
    n_windows: int,
    *,
    model: str = "light",
    n_lost: int = 0,
    picture: np.ndarray | None = DIAGONAL,
    n_localizations: int = 12,
) -> Path:
    """A run whose localizations lie on a diagonal, and whose pictures show that diagonal, or ``picture``."""
    info = RunInfo("7", "2026-01-01T00:00:00", {"source": {"spec": HOSTILE}}, model, "ab" * 32)
    rng = np.random.default_rng(5)
    with RunWriter.create(folder, info, window_frames=10) as writer:
        segment = Segment(index=0, shape=Shape(16, 18), dtype="uint16", frame_interval_ms=20.0, pixel_size_nm=PIXEL_NM)
        writer.begin_segment(segment, GRID, PIXEL_NM)
        if n_lost:
            writer.record_gap(Gap(0, 3, n_lost, GapCause.CAMERA))
        for window in range(n_windows):
            table = empty_localizations(n_localizations)
            table["frame"] = 10 * window + rng.integers(0, 10, size=n_localizations)
            table["y"] = table["x"] = rng.uniform(2.0, 13.0, size=n_localizations)
            counts = np.zeros(GRID.shape, np.uint16)
            np.add.at(counts, GRID.index_of(table["y"], table["x"], PIXEL_NM), 1)
            writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, GRID), table)
            if picture is not None:
                writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", lookahead=2, latency_s=0.3))
        writer.write_ledger(
            0,
            {
                "seen": 10 * n_windows + n_lost,
                "committed": 10 * n_windows,
                "lost": {"camera": n_lost} if n_lost else {},
                "deselected": 0,
                "tail": 0,
                "in_flight": 0,
                "unknown_losses": 0,
            },
        )
    return folder
