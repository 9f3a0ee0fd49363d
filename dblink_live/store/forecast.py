"""Forecast of the disk space that a run will take."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dblink_live.store.hierarchy import SeriesSpec
from dblink_live.store.raw.frames import shard_frames
from dblink_live.types import LOCALIZATION_DTYPE, Grid, Segment, Shape

COUNTS_BYTES_A_PIXEL = 0.25
"""Of a dense map: 0.1 localizations per pixel, which is more than blinking allows, zstd level 3 after bitshuffle."""
LIVE_BYTES_A_PIXEL = {"uint8": 0.6, "float16": 1.4}
"""Of a picture with structure in a third of its pixels."""
PYRAMID = 4 / 3
JOURNAL_BYTES_A_WINDOW = 1000
"""Three rows with their indices, file system blocks left half empty, and metadata."""
FILES_A_WINDOW = 3
"""Counts, picture and its errors."""
NODES_A_FILE = 3
"""A shard ``c/t/0/0`` is a file in two folders of its own; a file system may have room for so many of both together."""
RAW_BYTES_A_FRAME = 64
"""Number, time, and place in its shard."""


def forecast_bytes(
    grid: Grid,
    n_windows: int,
    *,
    live_dtype: Literal["uint8", "float16"] = "uint8",
    localizations_per_window: float | None = None,
) -> int:
    """Bytes that ``n_windows`` will take, on the high side of what real runs take; with pictures of errors.

    Parameters
    ----------
    grid
        Of the maps.
    n_windows
        Windows of the whole run.
    live_dtype
        Stored type of the pictures.
    localizations_per_window
        Expected number; None takes one localization per 100 grid pixels.
    """
    n_pixels = grid.shape.height * grid.shape.width
    if localizations_per_window is None:
        localizations_per_window = n_pixels / 100
    pictures = n_pixels * (COUNTS_BYTES_A_PIXEL + 2 * LIVE_BYTES_A_PIXEL[live_dtype]) * PYRAMID
    return round(
        n_windows * (pictures + localizations_per_window * LOCALIZATION_DTYPE.itemsize + JOURNAL_BYTES_A_WINDOW)
    )


def forecast_files(n_windows: int) -> int:
    """Files that ``n_windows`` will take, without a pyramid."""
    return FILES_A_WINDOW * n_windows


def forecast_raw_bytes(frame_shape: Shape, dtype: str, n_frames: int) -> int:
    """Bytes that ``n_frames`` recorded camera frames take at most: noise at full depth does not compress."""
    return n_frames * (frame_shape.height * frame_shape.width * np.dtype(dtype).itemsize + RAW_BYTES_A_FRAME)


def forecast_nodes(grid: Grid, n_windows: int) -> int:
    """Files and folders that ``n_windows`` will take, with their pyramids."""
    n_levels = SeriesSpec("counts", 0, grid, "uint16", window_frames=1, window_s=None).n_levels
    return NODES_A_FILE * n_levels * forecast_files(n_windows)


def forecast_raw_nodes(segment: Segment, n_frames: int) -> int:
    """Files and folders that ``n_frames`` recorded camera frames take."""
    return NODES_A_FILE * -(-n_frames // shard_frames(segment))
