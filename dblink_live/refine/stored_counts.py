"""The stored maps of one segment as counts [T, H, W], read window by window and region by region."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.refine.tiles import Region
from dblink_live.store import CommittedWindow, Run, StoredSegment


class StoredCounts:
    """The committed windows of a segment, from its first to its last.

    A window that the journal does not name, which only damage can bring about, is a map of zeros of which no frame was
    seen: the networks know such windows.

    Parameters
    ----------
    run
        Opened for reading.
    stored
        The segment, with its grid.
    region
        Part of the grid that is read; None for all of it.
    """

    def __init__(self, run: Run, stored: StoredSegment, region: Region | None = None) -> None:
        self._run = run
        self._rows = {row.window: row for row in run.windows("counts", stored.segment.index)}
        self._first = min(self._rows, default=0)
        n_windows = max(self._rows, default=-1) + 1 - self._first
        self._region = Region.whole(stored.grid.shape) if region is None else region
        self.shape: tuple[int, int, int] = (n_windows, *self._region.shape)
        self.present: npt.NDArray[np.float32] = np.array(
            [_fraction_present(self.row(t)) for t in range(n_windows)], np.float32
        )
        """[T], the share of each window's frames that were seen."""

    def row(self, index: int) -> CommittedWindow | None:
        """What the journal says of the window at ``index``; None where it knows of none."""
        return self._rows.get(self._first + index)

    def __getitem__(self, key: slice) -> npt.NDArray[np.uint16]:
        chosen = range(*key.indices(self.shape[0]))
        counts = np.zeros((len(chosen), *self._region.shape), np.uint16)
        for image, index in zip(counts, chosen, strict=True):
            row = self.row(index)
            if row is not None:
                image[...] = self._run.read_window(row, self._region.slices)
        return counts


def _fraction_present(row: CommittedWindow | None) -> float:
    return 0.0 if row is None else 1.0 - row.n_frames_missing / (row.stop - row.start)
