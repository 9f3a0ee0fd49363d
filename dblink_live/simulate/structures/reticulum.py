"""A living endoplasmic reticulum: tubules between junctions that wander, slide along each other, grow and retract.

What moves, after Lee & Chen (Cell 54, 37, 1988) and Waterman-Storer & Salmon (Current Biology 8, 798, 1998): tubules
branch off and grow along microtubules until they meet another one and fuse with it, or retract; junctions slide along
tubules and so open and close polygons. Tubules are 88 nm wide and bend with a persistence length of 3-5 um (Georgiades
et al., Scientific Reports 7, 16474, 2017). Growing tips ride on growing microtubules or on motors, so they go at the
speed of one or a little faster. The other speeds and shares are choices, not measurements.

Everything is a closed function of time, so that any process can compute the truth of any frame: wandering is a sum of
sines, and a tubule that grows and retracts repeats its own cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.checks import require
from dblink_live.simulate.motion import JointMotion, Points, RigidMotion
from dblink_live.simulate.structures.raster import Mask, rasterise
from dblink_live.simulate.structures.tubules import TubulePlan, draw_plan
from dblink_live.types import Grid

_Values = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]

_N_WAVES = 3
_SLIDE = 0.35
"""Share of its host by which an end slides to either side of the middle."""
_STRETCH = 1.5
"""Largest stretch of a tubule without holes between its samples."""


@dataclass(frozen=True)
class ReticulumParameters:
    """Geometry in nm, speeds in nm/s."""

    spacing_nm: float = 1400.0
    """Mean distance between the middles of neighbouring polygons; tubules are about two thirds of it long."""
    open_share: float = 0.1
    """Share of the tubules that a tessellation would have and the network lacks."""
    side_share: float = 0.5
    """Share of the polygons that a sliding tubule spans."""
    growing_share: float = 0.5
    """Share of these that also grow and retract."""
    width_nm: float = 88.0
    wander_nm: float = 80.0
    """Standard deviation along each axis of a junction about its place at rest."""
    wander_nm_per_s: float = 30.0
    """Root mean square of its speed along each axis."""
    bow_share: float = 0.06
    """Standard deviation of a tubule's sag, as a share of its length."""
    slide_nm_per_s: float = 40.0
    """Root mean square speed of an end that slides along its host."""
    growth_nm_per_s: float = 250.0
    """Of a tip that grows."""
    retraction_nm_per_s: float = 400.0
    pause_s: float = 6.0
    """Mean time that a growing tubule stays out, and that it stays in."""

    def __post_init__(self) -> None:
        for name in ("open_share", "side_share", "growing_share", "bow_share"):
            require(name, getattr(self, name), 0.0, 1.0)
        for name in ("width_nm", "wander_nm_per_s", "slide_nm_per_s", "pause_s"):
            require(name, getattr(self, name), 0.0)
        for name, low in (
            ("spacing_nm", 200.0),
            ("wander_nm", 0.1),
            ("growth_nm_per_s", 0.1),
            ("retraction_nm_per_s", 0.1),
        ):
            require(name, getattr(self, name), low)


