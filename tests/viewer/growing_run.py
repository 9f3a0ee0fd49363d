"""A run that grows under the eyes of the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

GRID = Grid.covering(Shape(24, 32), pixel_size_nm=108.0, pitch_nm=40.0)


def counts_of(window: int) -> Any:
    """Localizations of a window: one at a place that tells its number."""
    counts = np.zeros(GRID.shape, np.uint16)
    counts[window % GRID.shape.height, 10] = 1
    return counts


def probability_of(window: int) -> Any:
    """A picture whose brightest row tells its number."""
    image = np.zeros(GRID.shape, np.float32)
    image[window % GRID.shape.height] = 1.0
    return image


class GrowingRun:
    """A run that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
        self.writer = RunWriter.create(path, info, window_frames=10)
        segment = Segment(index=0, shape=Shape(24, 32), dtype="uint16", frame_interval_ms=20.0)
        self.writer.begin_segment(segment, GRID, 108.0)
        self.n_windows = 0

    def add(self, n_windows: int, lookahead: int = 8) -> None:
        """Commit more windows; reconstructions come ``lookahead`` windows later."""
        for window in range(self.n_windows, self.n_windows + n_windows):
            counts = LocalizationMap(0, window, 10 * window, 10 * window + 10, counts_of(window), GRID)
            self.writer.write_map(counts, empty_localizations())
            if window >= lookahead:
                done = window - lookahead
                self.writer.write_reconstruction(
                    Reconstruction(0, done, probability_of(done), "bounded", lookahead, latency_s=1.5)
                )
        self.n_windows += n_windows
        self.writer.flush()

    def lose(self, after: int, count: int) -> None:
        """Note lost frames."""
        self.writer.record_gap(Gap(0, after, count, GapCause.RING))
        self.writer.flush()
