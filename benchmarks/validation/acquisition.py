"""What the experiments share: a specimen seen through a simulated camera, localized, and binned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live import localize
from dblink_live.simulate import SCMOS, CameraSimulator
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.fiducials import Beads
from dblink_live.simulate.specimen import Specimen
from dblink_live.types import Grid, Localizations, Shape
from dblink_live.windows import bin_localizations

PIXEL_NM = SCMOS.pixel_size_nm
PITCH_NM = 40.0
SCALE = round(PIXEL_NM / PITCH_NM)
FIELD = Shape(36, 36)
"""Camera pixels: 5.8 um, about the fields that networks are trained on."""
FIELD_NM = (FIELD.height * PIXEL_NM, FIELD.width * PIXEL_NM)
MEAN_ON_FRAMES = 1.5


def grid() -> Grid:
    """The lattice of maps and pictures over the field."""
    return Grid.covering(FIELD, PIXEL_NM, PITCH_NM)


@dataclass(frozen=True)
class Acquisition:
    """A simulated recording, and what the localizer made of it."""

    specimen: Specimen
    localizations: Localizations
    n_frames: int

    def counts(self, window_frames: int, table: Localizations | None = None) -> npt.NDArray[np.uint16]:
        """Maps [T, H, W] of windows of ``window_frames``, of all localizations or of a ``table`` with some of them."""
        rows = self.localizations if table is None else table
        maps = bin_localizations(rows, FIELD, PIXEL_NM, SCALE, window_frames)
        n_windows = self.n_frames // window_frames
        missing = n_windows - len(maps)
        return np.pad(maps, ((0, max(0, missing)), (0, 0), (0, 0)))[:n_windows]

    def truth(self, window_frames: int) -> npt.NDArray[np.bool_]:
        """Structure [T, H, W] at the middle of each window."""
        starts = range(0, self.n_frames - window_frames + 1, window_frames)
        return np.stack([self.specimen.mask_at(start + window_frames / 2) for start in starts])


def record(specimen: Specimen, n_frames: int, on_per_um2: float, seed: int, beads: Beads | None = None) -> Acquisition:
    """Photograph ``specimen`` frame by frame and localize what is seen.

    ``on_per_um2`` molecules are on at a time a square micrometre of field, on structure that is in view.
    """
    area_um2 = FIELD_NM[0] * FIELD_NM[1] * 1e-6
    places = specimen.place(np.random.default_rng(0).random((4096, 3)), n_frames / 2)
    in_view = ((places >= 0) & (places < np.array(FIELD_NM))).all(axis=1).mean()
    schedule = BlinkSchedule(seed, on_per_um2 * area_um2 / max(in_view, 0.05), MEAN_ON_FRAMES)
    camera = CameraSimulator(specimen, FIELD, schedule, seed=seed, beads=beads)
    frames = np.stack([camera.frame(number) for number in range(n_frames)])
    return Acquisition(specimen, localize(frames, camera.camera), n_frames)
