"""What localizations say of a sample before any network has run: motion, density, precision, and the window to take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.trust.motion import WindowAdvice, advise_window, estimate_step_nm

N_WINDOWS = 48
"""Windows that motion and density are measured on."""
MIN_WINDOWS = 20
MAX_SIDE = 256
"""Side in pixels of the part of the field that is looked at: the block with the most localizations."""
TABLE_PITCH_NM = 40.0
"""Pitch on which the positions of a table are counted."""
TIME_SHARE = 0.01
"""Measuring takes at most this share of the time of the thread that counts windows."""


@dataclass(frozen=True)
class Sample:
    """Figures of the last windows; None is unknown."""

    speed_nm_per_window: float | None = None
    """Motion of the structure; within a factor of two (`dblink_live.analysis.trust.motion`)."""
    molecules_per_um2: float | None = None
    """Per square micrometre and window, where the structure is."""
    precision_nm: float | None = None
    """Median localization precision."""
    window_frames: int | None = None
    """Frames per window, now."""

    @property
    def advice(self) -> WindowAdvice | None:
        """How long windows should be; None while nothing can be said."""
        if self.window_frames is None or self.molecules_per_um2 is None:
            return None
        return advise_window(self.speed_nm_per_window, self.molecules_per_um2, self.window_frames)


def sample_of(
    counts: npt.NDArray[Any], pitch_nm: float, window_frames: int | None, precision_nm: float | None = None
) -> Sample:
    """Return what consecutive windows say of the sample.

    Parameters
    ----------
    counts
        [T, H, W], localizations per pixel and window.
    pitch_nm
        Side of a pixel.
    window_frames
        Camera frames per window.
    precision_nm
        Median localization precision, where it is known.
    """
    if counts.ndim != 3 or not counts.size:
        return Sample(precision_nm=precision_nm, window_frames=window_frames)
    rows, cols = busiest_block(counts.sum(axis=0, dtype=np.int64))
    block = counts[:, rows, cols]
    per_um2 = float(block.sum(dtype=np.int64)) / len(block) / (block[0].size * (pitch_nm / 1000) ** 2)
    speed = estimate_step_nm(block, pitch_nm) if len(block) >= MIN_WINDOWS else None
    return Sample(speed, per_um2, precision_nm, window_frames)


def busiest_block(total: npt.NDArray[Any], max_side: int = MAX_SIDE) -> tuple[slice, slice]:
    """Return the rows and columns of the block of ``total`` [H, W] with the highest sum.

    Examples
    --------
    >>> field = np.zeros((6, 4))
    >>> field[5, 1] = 1
    >>> busiest_block(field, max_side=4)
    (slice(2, 6, None), slice(0, 4, None))
    """
    height, width = total.shape
    best, found = -1.0, (slice(0, min(height, max_side)), slice(0, min(width, max_side)))
    for top in range(0, height, max_side):
        for left in range(0, width, max_side):
            # The last blocks reach back over their neighbours: all have the same size.
            first = (max(0, min(top, height - max_side)), max(0, min(left, width - max_side)))
            block = (
                slice(first[0], min(height, first[0] + max_side)),
                slice(first[1], min(width, first[1] + max_side)),
            )
            value = float(total[block].sum())
            if value > best:
                best, found = value, block
    return found


class SampleWatch:
    """Follows the windows of a live run. One thread adds; any may read `sample`.

    Parameters
    ----------
    window_frames
        Camera frames per window.
    clock_s
        Measures what measuring costs.
    """

    def __init__(self, window_frames: int, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._window_frames = window_frames
        self._clock_s = clock_s
        self._due_s = 0.0
        self._block: tuple[slice, slice] | None = None
        self._maps: deque[npt.NDArray[Any]] = deque(maxlen=N_WINDOWS)
        self._precisions: deque[float] = deque(maxlen=N_WINDOWS)
        self.sample = Sample(window_frames=window_frames)
        """What was measured last."""

    def begin(self) -> None:
        """Forget the windows: another segment, with another field or rate."""
        self._block = None
        self._maps.clear()
        self._precisions.clear()

    def add(self, counts: npt.NDArray[Any], pitch_nm: float, precisions_nm: npt.NDArray[Any]) -> None:
        """Take the map [H, W] of a window and the precisions [N] of its localizations; measure, once it is time."""
        if self._block is None and counts.any():
            self._block = busiest_block(counts)
        if self._block is None:
            return
        self._maps.append(counts[self._block].copy())
        known = precisions_nm[np.isfinite(precisions_nm) & (precisions_nm > 0)]
        if len(known):
            self._precisions.append(float(np.median(known)))
        began_s = self._clock_s()
        if len(self._maps) < MIN_WINDOWS or began_s < self._due_s:
            return
        precision = float(np.median(self._precisions)) if self._precisions else None
        self.sample = sample_of(np.stack(self._maps), pitch_nm, self._window_frames, precision)
        now_s = self._clock_s()
        self._due_s = now_s + (now_s - began_s) / TIME_SHARE


def sample_of_positions(
    frames: npt.NDArray[Any], y_nm: npt.NDArray[Any], x_nm: npt.NDArray[Any], window_frames: int
) -> Sample:
    """Return what a table says of its sample: the middle of its frames, where most of its localizations lie.

    Parameters
    ----------
    frames, y_nm, x_nm
        [N], frame and position of each localization.
    window_frames
        Camera frames per window.
    """
    if not len(frames):
        return Sample(window_frames=window_frames)
    n_frames = int(frames.max()) - int(frames.min()) + 1
    n_windows = min(N_WINDOWS, max(1, n_frames // window_frames))
    first = int(frames.min()) + (n_frames - n_windows * window_frames) // 2
    side_nm = MAX_SIDE * TABLE_PITCH_NM
    rows, cols = (np.floor((place - place.min()) / side_nm).astype(np.int64) for place in (y_nm, x_nm))
    blocks, count = np.unique(np.stack([rows, cols]), axis=1, return_counts=True)
    row, col = blocks[:, int(np.argmax(count))]
    window = (frames.astype(np.int64) - first) // window_frames
    kept = (rows == row) & (cols == col) & (window >= 0) & (window < n_windows)
    y_px, x_px = (
        np.floor((place[kept] - place.min() - at * side_nm) / TABLE_PITCH_NM).astype(np.int64)
        for place, at in ((y_nm, row), (x_nm, col))
    )
    counts = np.zeros((n_windows, int(y_px.max(initial=0)) + 1, int(x_px.max(initial=0)) + 1), np.uint16)
    np.add.at(counts, (window[kept], y_px, x_px), 1)
    return sample_of(counts, TABLE_PITCH_NM, window_frames)
