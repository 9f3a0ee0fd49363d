"""Labels on a structure: even, or of varying density with gaps.

Antibodies and tags never cover a structure evenly. The density of labels follows a smooth random field: its logarithm
is Gaussian with a Gaussian correlation, drawn as a sum of random plane waves (random Fourier features: Rahimi & Recht,
NIPS 2007), which can be asked for anywhere at no cost for the rest of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.checks import require
from dblink_live.simulate.motion import Points

_N_WAVES = 64
_DENSEST = 4.0
"""Density over its mean at which it is cut."""


@dataclass(frozen=True)
class Labelling:
    """Evenness of the labelling. The defaults label evenly."""

    unevenness: float = 0.0
    """Standard deviation of the logarithm of the density of labels."""
    correlation_nm: float = 800.0
    """Over such distances the density changes."""
    gap_share: float = 0.0
    """Share of the structure without any label."""
    gap_nm: float = 300.0
    """Over such distances gaps begin and end."""

    def __post_init__(self) -> None:
        require("unevenness", self.unevenness, 0.0)
        require("gap_share", self.gap_share, 0.0, 1.0)
        for name in ("correlation_nm", "gap_nm"):
            require(name, getattr(self, name), 1.0)

    @property
    def is_even(self) -> bool:
        return self.unevenness == 0.0 and self.gap_share == 0.0

    @property
    def oversampling(self) -> float:
        """Candidates to draw for each label of an even labelling, from which `choose` leaves the wanted density."""
        return 1.0 if self.is_even else _DENSEST

    def choose(self, places_nm: Points, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Return which candidates at ``places_nm`` [N, 2] bear a label: one in `oversampling` outside gaps."""
        if self.is_even:
            return np.ones(len(places_nm), bool)
        field = smooth_field(places_nm, self.correlation_nm, rng)
        # The mean of exp(s f) over a standard normal f is exp(s^2 / 2).
        density = np.exp(self.unevenness * field - 0.5 * self.unevenness**2)
        if self.gap_share > 0:
            bare = NormalDist().inv_cdf(self.gap_share) if self.gap_share < 1 else np.inf
            density[smooth_field(places_nm, self.gap_nm, rng) < bare] = 0.0
        chosen: npt.NDArray[np.bool_] = rng.random(len(places_nm)) * _DENSEST < density
        return chosen


def smooth_field(places_nm: Points, correlation_nm: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A Gaussian random field of mean 0, variance 1 and correlation ``exp(-d^2 / 2 l^2)`` at ``places_nm`` [N, 2]."""
    waves = rng.standard_normal((_N_WAVES, 2)) / correlation_nm
    phases = rng.uniform(0.0, 2 * np.pi, size=_N_WAVES)
    field: npt.NDArray[np.float64] = np.sqrt(2.0 / _N_WAVES) * np.cos(places_nm @ waves.T + phases).sum(axis=1)
    return field