class ReticulumSpecimen:
    """A network of tubules, as a `dblink_live.simulate.specimen.Specimen`.

    Parameters
    ----------
    grid
        Of the truth.
    plan
        Which tubules there are.
    rng
        Draws how each of them moves.
    s_per_frame
        Time between frames; a larger one shows a faster network.
    motion
        Of the network as a whole, on top.
    """

    def __init__(
        self,
        grid: Grid,
        plan: TubulePlan,
        parameters: ReticulumParameters,
        rng: np.random.Generator,
        s_per_frame: float,
        motion: RigidMotion,
    ) -> None:
        require("s_per_frame", s_per_frame, 0.0)
        self.grid = grid
        self.plan = plan
        self._parameters = parameters
        self._s_per_frame = s_per_frame
        self._motion = JointMotion([motion])
        n_edges, n_sides = len(plan.ends), len(plan.hosts)
        self._wander = _Waves.draw(rng, (len(plan.junctions_nm), 2), parameters.wander_nm, parameters.wander_nm_per_s)
        # Two modes of bending: a bow, and an S of half its size. They change as fast as the junctions move.
        turn = parameters.wander_nm_per_s / parameters.wander_nm
        self._bow = _Waves.draw(rng, (n_edges + n_sides, 2), 1.0, turn)
        self._slide = rng.uniform(0.0, 2 * math.pi, size=(n_sides, 2))
        self._hosts_length = self._rest_lengths(plan.ends)[plan.hosts]  # [S, 2]
        self._cycles = _GrowthCycles.draw(rng, n_sides, parameters)
        self._lengths = self._all_lengths()
        self._tubule, self._along = self._sample()

    def mask_at(self, frame: float) -> Mask:
        points, _ = self._curve(self._tubule, self._along, frame)
        points = points[self._is_there(self._tubule, self._along, frame)]
        owner = np.zeros(len(points), np.int64)
        return rasterise(self._motion.apply(points, owner, frame), self.grid, self._parameters.width_nm)

    def place(self, shares: npt.NDArray[np.float64], frame: float) -> Points:
        if not len(self._tubule):
            return np.zeros((0, 2))
        chosen = (shares[:, 0] * len(self._tubule)).astype(np.int64)
        tubule = self._tubule[chosen]
        along = self._along[chosen] + (shares[:, 2] - 0.5) / self._n_samples[tubule]
        points, across = self._curve(tubule, along, frame)
        points += across * (self._parameters.width_nm * (shares[:, 1:2] - 0.5))
        points[~self._is_there(tubule, along, frame)] = np.nan
        return self._motion.apply(points, np.zeros(len(points), np.int64), frame)

    def _all_lengths(self) -> _Values:
        """[E + S] in nm at rest, where side tubules span between the middles of their hosts."""
        middles = self.plan.junctions_nm[self.plan.ends].mean(axis=1)[self.plan.hosts]  # [S, 2, 2]
        across = middles[:, 1] - middles[:, 0]
        return np.concatenate([self._rest_lengths(self.plan.ends), np.hypot(across[:, 0], across[:, 1])])

    def _sample(self) -> tuple[_Indices, _Values]:
        """Number of the tubule [N], and the share of its length [N], of points along all tubules."""
        spacing = _spacing_nm(self.grid, self._parameters.width_nm)
        self._n_samples = np.ceil(_STRETCH * self._lengths / spacing).astype(np.int64)
        tubule = np.repeat(np.arange(len(self._lengths)), self._n_samples)
        number = np.arange(len(tubule)) - (np.cumsum(self._n_samples) - self._n_samples)[tubule]
        return tubule, (number + 0.5) / self._n_samples[tubule]

    def _rest_lengths(self, ends: _Indices) -> _Values:
        between = self.plan.junctions_nm[ends[:, 1]] - self.plan.junctions_nm[ends[:, 0]]
        return np.hypot(between[:, 0], between[:, 1])

    def _curve(self, tubule: _Indices, along: _Values, frame: float) -> tuple[Points, Points]:
        """Points [N, 2] and unit vectors across [N, 2] of the tubules at ``along`` (0 to 1) of their length."""
        seconds = frame * self._s_per_frame
        junctions = self.plan.junctions_nm + self._wander.at(seconds)
        bow = self._bow.at(seconds) * self._parameters.bow_share * np.array([1.0, 0.5])
        n_edges = len(self.plan.ends)
        start, stop = junctions[self.plan.ends[:, 0]], junctions[self.plan.ends[:, 1]]  # [E, 2]
        if len(self.plan.hosts):
            reach = np.maximum(_SLIDE * self._hosts_length, 1.0)
            turn = math.sqrt(2.0) * self._parameters.slide_nm_per_s / reach
            share = 0.5 + _SLIDE * np.sin(turn * seconds + self._slide)
            anchors = [
                _bent(start[host], stop[host], bow[:n_edges][host], share[:, side])[0]
                for side, host in enumerate(self.plan.hosts.T)
            ]
            start, stop = np.concatenate([start, anchors[0]]), np.concatenate([stop, anchors[1]])
        return _bent(start[tubule], stop[tubule], bow[tubule], along)

    def _is_there(self, tubule: _Indices, along: _Values, frame: float) -> npt.NDArray[np.bool_]:
        """False on the part of a growing tubule that is not out."""
        n_edges = len(self.plan.ends)
        out = self._cycles.at(frame * self._s_per_frame, self._lengths[n_edges:])
        grown = np.concatenate([np.ones(n_edges), out])
        there: npt.NDArray[np.bool_] = along <= grown[tubule]
        return there


def _spacing_nm(grid: Grid, width_nm: float) -> float:
    """Of samples on a tubule: fine enough that a line has no holes, and that a band has no ragged edge."""
    return 0.75 * grid.pitch_nm if width_nm >= 2 * grid.pitch_nm else 0.25 * grid.pitch_nm


