"""Mitochondria-like bodies: star-shaped outlines that drift and wobble.

The numbers are those of DBlink's released simulator (Saguy et al., 2023), on its grid of 40 nm: 30-50 vertices at a
radius of 2-5 px plus two lobes ``A |sin(angle + phase)|^20`` of up to 17 px, drift of up to 0.05 px a frame, and
up to half of the vertices breathing by 3 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT_NM = 40.0
"""Fine pixel of the released simulator, in which its numbers are given."""
MAX_RADIUS_PX = 21


@dataclass(frozen=True)
class Body:
    """One star-shaped body. Angles are counted from y towards x; between vertices the radius is linear in the angle."""

    centre_nm: tuple[float, float]
    velocity_nm_per_frame: tuple[float, float]
    radius_nm: npt.NDArray[np.float64]
    """[V] radius at equally spaced angles."""
    breathing_nm: npt.NDArray[np.float64]
    """[V] amplitude by which each vertex moves out."""
    breathing_per_frame: npt.NDArray[np.float64]
    """[V] frequency of that movement."""
    stop_frame: float = math.inf
    """Drift and breathing end here."""
    reach_nm: float = math.inf
    """The drift turns back whenever it has gone this far along y or x."""


def draw_mitochondrion(rng: np.random.Generator, field_nm: tuple[float, float], speed: float) -> Body:
    """One body with its own drift, of ``speed`` times the released simulator's velocities."""
    n_vertices = int(rng.integers(30, 50))
    angle = np.arange(n_vertices) * 2 * np.pi / n_vertices
    lobe = int(rng.integers(MAX_RADIUS_PX // 2, MAX_RADIUS_PX - 3))
    radius_px = rng.integers(2, 6) + lobe * np.abs(np.sin(angle + np.pi * rng.random())) ** 20
    breathing_px = np.zeros(n_vertices)
    breathing_px[rng.integers(0, n_vertices, size=int(rng.integers(0, n_vertices // 2)))] = 3.0
    max_nm = MAX_RADIUS_PX * UNIT_NM
    # The released simulator places the corner of a patch whose centre lies R to the lower right.
    corner = rng.uniform(0.0, np.maximum(np.asarray(field_nm) - max_nm, 1.0))
    velocity = speed * UNIT_NM * rng.uniform(-0.05, 0.05, size=2)
    # It also stops a body when that corner reaches the upper or left border of the field.
    inwards = np.maximum(-velocity, 1e-12)
    return Body(
        centre_nm=(float(corner[0] + max_nm), float(corner[1] + max_nm)),
        stop_frame=float((corner / inwards).min()),
        velocity_nm_per_frame=(float(velocity[0]), float(velocity[1])),
        radius_nm=np.asarray(radius_px * UNIT_NM, np.float64),
        breathing_nm=breathing_px * UNIT_NM,
        breathing_per_frame=rng.uniform(-0.01, 0.01, size=n_vertices),
    )


def draw_blob(rng: np.random.Generator, field_nm: tuple[float, float], speed: float) -> Body:
    """A compact body of 60-300 nm radius: neither filament nor mitochondrion, to keep a prior honest."""
    n_vertices = 40
    angle = np.arange(n_vertices) * 2 * np.pi / n_vertices
    shape = 1.0 + 0.3 * np.sin(angle * rng.integers(1, 4) + rng.uniform(0.0, 2 * np.pi))
    centre = rng.uniform(0.0, field_nm)
    velocity = speed * UNIT_NM * rng.uniform(-0.05, 0.05, size=2)
    return Body(
        centre_nm=(float(centre[0]), float(centre[1])),
        velocity_nm_per_frame=(float(velocity[0]), float(velocity[1])),
        radius_nm=np.asarray(rng.uniform(60.0, 300.0) * shape, np.float64),
        breathing_nm=np.zeros(n_vertices),
        breathing_per_frame=np.zeros(n_vertices),
    )
