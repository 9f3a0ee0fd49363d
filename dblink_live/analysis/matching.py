"""Localizations against known molecules: which were found, how precisely, and how much of it is chance.

The measures are those of the SMLM challenge (Sage et al., Nature Methods 16, 387, 2019): in each frame, localizations
are paired with molecules so that as many as possible lie within a radius and, among such pairings, distances are
shortest (the Hungarian method). The Jaccard index is the share of pairs in all that was found or should have been; RMSE
is the root mean square lateral distance of the pairs; efficiency joins both. In crowded frames a localization may lie
near a molecule by chance: pairing with the molecules of another frame says how often.

Positions are in camera pixels with pixel centres at whole numbers, as in `Localizations`; distances in nm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dblink_live.errors import ConfigError
from dblink_live.types import Localizations

EFFICIENCY_PER_NM = 1.0
"""Weight of 1 nm of lateral RMSE against 1 % of Jaccard index, as in the challenge."""

Positions = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MatchScores:
    """How well a table of localizations gives back known molecules. NaN where nothing was paired."""

    n_molecules: int
    """Molecules that were on, counted in every frame anew."""
    n_localizations: int
    n_pairs: int
    rmse_nm: float
    """Lateral: the root of the mean of dx^2 + dy^2."""
    rmse_axis_nm: tuple[float, float]
    """Along y and x."""
    bias_nm: tuple[float, float]
    """Mean of localization minus molecule along y and x."""

    @property
    def recall(self) -> float:
        return self.n_pairs / self.n_molecules if self.n_molecules else math.nan

    @property
    def precision(self) -> float:
        return self.n_pairs / self.n_localizations if self.n_localizations else math.nan

    @property
    def jaccard(self) -> float:
        """Pairs over pairs, missed molecules and false localizations together, in [0, 1]."""
        union = self.n_molecules + self.n_localizations - self.n_pairs
        return self.n_pairs / union if union else math.nan

    @property
    def efficiency(self) -> float:
        """In percent; 100 finds every molecule at its very place, and it can fall below 0."""
        return 100.0 - math.hypot(100.0 * (1.0 - self.jaccard), EFFICIENCY_PER_NM * self.rmse_nm)


def match_localizations(
    found: Localizations, molecules: Localizations, pixel_size_nm: float, radius_nm: float = 100.0
) -> MatchScores:
    """Score ``found`` against ``molecules``, frame by frame.

    Parameters
    ----------
    found, molecules
        Tables with ``frame``, ``x`` and ``y``, in any order.
    pixel_size_nm
        Of the camera.
    radius_nm
        Farthest distance of a pair.

    Raises
    ------
    ConfigError
        A pixel size or radius that is not above 0.

    Examples
    --------
    >>> from dblink_live.types import empty_localizations
    >>> truth = empty_localizations(2)
    >>> truth["x"] = 10.0, 20.0
    >>> found = truth.copy()
    >>> found["x"] += 0.1, 5.0
    >>> scores = match_localizations(found, truth, pixel_size_nm=100)
    >>> scores.n_pairs, round(scores.jaccard, 3), round(scores.rmse_nm, 3)
    (1, 0.333, 10.0)
    """
    if not (pixel_size_nm > 0 and radius_nm > 0):
        raise ConfigError(f"expected a pixel size and a radius above 0 nm, found {pixel_size_nm} and {radius_nm}")
    found_at, molecules_at = _by_frame(found, pixel_size_nm), _by_frame(molecules, pixel_size_nm)
    errors = [
        _paired_errors(positions, molecules_at[frame], radius_nm)
        for frame, positions in found_at.items()
        if frame in molecules_at
    ]
    error_nm = np.concatenate(errors) if errors else np.zeros((0, 2))
    if not len(error_nm):
        nothing = (math.nan, math.nan)
        return MatchScores(len(molecules), len(found), 0, math.nan, nothing, nothing)
    mean_square = np.square(error_nm).mean(axis=0)
    bias = error_nm.mean(axis=0)
    return MatchScores(
        n_molecules=len(molecules),
        n_localizations=len(found),
        n_pairs=len(error_nm),
        rmse_nm=math.sqrt(mean_square.sum()),
        rmse_axis_nm=(math.sqrt(mean_square[0]), math.sqrt(mean_square[1])),
        bias_nm=(float(bias[0]), float(bias[1])),
    )


def chance_jaccard(
    found: Localizations, molecules: Localizations, pixel_size_nm: float, radius_nm: float = 100.0
) -> float:
    """Jaccard index of ``found`` against the molecules of other frames, those half a recording away."""
    frames = np.unique(molecules["frame"])
    if len(frames) < 2:
        return math.nan
    place = np.searchsorted(frames, molecules["frame"])
    elsewhere = molecules.copy()
    elsewhere["frame"] = frames[(place + len(frames) // 2) % len(frames)]
    return match_localizations(found, elsewhere, pixel_size_nm, radius_nm).jaccard


def _by_frame(table: Localizations, pixel_size_nm: float) -> dict[int, Positions]:
    """Positions [K, 2] (y, x) in nm of every frame that has any."""
    if not len(table):
        return {}
    ordered = table[np.argsort(table["frame"], kind="stable")]
    positions = pixel_size_nm * np.stack([ordered["y"], ordered["x"]], axis=1).astype(np.float64)
    frames, first = np.unique(ordered["frame"], return_index=True)
    return dict(zip(frames.tolist(), np.split(positions, first[1:]), strict=True))


def _paired_errors(found: Positions, molecules: Positions, radius_nm: float) -> Positions:
    """Localization minus molecule [P, 2] of the pairs of one frame."""
    distance = cdist(found, molecules)
    # A pair too far apart costs more than all near ones together, so as many near pairs as possible are made.
    too_far = distance > radius_nm
    cost = np.where(too_far, radius_nm * (min(distance.shape) + 1), distance)
    rows, columns = linear_sum_assignment(cost)
    near = ~too_far[rows, columns]
    error: Positions = found[rows[near]] - molecules[columns[near]]
    return error
