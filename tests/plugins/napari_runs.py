"""Small runs for the tests of the napari plug-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

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

GRID = Grid(pitch_nm=40.0, shape=Shape(9, 12), origin_nm=(80.0, 0.0))
INFO = RunInfo(uuid="a1", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="ab")


def counts_of(window: int) -> npt.NDArray[np.uint16]:
    counts = np.zeros(GRID.shape, np.uint16)
    counts[window % 9, window % 12] = window + 1
    return counts


def write_windows(writer: RunWriter, windows: range) -> None:
    for window in windows:
        picture = np.full(GRID.shape, (window % 256) / 255, np.float32)
        writer.write_map(
            LocalizationMap(0, window, window * 10, window * 10 + 10, counts_of(window), GRID), empty_localizations()
        )
        writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", 2))


def write_molecules(writer: RunWriter, windows: range) -> None:
    """Windows with two localizations each, in the middle of pixels (1, 0) and (2, 4), and with an error map."""
    rows = empty_localizations(2)
    rows["y"], rows["x"] = (1.0, 2.0), (0.0, 4.0)
    for window in windows:
        rows["frame"] = window * 10
        picture, error = np.full(GRID.shape, 0.5, np.float32), np.zeros(GRID.shape, np.float32)
        error[window % 9] = 1.0
        writer.write_map(
            LocalizationMap(0, window, window * 10, window * 10 + 10, counts_of(window), GRID), rows.copy()
        )
        writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", 2, error=error))


def begin(path: Path) -> RunWriter:
    writer = RunWriter.create(path, INFO, window_frames=10)
    segment = Segment(index=0, shape=Shape(4, 5), dtype="uint16", pixel_size_nm=100.0)
    writer.begin_segment(segment, GRID, pixel_size_nm=100.0)
    return writer
