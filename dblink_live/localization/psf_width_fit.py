"""Learning the width of the point spread function from the first molecules of a recording.

A fit with known width tells overlapping molecules apart better than one with free width, and most people do not know
their width in pixels. It is the median of free fits that a single molecule explains: those whose deviance is one that
chi-squared noise makes likely. Two molecules in one leave more. Where no fit is so good (molecules everywhere on top of
each other, or a camera gain that is far off) nothing is learned, and widths stay free.

The frame at which enough fits have been seen ends the learning, whatever batch it came in: the answer does not depend
on batching.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FITS_NEEDED = 100
"""Single widths scatter by some 5 %, so their median is good to about 0.6 %; 1 % costs no precision."""
MIN_SIGNIFICANCE = 8.0
"""Photons over their own uncertainty: fainter spots say little about their width."""
MAX_DEVIANCE_SIGMA = 2.0
"""Largest misfit (`dblink_live.localization.gaussian.filters`) of what counts as a single molecule."""


class WidthLearner:
    """Collects widths frame by frame until there are `FITS_NEEDED`."""

    def __init__(self) -> None:
        self._widths_px: list[npt.NDArray[np.float64]] = []
        self._n = 0

    @property
    def width_px(self) -> float | None:
        """The median once enough widths were seen, else None."""
        return float(np.median(np.concatenate(self._widths_px))) if self._n >= FITS_NEEDED else None

    def add(self, n_frames: int, frame: npt.NDArray[np.int64], widths_px: npt.NDArray[np.floating]) -> int:
        """Learn from ``n_frames`` frames, of which ``frame`` [K], ascending, held spots of ``widths_px`` [K].

        Returns
        -------
        int
            How many of the frames were needed: fewer than ``n_frames`` when the learning ended among them.
        """
        missing = FITS_NEEDED - self._n
        n_used = n_frames if len(frame) < missing else int(frame[missing - 1]) + 1
        used = widths_px[frame < n_used].astype(np.float64)
        self._widths_px.append(used)
        self._n += len(used)
        return n_used