def draw_reticulum(
    rng: np.random.Generator,
    grid: Grid,
    field_nm: tuple[float, float],
    margin_nm: float,
    parameters: ReticulumParameters,
    s_per_frame: float,
    motion: RigidMotion,
) -> ReticulumSpecimen:
    """A reticulum that covers a field and ``margin_nm`` around it, so that drift never shows its end."""
    plan = draw_plan(rng, field_nm, margin_nm, parameters.spacing_nm, parameters.open_share, parameters.side_share)
    return ReticulumSpecimen(grid, plan, parameters, rng, s_per_frame, motion)


def _bent(start: Points, stop: Points, bow: _Values, along: _Values) -> tuple[Points, Points]:
    """Points [N, 2] from ``start`` to ``stop`` with a sag of ``bow`` [N, 2], in shares of the length; and normals."""
    between = stop - start
    across = np.stack([between[:, 1], -between[:, 0]], axis=1)
    angle = math.pi * along
    sag = bow[:, 0] * np.sin(angle) + bow[:, 1] * np.sin(2 * angle)
    points = start + along[:, None] * between + sag[:, None] * across
    length = np.maximum(np.hypot(*between.T), 1e-9)
    return points, across / length[:, None]


@dataclass(frozen=True)
class _Waves:
    """Numbers that wander about 0 as sums of sines."""

    amplitude: float
    turn_per_s: npt.NDArray[np.float64]
    """[..., K]"""
    phase: npt.NDArray[np.float64]
    """[..., K]"""

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...], spread: float, speed: float) -> _Waves:
        """Of standard deviation ``spread`` and root mean square speed ``speed``."""
        turn = rng.uniform(0.2, 1.6, size=(*shape, _N_WAVES))
        # The mean square of a uniform number in [a, b] is (a^2 + a b + b^2) / 3.
        turn *= speed / spread / math.sqrt((0.2**2 + 0.2 * 1.6 + 1.6**2) / 3)
        return cls(spread * math.sqrt(2.0 / _N_WAVES), turn, rng.uniform(0.0, 2 * math.pi, size=turn.shape))

    def at(self, seconds: float) -> _Values:
        """Return the value [...] at that time."""
        total: _Values = self.amplitude * np.sin(self.turn_per_s * seconds + self.phase).sum(axis=-1)
        return total


@dataclass(frozen=True)
class _GrowthCycles:
    """Return the extension of side tubules [S]: they grow, stay, retract and wait in cycles."""

    grows: npt.NDArray[np.bool_]
    farthest: _Values
    """Share of the way to the other side that each reaches; 1 meets it and fuses."""
    stays_s: _Values
    waits_s: _Values
    offset: _Values
    """Share of its cycle that each is ahead."""
    growth_nm_per_s: float
    retraction_nm_per_s: float

    @classmethod
    def draw(cls, rng: np.random.Generator, n_sides: int, parameters: ReticulumParameters) -> _GrowthCycles:
        # Half of the tips meet the other side; the others turn back on their way.
        fuses = rng.random(n_sides) < 0.5
        return cls(
            grows=rng.random(n_sides) < parameters.growing_share,
            farthest=np.where(fuses, 1.0, rng.uniform(0.3, 0.9, size=n_sides)),
            stays_s=parameters.pause_s * rng.uniform(0.2, 1.8, size=n_sides),
            waits_s=parameters.pause_s * rng.uniform(0.2, 1.8, size=n_sides),
            offset=rng.random(n_sides),
            growth_nm_per_s=parameters.growth_nm_per_s,
            retraction_nm_per_s=parameters.retraction_nm_per_s,
        )

    def at(self, seconds: float, lengths_nm: _Values) -> _Values:
        """[S] share of each side tubule of ``lengths_nm`` that is out."""
        way = self.farthest * lengths_nm
        growing_s = way / self.growth_nm_per_s
        retracting_s = way / self.retraction_nm_per_s
        period = growing_s + self.stays_s + retracting_s + self.waits_s
        now = np.mod(seconds + self.offset * period, np.maximum(period, 1e-9))
        left_s = growing_s + self.stays_s + retracting_s - now
        out = np.clip(np.minimum(now * self.growth_nm_per_s, left_s * self.retraction_nm_per_s), 0.0, way)
        share: _Values = np.where(self.grows, out / np.maximum(lengths_nm, 1e-9), 1.0)
        return share
