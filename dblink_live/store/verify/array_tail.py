"""Check the end of an array, which a killed process or a failed trimming leaves too long.

Behind the last committed window there may be room, and windows that were in flight. Nobody reads them, for the journal
does not name them; but a program that knows nothing of the journal shows them, so a complete run has none.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from dblink_live.store.arrays import StoredImage, max_pool
from dblink_live.store.hierarchy import SeriesSpec, count_named_levels, read_array


def check_tail(root: Path, spec: SeriesSpec, n_committed: int, must_be_trimmed: bool) -> tuple[list[str], list[str]]:
    """Problems and notes of the end of one series.

    Parameters
    ----------
    root
        The ``run.ome.zarr`` folder.
    n_committed
        Windows of the series that the journal names.
    must_be_trimmed
        Whether anything behind them is a problem, as in a complete run; else it is worth a note at most.
    """
    try:
        levels = [read_array(root / spec.name / str(level)) for level in range(count_named_levels(root, spec))]
        n_room = levels[0].shape[0] - n_committed
        n_left = len(_shards_from(root / spec.name / "0", n_committed))
        if must_be_trimmed and (n_room > 0 or n_left):
            return [f"expected an array of {n_committed} windows, found room for {n_room} more and {n_left} in it"], []
        notes = [f"{n_left} windows behind the last committed one were in flight; they are no part of the run"]
        problems = []
        if n_committed and len(levels) > 1:
            problems = _check_pyramid([np.asarray(level[n_committed - 1]) for level in levels], n_committed)
    except Exception as error:  # damaged arrays fail in as many ways as there are ways to damage them
        return [f"its end cannot be read: {error}"], []
    return problems, notes if n_left else []


def _shards_from(array: Path, first: int) -> list[int]:
    """Indices along t, from ``first`` on, of which there is a file."""
    names = (path.name for path in (array / "c").glob("*"))
    return sorted(int(name) for name in names if name.isdecimal() and int(name) >= first)


def _check_pyramid(pictures: list[StoredImage], n_committed: int) -> list[str]:
    """The last window is the last one that a pyramid is given: where that is whole, so is the pyramid."""
    return [
        f"level {level}: expected the maximum of 2 x 2 pixels of the level below in window {n_committed - 1}, "
        "found another picture"
        for level, (finer, coarser) in enumerate(pairwise(pictures), start=1)
        if not np.array_equal(max_pool(finer), coarser)
    ]
