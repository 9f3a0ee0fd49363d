"""The stored maps of one segment as counts [T, H, W], read window by window and region by region."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.store.journal import CommittedWindow, StoredSegment
from dblink_live.store.reader import Run

WHOLE = (slice(None), slice(None))


class SegmentCounts:
    """The committed maps of a segment, from its first to its last window.

    A window that the journal does not name, which only damage can bring about, is a map of zeros of which no frame was
    seen: the networks know such windows.

    Parameters
    ----------
    run
        Opened for reading.
    stored
        The segment, with its grid.
    region
        Rows and columns that are read.
    mended
        Whether windows that were made whole from raw frames take the place of those that live processing counted.
    """

    def __init__(
        self, run: Run, stored: StoredSegment, region: tuple[slice, slice] = WHOLE, *, mended: bool = False
    ) -> None:
        self._run = run
        self._rows = {row.window: row for row in run.windows("counts", stored.segment.index)}
        if mended:
            self._rows |= {row.window: row for row in run.windows("mended", stored.segment.index)}
        self._first = min(self._rows, default=0)
        n_windows = max(self._rows, default=-1) + 1 - self._first
        self._region = region
        height, width = (len(range(*one.indices(side))) for one, side in zip(region, stored.grid.shape, strict=True))
        self.shape: tuple[int, int, int] = (n_windows, height, width)
        self.present: npt.NDArray[np.float32] = np.array(
            [_fraction_present(self.row(t)) for t in range(n_windows)], np.float32
        )
        """[T], the share of each window's frames that were seen."""

    def row(self, index: int) -> CommittedWindow | None:
        """Return the committed window at ``index``, or None."""
        return self._rows.get(self._first + index)

    def __getitem__(self, key: slice) -> npt.NDArray[np.uint16]:
        chosen = range(*key.indices(self.shape[0]))
        counts = np.zeros((len(chosen), *self.shape[1:]), np.uint16)
        for image, index in zip(counts, chosen, strict=True):
            row = self.row(index)
            if row is not None:
                image[...] = self._run.read_window(row, self._region)
        return counts


def _fraction_present(row: CommittedWindow | None) -> float:
    return 0.0 if row is None else 1.0 - row.n_frames_missing / (row.stop - row.start)
