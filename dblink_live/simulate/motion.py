"""Motion of structures as pure functions of the frame number: any process can compute the truth of any frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""[N, 2]: y and x in nm from the outer corner of the field."""
Frames = float | npt.NDArray[np.float64]
"""One frame number for all points, or one per point [N]."""


@dataclass(frozen=True)
class RigidMotion:
    """Drift at constant velocity and rotation at constant rate about a centre.

    Parameters
    ----------
    velocity_nm_per_frame
        (y, x).
    rotation_deg_per_frame
        Positive turns y towards x.
    centre_nm
        (y, x) of the centre of rotation, usually that of the field.
    reach_nm
        The drift turns back whenever it has gone this far along y or x, so that a specimen stays in view however long
        one looks; never, by default.
    """

    velocity_nm_per_frame: tuple[float, float]
    rotation_deg_per_frame: float
    centre_nm: tuple[float, float]
    reach_nm: float = math.inf

    def apply(self, points_nm: Points, frame: float) -> Points:
        """Return the positions at ``frame`` of ``points_nm`` [N, 2], given at frame 0."""
        return JointMotion([self]).apply(points_nm, np.zeros(len(points_nm), np.int64), frame)


@dataclass(frozen=True)
class Bending:
    """Gentle swaying: a few plane waves that run through the specimen and carry its points along.

    Neighbouring points move almost alike, so that structure bends and never tears.
    """

    amplitude_nm: npt.NDArray[np.float64]
    """[K, 2] largest displacement in (y, x) of each wave."""
    wave_per_nm: npt.NDArray[np.float64]
    """[K, 2] wave vector in radian/nm."""
    turn_per_frame: npt.NDArray[np.float64]
    """[K] radian a frame."""
    phase: npt.NDArray[np.float64]
    """[K] radian."""

    def displacement(self, points_nm: Points, frame: Frames) -> Points:
        """By how much each of ``points_nm`` [N, 2] is displaced at ``frame``, one for all or one per point [N]."""
        turned = self.turn_per_frame * np.asarray(frame)[..., None] + self.phase
        waves = np.sin(points_nm @ self.wave_per_nm.T + turned)
        displaced: Points = waves @ self.amplitude_nm
        return displaced


class JointMotion:
    """The motions of many structures, applied to all of their points at once.

    Parameters
    ----------
    motions
        One a structure, or a single one that all share.
    bending
        Comes on top of them, in the field's own coordinates.
    """

    def __init__(self, motions: Sequence[RigidMotion], bending: Bending | None = None) -> None:
        self._is_shared = len(motions) == 1
        self._velocity = np.array([motion.velocity_nm_per_frame for motion in motions]).reshape(-1, 2)
        self._rate = np.deg2rad([motion.rotation_deg_per_frame for motion in motions])
        self._centre = np.array([motion.centre_nm for motion in motions]).reshape(-1, 2)
        self._reach = np.array([motion.reach_nm for motion in motions])[:, None]
        self._bending = bending

    def apply(self, points_nm: Points, owner: npt.NDArray[np.int64], frame: Frames) -> Points:
        """Return where ``points_nm`` [N, 2] are at ``frame``, one for all or one per point [N].

        ``owner`` [N] says which structure each point belongs to.
        """
        frames = np.asarray(frame, np.float64)
        # Of one frame for all: angles and shifts per structure, which are then looked up; else per point.
        of = owner if frames.ndim and not self._is_shared else slice(None)
        angle = self._rate[of] * frames
        cos, sin = np.cos(angle), np.sin(angle)
        reach = np.broadcast_to(self._reach, self._velocity.shape)[of]
        centre = self._centre[of]
        shift = centre + turned_back(self._velocity[of] * frames[..., None], reach)
        if not frames.ndim and not self._is_shared:
            cos, sin, centre, shift = cos[owner], sin[owner], centre[owner], shift[owner]
        y, x = (points_nm - centre).T
        moved: Points = np.stack([y * cos - x * sin, y * sin + x * cos], axis=1) + shift
        return moved if self._bending is None else moved + self._bending.displacement(moved, frame)


def turned_back(way_nm: npt.NDArray[np.float64], reach_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fold a ``way_nm`` so that it runs to and fro within +-``reach_nm``; an infinite reach leaves it as it is."""
    reach = np.broadcast_to(reach_nm, way_nm.shape)
    finite = np.isfinite(reach)
    folded = way_nm.copy()
    there = reach[finite]
    folded[finite] = there - np.abs(np.mod(way_nm[finite] + there, 4 * there) - 2 * there)
    return folded


def draw_bending(rng: np.random.Generator, amplitude_nm: float, period_frames: float) -> Bending:
    """Three waves of 4-10 um that together displace by about ``amplitude_nm`` and take ``period_frames`` or longer."""
    n_waves = 3
    direction = rng.uniform(0.0, 2 * math.pi, size=n_waves)
    number = 2 * math.pi / rng.uniform(4_000.0, 10_000.0, size=n_waves)
    towards = rng.uniform(0.0, 2 * math.pi, size=n_waves)
    return Bending(
        amplitude_nm=amplitude_nm / math.sqrt(n_waves) * np.stack([np.sin(towards), np.cos(towards)], axis=1),
        wave_per_nm=number[:, None] * np.stack([np.sin(direction), np.cos(direction)], axis=1),
        turn_per_frame=2 * math.pi / period_frames * rng.uniform(-1.0, 1.0, size=n_waves),
        phase=rng.uniform(0.0, 2 * math.pi, size=n_waves),
    )
