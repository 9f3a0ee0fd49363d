"""Checkpoints of Deep-STORM: weights, and what was measured with them on simulated frames."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from dblink_live.errors import ModelError
from dblink_live.localization.neural.checkpoint import CheckpointFormat
from dblink_live.localization.neural.deepstorm.network import DeepStormConfig, DeepStormNetwork
from dblink_live.localization.neural.weights import NetworkFacts

Values = npt.NDArray[np.float64]


class Precision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The error to expect an axis, in widths of the point spread function: a power law, fitted to simulated frames.

    The network does not say how sure it is of a place. What it was wrong by, where it drew a molecule of that height
    and brightness among so many others, is all that is known.
    """

    scale: float
    """Of a molecule of height 1, of one photon in units of the background's noise within a width, among one other
    molecule a square width."""
    by_brightness: float
    """Exponent of the photons in those units."""
    by_height: float
    """Exponent of the height of the heat map."""
    by_crowding: float = 0.0
    """Exponent of the crowding: where many were found, more were not told apart."""

    def of(self, brightness: Values, height: Values, crowding: Values) -> Values:
        """[K] of molecules of ``brightness`` and ``height``, and of ``crowding`` about them [K]."""
        law = brightness**self.by_brightness * height**self.by_height * crowding**self.by_crowding
        found: Values = self.scale * law
        return found


class DeepStormFacts(NetworkFacts, frozen=True, kw_only=True):
    """The metadata of a checkpoint."""

    config: DeepStormConfig
    min_height: float = msgspec.field(name="least_height")  # the name in files since version 0.1
    """Of the heat map at a molecule: what gave the highest Jaccard index on simulated frames."""
    precision: Precision

    def check(self, path: Path) -> None:
        if not (self.min_height > 0 and math.isfinite(self.min_height) and self.precision.scale > 0):
            raise ModelError(
                f"expected a min_height and a precision above 0 in {path}, found {self.min_height} and "
                f"{self.precision.scale}; train again"
            )


DEEPSTORM_CHECKPOINTS = CheckpointFormat(DeepStormNetwork.architecture, DeepStormNetwork, DeepStormFacts)
