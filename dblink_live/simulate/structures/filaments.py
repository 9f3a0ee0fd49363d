"""Filaments as persistent random walks, after Shariff et al., Cytometry A 77, 457 (2010).

A filament starts anywhere in the field in a random direction and takes steps of 0.5-0.75 um, each turned by a uniform
angle of at most acos(collinearity), until it has its length of 10-15 um or leaves the field. The numbers are those of
DBlink's released simulator (Saguy et al., 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dblink_live.simulate.motion import Points

ASIDE_PX = np.arange(-5, 6)
"""Steps of 40 nm, in y and x, by which the released simulator sets a parallel filament aside..."""
ASIDE_PROBABILITY = (0.05, 0.05, 0.05, 0.1, 0.25, 0.0, 0.25, 0.1, 0.05, 0.05, 0.05)
"""...and how often."""


@dataclass(frozen=True)
class FilamentParameters:
    """Geometry of one filament."""

    step_nm: tuple[float, float] = (500.0, 750.0)
    length_nm: tuple[float, float] = (10_000.0, 15_000.0)
    collinearity: float = 0.85
    """Cosine of the largest turn a step."""


def draw_filament(
    rng: np.random.Generator, low_nm: float, high_nm: tuple[float, float], parameters: FilamentParameters | None = None
) -> Points:
    """Vertices [N, 2] of one filament, cut where it leaves [``low_nm``, ``high_nm``) in y or x; at least its start."""
    parameters = parameters or FilamentParameters()
    high = np.asarray(high_nm)
    position = rng.uniform(low_nm, high)
    direction = rng.uniform(0.0, 2 * math.pi)
    wanted = rng.uniform(*parameters.length_nm)
    widest_turn = math.acos(parameters.collinearity)
    vertices, length = [position], 0.0
    while length <= wanted:
        direction += rng.uniform(-widest_turn, widest_turn)
        step = rng.uniform(*parameters.step_nm)
        position = position + step * np.array([math.sin(direction), math.cos(direction)])
        length += step
        if np.any(position < low_nm) or np.any(position >= high):
            break
        vertices.append(position)
    return np.array(vertices)


def draw_authors_field(
    rng: np.random.Generator, field_nm: tuple[float, float], border_nm: float = 160.0
) -> list[Points]:
    """Filaments of one field as the released simulator draws them.

    Candidates are drawn until one starts within ``border_nm`` of the field's edge, about seven on average; one field
    in twenty repeats its last filament a few fine pixels aside.
    """
    filaments: list[Points] = []
    high = np.asarray(field_nm)
    largest = max(2, round(max(field_nm) / 40.0))
    for _ in range(int(rng.integers(1, largest))):
        start = rng.uniform(0.0, high)
        if np.any(start < border_nm) or np.any(start >= high - border_nm):
            break
        filament = draw_filament(rng, border_nm, field_nm)
        if len(filament) > 1:
            filaments.append(filament)
    if filaments and rng.random() < 0.05:
        filaments.append(filaments[-1] + 40.0 * rng.choice(ASIDE_PX, size=2, p=ASIDE_PROBABILITY))
    return filaments


def draw_network(
    rng: np.random.Generator, field_nm: tuple[float, float], margin_nm: float, filaments_per_um2: float
) -> list[Points]:
    """Filaments that cross a field and reach beyond it, so that what drifts out is followed by what drifts in."""
    height, width = (side + 2 * margin_nm for side in field_nm)
    n_filaments = int(rng.poisson(filaments_per_um2 * height * width * 1e-6))
    high = (field_nm[0] + margin_nm, field_nm[1] + margin_nm)
    drawn = [draw_filament(rng, -margin_nm, high) for _ in range(n_filaments)]
    return [filament for filament in drawn if len(filament) > 1]


def sample_curve(vertices: Points, spacing_nm: float) -> Points:
    """Points [M, 2] at equal ``spacing_nm`` along a polyline."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(vertices, axis=0).T))])
    at = np.arange(0.0, lengths[-1], spacing_nm)
    return np.column_stack([np.interp(at, lengths, vertices[:, axis]) for axis in (0, 1)])


def normals(points_nm: Points) -> Points:
    """Unit vectors [M, 2] across a curve at each of its ``points_nm`` [M, 2]; a lone point gets (1, 0)."""
    if len(points_nm) < 2:
        return np.tile([1.0, 0.0], (len(points_nm), 1))
    along = np.gradient(points_nm, axis=0)
    across: Points = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    return across
