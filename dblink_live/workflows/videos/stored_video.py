"""The windows of one segment of a run as a video [T, H, W] that is read window by window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.store import CommittedWindow, Product, Run, StoredSegment
from dblink_live.types import FloatImage

Region = tuple[slice, slice]
BLOCK_VALUES = 2**21
"""Pixels that are read together where windows are asked for one by one: 8 MB."""
BLOCKS_KEPT = 4
"""As many places of a video can be read along side by side."""


class StoredVideo:
    """Localizations per pixel, or probability, of the windows ``windows`` of a segment; zeros where not committed.

    Parameters
    ----------
    run
        Opened for reading.
    stored
        The segment, with its grid.
    product
        ``counts``, ``live`` or ``full``.
    windows
        Numbers of the windows, which follow each other.
    region
        Rows and columns that are read.
    """

    def __init__(self, run: Run, stored: StoredSegment, product: Product, windows: range, region: Region) -> None:
        self._run = run
        self._windows = windows
        self._region = region
        self._rows: dict[int, CommittedWindow] = {row.window: row for row in run.windows(product, stored.segment.index)}
        height, width = (len(range(*one.indices(side))) for one, side in zip(region, stored.grid.shape, strict=True))
        self.shape: tuple[int, int, int] = (len(windows), height, width)
        self._per_block = max(1, BLOCK_VALUES // max(1, height * width))
        self._blocks: dict[int, FloatImage] = {}

    def __getitem__(self, key: slice) -> FloatImage:
        chosen = range(*key.indices(len(self._windows)))
        if len(chosen) != 1:
            return self.at(np.array(chosen, np.int64))
        number, place = divmod(chosen[0], self._per_block)
        if number not in self._blocks:
            if len(self._blocks) == BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            first = number * self._per_block
            self._blocks[number] = self.at(np.arange(first, min(first + self._per_block, len(self._windows))))
        return self._blocks[number][place : place + 1]

    def at(self, index: npt.NDArray[np.int64]) -> FloatImage:
        """Return pictures [K, H, W] at ``index``, counted from the first of the windows."""
        pictures = np.zeros((len(index), *self.shape[1:]), np.float32)
        found = [(place, self._rows.get(self._windows[at])) for place, at in enumerate(index.tolist())]
        rows = [(place, row) for place, row in found if row is not None]
        if rows:
            pictures[[place for place, _ in rows]] = self._run.read_pictures([row for _, row in rows], self._region)
        return pictures
