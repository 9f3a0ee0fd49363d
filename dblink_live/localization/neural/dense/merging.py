"""Molecules that the noise of an EM register made two of one.

Behind an EM register each photo-electron is multiplied by chance, so the spot of one molecule has lumps, of which the
network, which was trained on the noise of photons, makes two molecules close together. Two places that differ by less
than their precision can tell are therefore taken for one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dblink_live.types import Localizations

APART_SIGMA = 3.0
"""Standard errors by which two molecules must be apart to be two."""
MAX_APART_PX = 1.5
"""Farther apart, two molecules are two however badly their places are known."""


def merge_indistinct(rows: Localizations) -> Localizations:
    """Return ``rows`` with molecules of one frame that cannot be told apart taken together.

    Parameters
    ----------
    rows
        Sorted by frame, with ``lpx`` and ``lpy`` as the network states them.

    Returns
    -------
    Localizations
        Photons of what was merged are added up, places are weighted by them, and the better precision is kept.
    """
    if len(rows) < 2:
        return rows
    places = np.stack([rows["y"], rows["x"], rows["frame"] * (2.0 * MAX_APART_PX)], axis=1).astype(np.float64)
    pairs = cKDTree(places).query_pairs(MAX_APART_PX, output_type="ndarray")
    if not len(pairs):
        return rows
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    apart = np.hypot(first["y"] - second["y"], first["x"] - second["x"]).astype(np.float64)
    error = np.sqrt(sum(side[name].astype(np.float64) ** 2 for side in (first, second) for name in ("lpx", "lpy")) / 2)
    is_one = (apart < APART_SIGMA * error) & (first["frame"] == second["frame"])
    # The nearest pairs first; a molecule takes part in one merger.
    order = np.argsort(apart[is_one], kind="stable")
    return _merged(rows, pairs[is_one][order])


def _merged(rows: Localizations, pairs: npt.NDArray[np.intp]) -> Localizations:
    merged, keeps = rows.copy(), np.ones(len(rows), bool)
    is_free = np.ones(len(rows), bool)
    for a, b in pairs.tolist():
        if not (is_free[a] and is_free[b]):
            continue
        is_free[[a, b]] = False
        stays, goes = min(a, b), max(a, b)
        weights = np.maximum(rows["photons"][[a, b]].astype(np.float64), 1e-6)
        for name in ("x", "y"):
            merged[name][stays] = np.average(rows[name][[a, b]], weights=weights)
        merged["photons"][stays] = rows["photons"][a] + rows["photons"][b]
        for name in ("lpx", "lpy"):
            merged[name][stays] = min(rows[name][a], rows[name][b])
        keeps[goes] = False
    return merged[keeps]
