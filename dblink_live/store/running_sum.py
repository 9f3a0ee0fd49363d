"""The plain sum of stored maps over a range of windows, which moves along a run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dblink_live.store.journal import CommittedWindow
from dblink_live.store.reader import Run
from dblink_live.store.segment_counts import WHOLE

CountSum = npt.NDArray[np.uint32]


class RunningSum:
    """Sums over ranges of windows of one segment; ranges that overlap share what was read.

    Parameters
    ----------
    run
        Opened for reading.
    rows
        The committed maps of the segment.
    shape
        Height and width of the sum: of the segment's grid, or of ``region``.
    region
        Rows and columns that are read.
    """

    def __init__(
        self,
        run: Run,
        rows: Iterable[CommittedWindow],
        shape: tuple[int, int],
        region: tuple[slice, slice] = WHOLE,
    ) -> None:
        self._run = run
        self._rows = {row.window: row for row in rows}
        self._region = region
        self._windows = range(0)
        self._total = np.zeros(shape, np.uint32)

    def over(self, windows: range) -> tuple[CountSum, int]:
        """Return localizations per pixel [H, W] of the committed ones of ``windows``, and how many those are."""
        entering = [window for window in windows if window not in self._windows]
        leaving = [window for window in self._windows if window not in windows]
        if len(entering) + len(leaving) > len(windows):
            self._total[...] = 0
            entering, leaving = list(windows), []
        for window in entering:
            self._total += self._read(window)
        for window in leaving:
            self._total -= self._read(window)
        self._windows = windows
        return self._total.copy(), sum(window in self._rows for window in windows)

    def _read(self, window: int) -> npt.NDArray[np.uint16] | int:
        row = self._rows.get(window)
        return 0 if row is None else self._run.read_window(row, self._region)
