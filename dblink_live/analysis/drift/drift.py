"""Drift: how far the sample has moved since the beginning, and tables and pictures with it taken away.

`drift_of_video` measures as the DBlink paper does (Saguy et al., Nature Methods 2023): each reconstructed picture is
cross-correlated with the first. `cross_correlation` does it on localizations, `fiducials`
with beads. Nothing here can tell the movement of the stage from that of the sample: what moves as a whole is called
drift, and on a living sample it absorbs motion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import shift as shift_picture

from dblink_live.analysis.drift.image_shift import Reference
from dblink_live.analysis.rendering import check_localizations
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import FloatImage, Localizations

FloatVector = npt.NDArray[np.float64]

MIN_CORRELATION = 0.3
"""Of a picture with the first one, both blurred, at the shift that fits best."""


class Video(Protocol):
    """Pictures [T, H, W] that are read one by one: a NumPy array, or a stored one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: int, /) -> npt.NDArray[np.number]: ...


@dataclass(frozen=True)
class Drift:
    """A path: where the sample is, against where it was at the first of its points.

    ``time`` is what the points were measured in: windows of a video, frames of a table. Points of which nothing is
    known are left out, and bridged by a monotone cubic (Fritsch & Carlson 1980), which never overshoots.
    """

    time: FloatVector
    """[K], increasing; the middle of what each point was measured on."""
    y_nm: FloatVector
    """[K], along the rows, downward."""
    x_nm: FloatVector
    """[K], along the columns."""

    def at(self, time: npt.ArrayLike) -> tuple[FloatVector, FloatVector]:
        """(y, x) in nm at any times; before the first point and behind the last one as there."""
        asked = np.clip(np.asarray(time, np.float64), self.time[0], self.time[-1])
        if len(self.time) == 1:
            return np.full_like(asked, self.y_nm[0]), np.full_like(asked, self.x_nm[0])
        y, x = (np.asarray(PchipInterpolator(self.time, path)(asked)) for path in (self.y_nm, self.x_nm))
        return y, x

    @property
    def max_nm(self) -> float:
        """The greatest distance of any point from the first."""
        return float(np.hypot(self.y_nm - self.y_nm[0], self.x_nm - self.x_nm[0]).max())


def drift_of_video(video: Video, pitch_nm: float, max_shift_nm: float | None = None) -> Drift:
    """Drift of each picture of ``video`` [T, H, W] against the first that shows something, in windows.

    Parameters
    ----------
    pitch_nm
        Side of a pixel.
    max_shift_nm
        Larger shifts are not looked for; None allows a quarter of the field.

    Returns
    -------
    Drift
        One point per picture. Pictures without contrast have none, nor have those that correlate with the first by
        less than `MIN_CORRELATION` at their best shift: where nothing fits, the best fit is no measurement.

    Raises
    ------
    ConfigError
        The array is no video, or the pitch no length.
    AnalysisError
        Fewer than two pictures show anything, none looks like the first, or one holds NaN.
    """
    if len(video.shape) != 3:
        raise ConfigError(f"expected a video [T, H, W], found an array of shape {tuple(video.shape)}")
    check_pitch(pitch_nm)
    n_windows, height, width = video.shape
    max_shift_px = min(height, width) / 4 if max_shift_nm is None else max_shift_nm / pitch_nm
    reference: Reference | None = None
    n_shown = 0
    path: list[tuple[float, float, float]] = []
    for t in range(n_windows):
        picture = np.asarray(video[t], np.float32)
        if not np.isfinite(picture).all():
            raise AnalysisError(f"expected finite values, found NaN or infinity in picture {t}; remove it")
        if picture.min() == picture.max():
            continue
        if reference is None:
            reference, n_shown = Reference(picture, max_shift_px), 1
            path.append((t, 0.0, 0.0))
            continue
        n_shown += 1
        found = reference.shift_of(picture)
        if found.correlation >= MIN_CORRELATION:
            path.append((t, found.y_px * pitch_nm, found.x_px * pitch_nm))
    if len(path) < 2:
        if n_shown < 2:
            raise AnalysisError(f"expected two pictures that show something, found {n_shown} of {n_windows}")
        raise AnalysisError(
            f"expected pictures that look like the first one, found none among {n_shown - 1} that correlates with it "
            f"by {MIN_CORRELATION:g} or more at any shift"
        )
    return to_drift(path)


def corrected_table(localizations: Localizations, drift: Drift, pixel_size_nm: float) -> Localizations:
    """A copy of the table in which every localization lies where it was at the drift's first point.

    ``drift`` is in frames, ``pixel_size_nm`` the side of the camera pixels in which x and y are given.
    """
    if not len(localizations):
        return np.array(localizations, copy=True)
    rows = np.array(check_localizations(localizations, pixel_size_nm), copy=True)
    y_nm, x_nm = drift.at(rows["frame"])
    rows["y"] -= y_nm / pixel_size_nm
    rows["x"] -= x_nm / pixel_size_nm
    return rows


def corrected_video(video: npt.NDArray[np.number], drift: Drift, pitch_nm: float) -> FloatImage:
    """Pictures [T, H, W] moved back by ``drift``, which is in windows; what comes in from outside is 0.

    Between pixels, linear: sums of counts are kept but at the border.
    """
    if video.ndim != 3:
        raise ConfigError(f"expected a video [T, H, W], found an array of shape {video.shape}")
    check_pitch(pitch_nm)
    y_nm, x_nm = drift.at(np.arange(len(video)))
    corrected = np.zeros(video.shape, np.float32)
    for picture, moved, y, x in zip(corrected, video, y_nm, x_nm, strict=True):
        shift_picture(np.asarray(moved, np.float32), (-y / pitch_nm, -x / pitch_nm), output=picture, order=1)
    return corrected


def to_drift(path: Sequence[tuple[float, float, float]]) -> Drift:
    """A path of (time, y nm, x nm)."""
    time, y_nm, x_nm = np.asarray(path, np.float64).T
    return Drift(time, y_nm, x_nm)


def check_pitch(pitch_nm: float) -> None:
    """Raise `ConfigError` where no pixel can have this side."""
    if not (math.isfinite(pitch_nm) and pitch_nm > 0):
        raise ConfigError(f"expected a pitch above 0 nm, found {pitch_nm}")
