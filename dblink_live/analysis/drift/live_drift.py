"""How far the sample has moved, while the run goes on: each picture against the first, as in `drift_of_video`.

What moves as a whole is called drift. On a living sample it includes motion, and every display of the number says so.
"""

from __future__ import annotations

import numpy as np

from dblink_live.analysis.drift.drift import MIN_CORRELATION, check_pitch
from dblink_live.analysis.drift.image_shift import Reference
from dblink_live.types import FloatImage


class LiveDrift:
    """Follows one stream of pictures of equal shape.

    Parameters
    ----------
    pitch_nm
        Side of a pixel.

    Raises
    ------
    ConfigError
        The pitch is no length.

    Examples
    --------
    >>> scene = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    >>> drift = LiveDrift(40.0)
    >>> drift.add(scene)
    (0.0, 0.0)
    >>> y_nm, x_nm = drift.add(np.roll(scene, 2, axis=0))
    >>> round(y_nm), abs(round(x_nm))
    (80, 0)
    """

    def __init__(self, pitch_nm: float) -> None:
        check_pitch(pitch_nm)
        self._pitch_nm = pitch_nm
        self._reference: Reference | None = None

    def add(self, picture: FloatImage) -> tuple[float, float] | None:
        """(y, x) in nm of ``picture`` [H, W] since the first that shows anything, positive down and to the right.

        None where the picture is empty, holds NaN, or no longer looks like that one.
        """
        if not (np.isfinite(picture).all() and picture.max() > picture.min()):
            return None
        if self._reference is None:
            self._reference = Reference(np.asarray(picture, np.float32), min(picture.shape) / 4)
            return 0.0, 0.0
        found = self._reference.shift_of(np.asarray(picture, np.float32))
        if found.correlation < MIN_CORRELATION:
            return None
        return found.y_px * self._pitch_nm, found.x_px * self._pitch_nm
