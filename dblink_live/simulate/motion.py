"""How structures move: rigidly, as a pure function of the frame number, so that the truth can be computed anywhere
again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""[N, 2]: y and x in nm from the outer corner of the field."""


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
    """

    velocity_nm_per_frame: tuple[float, float]
    rotation_deg_per_frame: float
    centre_nm: tuple[float, float]

    def apply(self, points_nm: Points, frame: float) -> Points:
        """Where ``points_nm`` [N, 2] of frame 0 are at ``frame``."""
        angle = np.deg2rad(self.rotation_deg_per_frame * frame)
        centre = np.asarray(self.centre_nm)
        y, x = (points_nm - centre).T
        turned = np.column_stack([y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)])
        moved: Points = turned + centre + np.asarray(self.velocity_nm_per_frame) * frame
        return moved
