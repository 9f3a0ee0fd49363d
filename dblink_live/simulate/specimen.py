"""A living specimen whose truth is known at every frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.simulate.checks import require, require_seed
from dblink_live.simulate.motion import Bending, Frames, JointMotion, Points, RigidMotion
from dblink_live.simulate.structures.bodies import BodySpecimen
from dblink_live.simulate.structures.filaments import draw_network, normals, sample_curve
from dblink_live.simulate.structures.instability import LengthHistory, lengths_at
from dblink_live.simulate.structures.mitochondria import Body, draw_mitochondrion
from dblink_live.simulate.structures.raster import Mask, rasterise
from dblink_live.simulate.structures.reticulum import ReticulumParameters, draw_reticulum
from dblink_live.types import Grid, Shape

AUTHORS_DRIFT_NM = 0.002 * 40.0
"""Largest drift a frame and axis of the released simulator."""
AUTHORS_ROTATION_DEG = 0.0002
"""Its rotation a frame."""
WIDTH_NM = 96.0
"""Width of its filaments once they move: it shifts lines one pixel wide by cubic interpolation and calls structure what
is brighter than 6 %. Their share of the field then grows 1.7-1.95 times, to that of a band 2.4 px wide (measured)."""
REACH_NM = 2000.0
"""Largest drift of a structure in `make_specimen` before it turns back: a live run may last for hours."""
FILAMENTS_PER_UM2 = 0.05
BODIES_PER_UM2 = 0.2
LIVE_FRAME_S = 0.02
"""Time between frames at which a live specimen of speed 25, that of the demonstration, moves as its sources say."""
RETICULUM_SPEED_SHARE = 1 / 25
KINDS = ("filaments", "mitochondria", "er")


class Specimen(Protocol):
    """Structure in a field, as a pure function of the frame number.

    Positions are [N, 2], (y, x) in nm from the field's corner.
    """

    grid: Grid

    def mask_at(self, frame: float) -> Mask:
        """True where the grid pixel holds structure: the truth, bool [H, W]."""
        ...

    def place(self, shares: npt.NDArray[np.float64], frame: float) -> Points:
        """Map random numbers ``shares`` [N, 3] in [0, 1) to places on the structure, which move with it.

        A place on structure that has shrunk away, or has not grown yet, is NaN.
        """
        ...


class FilamentSpecimen:
    """Filaments of a finite width that drift, turn and bend, together or each on its own.

    Parameters
    ----------
    grid
        Of the truth.
    filaments
        Vertices [N, 2] of each.
    motions
        One a filament, or a single one that all share.
    width_nm
        Of each filament with its labels; 0 makes it a line one pixel wide.
    bending
        Comes on top of the motions.
    histories
        How the length of each filament changes, counted from its first vertex; None keeps them whole.
    s_per_frame
        Time between frames, for the histories.
    """

    def __init__(
        self,
        grid: Grid,
        filaments: Sequence[Points],
        motions: Sequence[RigidMotion],
        width_nm: float = WIDTH_NM,
        bending: Bending | None = None,
        histories: Sequence[LengthHistory] | None = None,
        s_per_frame: float = 0.0,
    ) -> None:
        require("width_nm", width_nm, 0.0)
        require("s_per_frame", s_per_frame, 0.0)
        if histories is not None and len(histories) != len(filaments):
            raise ConfigError(f"expected {len(filaments)} histories, one a filament, found {len(histories)}")
        if filaments and len(motions) not in (1, len(filaments)):
            raise ConfigError(f"expected 1 motion or {len(filaments)}, one a filament, found {len(motions)}")
        self.grid = grid
        self._width_nm = width_nm
        # Fine enough that a line has no holes on the grid, and that a band has no ragged edge.
        spacing = grid.pitch_nm / 2 if width_nm >= grid.pitch_nm else grid.pitch_nm / 4
        samples = [sample_curve(vertices, spacing) for vertices in filaments]
        self._samples = np.concatenate([*samples, np.zeros((0, 2))])
        self._normals = np.concatenate([*(normals(points) for points in samples), np.zeros((0, 2))])
        self._owner = np.repeat(np.arange(len(samples)), np.array([len(points) for points in samples], np.int64))
        self._from_start_nm = np.concatenate([*(spacing * np.arange(len(points)) for points in samples), np.zeros(0)])
        self._spacing_nm = spacing
        self._motion = JointMotion(motions, bending)
        self._histories = histories
        self._s_per_frame = s_per_frame

    def mask_at(self, frame: float) -> Mask:
        points, owner = self._samples, self._owner
        if self._histories is not None:
            is_there = self._is_there(np.arange(len(points)), frame)
            points, owner = points[is_there], owner[is_there]
        return rasterise(self._motion.apply(points, owner, frame), self.grid, self._width_nm)

    def place(self, shares: npt.NDArray[np.float64], frame: Frames) -> Points:
        if not len(self._samples):
            return np.zeros((0, 2))
        chosen = (shares[:, 0] * len(self._samples)).astype(np.int64)
        across = self._normals[chosen]
        along = np.stack([-across[:, 1], across[:, 0]], axis=1)
        placed = self._samples[chosen]
        placed += across * (self._width_nm * (shares[:, 1:2] - 0.5))
        placed += along * (self._spacing_nm * (shares[:, 2:3] - 0.5))
        if self._histories is not None:
            placed[~self._is_there(chosen, frame)] = np.nan
        return self._motion.apply(placed, self._owner[chosen], frame)

    def _is_there(self, samples: npt.NDArray[np.int64], frame: Frames) -> npt.NDArray[np.bool_]:
        """Which of these ``samples`` [N] lie on the part that their filament has grown to at ``frame``, one or [N]."""
        frames, which = np.unique(frame, return_inverse=True)
        lengths = np.stack([lengths_at(self._histories or (), one * self._s_per_frame) for one in frames])
        there: npt.NDArray[np.bool_] = self._from_start_nm[samples] < lengths[which, self._owner[samples]]
        return there


def make_specimen(
    kind: str, camera_shape: Shape, pixel_size_nm: float, pitch_nm: float, seed: int, speed: float = 1.0
) -> Specimen:
    """A specimen that fills a camera's field, on the grid that covers it, and stays there however long one looks.

    Parameters
    ----------
    kind
        "filaments", "mitochondria" or "er".
    speed
        Multiple of the released simulator's velocities, which hardly move. At 25 and 50 frames per second the
        endoplasmic reticulum moves as its sources say.

    Raises
    ------
    ConfigError
        Unknown kind, or a negative speed or seed.
    """
    if kind not in KINDS:
        raise ConfigError(f"expected a specimen among {', '.join(KINDS)}, found {kind!r}")
    require("speed", speed, 0.0)
    require_seed(seed)
    rng = np.random.default_rng([seed, 1])
    grid = Grid.covering(camera_shape, pixel_size_nm, pitch_nm)
    field_nm = (camera_shape.height * pixel_size_nm, camera_shape.width * pixel_size_nm)
    if kind == "mitochondria":
        n_bodies = max(1, round(BODIES_PER_UM2 * field_nm[0] * field_nm[1] * 1e-6))
        return BodySpecimen(grid, [_draw_lasting_body(rng, field_nm, speed) for _ in range(n_bodies)])
    centre = (field_nm[0] / 2, field_nm[1] / 2)
    while True:
        specimen: Specimen
        if kind == "er":
            # It covers the field and its surroundings, whose corners a turn would bring in.
            motion = replace(_draw_motion(rng, centre, speed), rotation_deg_per_frame=0.0)
            s_per_frame = LIVE_FRAME_S * RETICULUM_SPEED_SHARE * speed
            specimen = draw_reticulum(rng, grid, field_nm, REACH_NM, ReticulumParameters(), s_per_frame, motion)
        else:
            filaments = draw_network(rng, field_nm, margin_nm=REACH_NM, filaments_per_um2=FILAMENTS_PER_UM2)
            specimen = FilamentSpecimen(grid, filaments, [_draw_motion(rng, centre, speed) for _ in filaments])
        # A small field may lie between the lines, and there would be nothing to see.
        if specimen.mask_at(0).any():
            return specimen


def _draw_lasting_body(rng: np.random.Generator, field_nm: tuple[float, float], speed: float) -> Body:
    """A body anywhere in the field, at a fifth of the released speed: those bodies leave the field within a minute."""
    centre = rng.uniform(0.0, field_nm)
    body = draw_mitochondrion(rng, field_nm, speed * 0.2)
    return replace(body, centre_nm=(float(centre[0]), float(centre[1])), stop_frame=math.inf, reach_nm=REACH_NM)


def _draw_motion(rng: np.random.Generator, centre_nm: tuple[float, float], speed: float) -> RigidMotion:
    velocity = rng.uniform(-AUTHORS_DRIFT_NM, AUTHORS_DRIFT_NM, size=2) * speed
    return RigidMotion(
        velocity_nm_per_frame=(float(velocity[0]), float(velocity[1])),
        rotation_deg_per_frame=AUTHORS_ROTATION_DEG * speed * rng.uniform(-1.0, 1.0),
        centre_nm=centre_nm,
        reach_nm=REACH_NM,
    )
