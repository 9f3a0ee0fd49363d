"""The windows of one segment of a run as a video [T, H, W] that is read window by window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.store import CommittedWindow, Product, Run, StoredSegment
from dblink_live.types import FloatImage

Region = tuple[slice, slice]


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

    def __getitem__(self, key: slice) -> FloatImage:
        return self.at(np.arange(*key.indices(len(self._windows))))

    def at(self, index: npt.NDArray[np.int64]) -> FloatImage:
        """Pictures [K, H, W] at ``index``, counted from the first of the windows."""
        pictures = np.zeros((len(index), *self.shape[1:]), np.float32)
        for picture, place in zip(pictures, index.tolist(), strict=True):
            row = self._rows.get(self._windows[place])
            if row is not None:
                picture[...] = self._run.read_picture(row, self._region)
        return pictures
