"""Localizations of a run as points, read once per committed window.

A point is (window, y, x): the place of its window along the slider, and its position in micrometres from the outer
corner of the camera's field.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.store import Run

MAX_POINTS = 200_000
"""napari draws about so many points without delay; of more, one in so many is shown."""

Points = npt.NDArray[np.float64]


class Molecules:
    """The localizations of one run; keeps what was read.

    Parameters
    ----------
    run
        Opened for reading; it may still grow.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._n_read: dict[str, int] = {}
        self._parts: dict[str, list[Points]] = {}

    def of(self, series: str) -> tuple[Points, int]:
        """Return points [N, 3] of a series of maps such as ``counts``, and that one localization in so many is shown.

        A segment that does not state how large a camera pixel is has no points.
        """
        pixel_nm = {stored.segment.index: stored.pixel_size_nm for stored in self._run.segments}
        rows = [row for row in self._run.windows("counts") if row.series == series]
        parts = self._parts.setdefault(series, [])
        for row in rows[self._n_read.get(series, 0) :]:
            side_nm = pixel_nm[row.segment]
            if side_nm is None:
                continue
            table = self._run.localizations(row.segment, row.window)
            place = np.full(len(table), float(row.array_index))
            y_um, x_um = ((table[axis].astype(np.float64) + 0.5) * side_nm / 1000 for axis in ("y", "x"))
            parts.append(np.stack([place, y_um, x_um], axis=1))
        self._n_read[series] = len(rows)
        points = np.concatenate([np.zeros((0, 3)), *parts])
        every = max(1, -(-len(points) // MAX_POINTS))
        return points[::every], every
