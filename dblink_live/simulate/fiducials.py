"""Fiducial beads: bright spots that never go dark and move with the stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.simulate.checks import require
from dblink_live.simulate.motion import Points, RigidMotion


@dataclass(frozen=True)
class Beads:
    """Beads on the coverslip, each a point that shines alike in every frame.

    Parameters
    ----------
    start_nm
        [N, 2], (y, x) at frame 0, from the outer corner of the field.
    motion
        That all of them follow.
    photons
        Photo-electrons of a bead a frame.

    Raises
    ------
    ConfigError
        The places are no [N, 2] of finite numbers, or the photons are negative.
    """

    start_nm: Points
    motion: RigidMotion
    photons: float = 5000.0

    def __post_init__(self) -> None:
        require("photons", self.photons, 0.0)
        if self.start_nm.ndim != 2 or self.start_nm.shape[1] != 2 or not np.isfinite(self.start_nm).all():
            raise ConfigError(f"expected places of beads as [N, 2] in nm, found an array of {self.start_nm.shape}")

    def at(self, frame: float) -> tuple[Points, npt.NDArray[np.float64]]:
        """Places [N, 2] in nm and photo-electrons [N] in ``frame``."""
        return self.motion.apply(self.start_nm, frame), np.full(len(self.start_nm), self.photons)
