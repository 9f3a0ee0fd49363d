"""Index of written windows and their camera frames, in 32 bytes per window: a run lasts for hours."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple


class WindowFrames(NamedTuple):
    """Camera frames of a window."""

    start: int
    stop: int
    n_missing: int


class WindowIndex:
    """The windows of one product. They mostly come in order; any order will do.

    Examples
    --------
    >>> index = WindowIndex()
    >>> index.add(0, 7, WindowFrames(70, 80, 1))
    >>> index.get(0, 7), index.get(0, 8)
    (WindowFrames(start=70, stop=80, n_missing=1), None)
    """

    def __init__(self) -> None:
        self._segments: dict[int, _Columns] = {}

    def add(self, segment: int, window: int, frames: WindowFrames) -> None:
        """Take a window that is not in it yet."""
        columns = self._segments.setdefault(segment, _Columns(*(array("q") for _ in _Columns._fields)))
        place = bisect_left(columns.window, window)
        for column, value in zip(columns, (window, *frames), strict=True):
            column.insert(place, value)

    def get(self, segment: int, window: int) -> WindowFrames | None:
        """The frames of a window, or None for one that was not written."""
        columns = self._segments.get(segment)
        if columns is None:
            return None
        place = bisect_left(columns.window, window)
        if place == len(columns.window) or columns.window[place] != window:
            return None
        return WindowFrames(columns.start[place], columns.stop[place], columns.n_missing[place])


class _Columns(NamedTuple):
    """[N] of the windows of a segment, by rising window."""

    window: array[int]
    start: array[int]
    stop: array[int]
    n_missing: array[int]
