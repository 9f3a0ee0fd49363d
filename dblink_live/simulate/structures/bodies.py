"""A specimen of star-shaped bodies: their pixels, and places inside them, all bodies at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.motion import Points, turned_back
from dblink_live.simulate.structures.mitochondria import Body
from dblink_live.simulate.structures.raster import Mask
from dblink_live.types import Grid

_Indices = npt.NDArray[np.int64]
_Values = npt.NDArray[np.float64]


class BodySpecimen:
    """Star-shaped bodies, each with its own drift and breathing.

    An outline runs from vertex to vertex with a radius that is linear in the angle. The sector between two vertices is
    the unit of the arrays below: S of them, body after body.
    """

    def __init__(self, grid: Grid, bodies: Sequence[Body]) -> None:
        self.grid = grid
        vertices = np.array([len(body.radius_nm) for body in bodies], np.int64)
        self._n_vertices = vertices
        self._first = np.cumsum(vertices) - vertices  # [B], sector
        self._body = np.repeat(np.arange(len(bodies)), vertices)  # [S]
        number = np.arange(vertices.sum()) - self._first[self._body]
        self._next = self._first[self._body] + (number + 1) % vertices[self._body]  # [S], wraps around
        self._sector_angle = 2 * math.pi / vertices[self._body]
        self._start_angle = number * self._sector_angle
        self._radius = np.concatenate([*(body.radius_nm for body in bodies), np.zeros(0)])
        self._breathing = np.concatenate([*(body.breathing_nm for body in bodies), np.zeros(0)])
        self._breaths = np.concatenate([*(body.breathing_per_frame for body in bodies), np.zeros(0)])
        self._centre = np.array([body.centre_nm for body in bodies]).reshape(-1, 2)
        self._velocity = np.array([body.velocity_nm_per_frame for body in bodies]).reshape(-1, 2)
        self._stop_frame = np.array([body.stop_frame for body in bodies])
        self._reach = np.array([body.reach_nm for body in bodies])[:, None]
        # Area of a sector whose radius goes from r to q over an angle a: a (r^2 + r q + q^2) / 6.
        r, q = self._radius, self._radius[self._next]
        self._area_until = np.cumsum(self._sector_angle * (r**2 + r * q + q**2) / 6)

    def mask_at(self, frame: float) -> Mask:
        height, width = self.grid.shape
        radius = self._radius_at(frame) / self.grid.pitch_nm
        reach = math.ceil(radius.max(initial=0.0)) + 1
        centre = (self._centre_at(frame) - np.asarray(self.grid.origin_nm)) / self.grid.pitch_nm
        corner = np.floor(centre).astype(np.int64)
        near = np.flatnonzero(((corner >= -reach) & (corner < np.asarray(self.grid.shape) + reach)).all(axis=1))
        # A frame around the grid takes what falls beside it.
        padded = np.zeros((height + 4 * reach, width + 4 * reach), bool)
        steps = np.arange(-reach, reach + 1)
        # [N, K, 1] and [N, 1, K]: from the centre of the body to those of the pixels around it. Single precision errs
        # by a millionth of a pixel.
        away = (steps + 0.5 - (centre - corner)[near, :, None]).astype(np.float32)
        dy, dx = away[:, 0, :, None], away[:, 1, None, :]
        body = near[:, None, None]
        turn = np.arctan2(dx, dy) * np.float32(0.5 / math.pi)
        at = (turn - np.floor(turn)) * self._n_vertices[body].astype(np.float32)
        number = np.minimum(at.astype(np.int64), self._n_vertices[body] - 1)
        outline = _outline(radius, self._next, self._first[body] + number, at - number)
        n, i, j = np.nonzero(dy**2 + dx**2 <= outline**2)
        rows, cols = (corner[near] + 2 * reach).T
        padded[rows[n] + steps[i], cols[n] + steps[j]] = True
        return padded[2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]

    def place(self, shares: _Values, frame: float) -> Points:
        if not len(self._centre):
            return np.zeros((0, 2))
        # A sector by its area; the direction in it so that equal areas are swept by equal shares; then the depth.
        area = shares[:, 0] * self._area_until[-1]
        sector = np.minimum(np.searchsorted(self._area_until, area, side="right"), len(self._area_until) - 1)
        r, q = self._radius[sector], self._radius[self._next[sector]]
        at_angle = np.cbrt(r**3 + shares[:, 1] * (q**3 - r**3))
        part = np.where(r == q, shares[:, 1], (at_angle - r) / np.where(r == q, 1.0, q - r))
        depth = np.sqrt(shares[:, 2]) * _outline(self._radius_at(frame), self._next, sector, part)
        angle = self._start_angle[sector] + part * self._sector_angle[sector]
        offset = depth[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        placed: Points = self._centre_at(frame)[self._body[sector]] + offset
        return placed

    def _radius_at(self, frame: float) -> _Values:
        """[S] of the vertices, in nm."""
        moving = np.minimum(frame, self._stop_frame)[self._body]
        radius: _Values = self._radius + self._breathing * np.abs(np.sin(2 * math.pi * self._breaths * moving))
        return radius

    def _centre_at(self, frame: float) -> Points:
        """[B, 2] in nm."""
        way = self._velocity * np.minimum(frame, self._stop_frame)[:, None]
        return self._centre + turned_back(way, self._reach)


def _outline(radius: _Values, following: _Indices, sector: _Indices, part: npt.NDArray[np.floating]) -> _Values:
    """Radius in the direction ``part`` (0 to 1) of each ``sector``."""
    here = radius[sector]
    outline: _Values = here + part * (radius[following[sector]] - here)
    return outline
