"""A living specimen whose truth is known at every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.simulate.filaments import draw_network, sample_curve
from dblink_live.simulate.mitochondria import Body, draw_mitochondrion
from dblink_live.simulate.motion import Points, RigidMotion
from dblink_live.types import Grid, Shape

Mask = npt.NDArray[np.bool_]

AUTHORS_DRIFT_NM = 0.002 * 40.0
"""Largest drift a frame and axis of the released simulator."""
AUTHORS_ROTATION_DEG = 0.0002
"""Its rotation a frame."""
KINDS = ("filaments", "mitochondria")


class Specimen(Protocol):
    """Structure in a field, as a pure function of the frame number. Positions are [N, 2], (y, x) in nm from the
    field's corner."""

    grid: Grid

    def mask_at(self, frame: float) -> Mask:
        """True where the grid pixel holds structure: the truth, bool [H, W]."""
        ...

    def place(self, shares: npt.NDArray[np.float64], frame: float) -> Points:
        """Map random numbers ``shares`` [N, 3] in [0, 1) to places on the structure, which move with it."""
        ...

    def size_at_rest(self) -> float:
        """Curve length in um, or area in um^2: what the number of labels is proportional to."""
        ...


class FilamentSpecimen:
    """Filaments that drift and turn, together or each on its own."""

    def __init__(self, grid: Grid, filaments: Sequence[Points], motions: Sequence[RigidMotion]) -> None:
        self.grid = grid
        self._motions = motions
        spacing = grid.pitch_nm / 4  # fine enough that a line has no holes on the grid
        samples = [sample_curve(vertices, spacing) for vertices in filaments]
        self._samples = np.concatenate(samples) if samples else np.zeros((0, 2))
        self._owner = (
            np.repeat(np.arange(len(samples)), [len(s) for s in samples]) if samples else np.zeros(0, np.int64)
        )
        self._spacing_nm = spacing

    def mask_at(self, frame: float) -> Mask:
        moved = self._moved(self._samples, self._owner, frame)
        return rasterise(moved, self.grid)

    def place(self, shares: npt.NDArray[np.float64], frame: float) -> Points:
        if not len(self._samples):
            return np.zeros((0, 2))
        chosen = (shares[:, 0] * len(self._samples)).astype(np.int64)
        return self._moved(self._samples[chosen], self._owner[chosen], frame)

    def size_at_rest(self) -> float:
        return len(self._samples) * self._spacing_nm * 1e-3

    def _moved(self, points: Points, owner: npt.NDArray[np.int64], frame: float) -> Points:
        if len(self._motions) == 1:
            return self._motions[0].apply(points, frame)
        moved = np.empty_like(points)
        for index, motion in enumerate(self._motions):
            mine = owner == index
            moved[mine] = motion.apply(points[mine], frame)
        return moved


class BodySpecimen:
    """Star-shaped bodies, each with its own drift."""

    def __init__(self, grid: Grid, bodies: Sequence[Body]) -> None:
        self.grid = grid
        self._bodies = bodies
        areas = np.array([0.5 * np.mean(body.radius_nm**2) * 2 * np.pi for body in bodies])
        self._cumulative_area = np.cumsum(areas)

    def mask_at(self, frame: float) -> Mask:
        mask = np.zeros(self.grid.shape, bool)
        for body in self._bodies:
            _fill(mask, body, frame, self.grid)
        return mask

    def place(self, shares: npt.NDArray[np.float64], frame: float) -> Points:
        if not self._bodies:
            return np.zeros((0, 2))
        owner = np.searchsorted(self._cumulative_area, shares[:, 0] * self._cumulative_area[-1], side="right")
        placed = np.empty((len(shares), 2))
        for index in np.unique(owner):
            mine = owner == index
            placed[mine] = self._bodies[index].place(shares[mine, 1:], frame)
        return placed

    def size_at_rest(self) -> float:
        return float(self._cumulative_area[-1]) * 1e-6 if self._bodies else 0.0


def make_specimen(
    kind: str, camera_shape: Shape, pixel_size_nm: float, pitch_nm: float, seed: int, speed: float = 1.0
) -> Specimen:
    """A specimen that fills a camera's field, on the grid that covers it.

    Parameters
    ----------
    kind
        "filaments" or "mitochondria".
    speed
        Multiple of the released simulator's velocities, which hardly move.

    Raises
    ------
    ConfigError
        Unknown kind, or a negative speed.
    """
    if kind not in KINDS:
        raise ConfigError(f"expected a specimen among {', '.join(KINDS)}, found {kind!r}")
    if not speed >= 0:
        raise ConfigError(f"expected a speed of 0 or more, found {speed}")
    rng = np.random.default_rng([seed, 1])
    grid = Grid.covering(camera_shape, pixel_size_nm, pitch_nm)
    field_nm = (camera_shape.height * pixel_size_nm, camera_shape.width * pixel_size_nm)
    if kind == "mitochondria":
        n_bodies = max(1, round(0.2 * field_nm[0] * field_nm[1] * 1e-6))
        return BodySpecimen(grid, [draw_mitochondrion(rng, field_nm, speed * 0.2) for _ in range(n_bodies)])
    filaments = draw_network(rng, field_nm, margin_nm=2000.0, filaments_per_um2=0.05)
    centre = (field_nm[0] / 2, field_nm[1] / 2)
    motions = [_draw_motion(rng, centre, speed) for _ in filaments]
    return FilamentSpecimen(grid, filaments, motions)


def _draw_motion(rng: np.random.Generator, centre_nm: tuple[float, float], speed: float) -> RigidMotion:
    velocity = rng.uniform(-AUTHORS_DRIFT_NM, AUTHORS_DRIFT_NM, size=2) * speed
    return RigidMotion(
        (float(velocity[0]), float(velocity[1])), AUTHORS_ROTATION_DEG * speed * rng.uniform(-1.0, 1.0), centre_nm
    )


def rasterise(points_nm: Points, grid: Grid) -> Mask:
    """Grid pixels that hold at least one of ``points_nm`` [N, 2]; points outside the grid are dropped."""
    index = np.floor((points_nm - np.asarray(grid.origin_nm)) / grid.pitch_nm).astype(np.int64)
    inside = ((index >= 0) & (index < np.asarray(grid.shape))).all(axis=1)
    mask = np.zeros(grid.shape, bool)
    rows, cols = index[inside].T
    mask[rows, cols] = True
    return mask


def _fill(mask: Mask, body: Body, frame: float, grid: Grid) -> None:
    """Set the pixels of ``mask`` whose centre lies inside ``body``."""
    centre = (body.centre_at(frame) - np.asarray(grid.origin_nm)) / grid.pitch_nm
    reach = float((body.radius_nm + body.breathing_nm).max()) / grid.pitch_nm + 1
    low = np.clip(np.floor(centre - reach), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(centre + reach), 0, grid.shape).astype(int)
    if (low >= high).any():
        return
    dy = np.arange(low[0], high[0])[:, None] + 0.5 - centre[0]
    dx = np.arange(low[1], high[1])[None, :] + 0.5 - centre[1]
    inside = np.hypot(dy, dx) * grid.pitch_nm <= body.outline_at(np.arctan2(dx, dy), frame)
    mask[low[0] : high[0], low[1] : high[1]] |= inside
