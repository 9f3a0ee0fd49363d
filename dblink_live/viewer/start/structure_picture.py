"""A picture of a structure, drawn by the simulator: what a network was trained to see."""

from __future__ import annotations

from functools import cache

import numpy as np
from PySide6.QtGui import QImage, QPixmap
from scipy.ndimage import gaussian_filter

from dblink_live.display.colours import colour_map
from dblink_live.display.contrast import Limits, to_bytes
from dblink_live.simulate.specimen import KINDS, make_specimen
from dblink_live.types import Shape

FIELD_PX = 80
PIXEL_NM = 100.0
PITCH_NM = 40.0
_SEED = 5


@cache
def structure_picture(structure: str) -> QPixmap | None:
    """Return a picture of ``structure``, a square of 8 µm; None for one that the simulator does not know."""
    if structure not in KINDS:
        return None
    mask = make_specimen(structure, Shape(FIELD_PX, FIELD_PX), PIXEL_NM, PITCH_NM, _SEED).mask_at(0)
    shades = to_bytes(gaussian_filter(np.asarray(mask, np.float32), 1.0), Limits(0.0, 1.0))
    rgb = np.ascontiguousarray(colour_map("ember")[shades])
    height, width, _ = rgb.shape
    return QPixmap.fromImage(QImage(rgb.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy())
