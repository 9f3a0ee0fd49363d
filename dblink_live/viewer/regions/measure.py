"""What is measured along a line and inside a rectangle. Positions are (y, x) in nm; nothing here knows a window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from dblink_live.analysis.resolution.frc import frc_of_localizations
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.store import open_run
from dblink_live.viewer.panels.picture import Picture

Position = tuple[float, float]
FloatVector = npt.NDArray[np.float64]

LINE_WIDTH_NM = 120.0
"""A profile is the mean over lines side by side within this width, so that one pixel's noise does not shape it."""


@dataclass(frozen=True)
class Rectangle:
    """A region of the field."""

    top_nm: float
    left_nm: float
    height_nm: float
    width_nm: float

    @property
    def text(self) -> str:
        """Its size in a few words."""
        return f"{self.width_nm / 1000:.2f} x {self.height_nm / 1000:.2f} µm"

    def pixels(self, picture: Picture) -> tuple[slice, slice]:
        """Rows and columns of ``picture`` whose pixels have their centre in the region."""
        rows = _span(self.top_nm, self.height_nm, picture.origin_nm[0], picture.pitch_nm, picture.image.shape[0])
        cols = _span(self.left_nm, self.width_nm, picture.origin_nm[1], picture.pitch_nm, picture.image.shape[1])
        return rows, cols


@dataclass(frozen=True)
class Trace:
    """One number per window in a region."""

    time: FloatVector
    """Seconds, or windows where the frame rate is unknown."""
    in_seconds: bool
    molecules: npt.NDArray[np.int64]
    """Localizations per window."""


def distance_nm(first: Position, second: Position) -> float:
    """Return the distance of two positions.

    Examples
    --------
    >>> distance_nm((0.0, 0.0), (30.0, 40.0))
    50.0
    """
    return math.hypot(second[0] - first[0], second[1] - first[1])


def line_profile(
    picture: Picture, first: Position, second: Position, width_nm: float = LINE_WIDTH_NM
) -> tuple[FloatVector, FloatVector]:
    """Return (distance in nm, value) along a line, two samples per pixel, linear between pixel centres.

    Parameters
    ----------
    picture
        What is measured; outside it the profile is NaN.
    first, second
        Ends of the line.
    width_nm
        The profile is the mean over lines side by side within this width.

    Raises
    ------
    ConfigError
        The line has no length.
    """
    length = distance_nm(first, second)
    if length <= 0:
        raise ConfigError("expected a line with two different ends, found one point; draw it longer")
    along = np.linspace(0.0, length, max(2, math.ceil(2 * length / picture.pitch_nm) + 1))
    n_beside = max(1, round(width_nm / picture.pitch_nm))
    beside = (np.arange(n_beside) - (n_beside - 1) / 2) * picture.pitch_nm
    down, right = (second[0] - first[0]) / length, (second[1] - first[1]) / length
    y = first[0] + along[None, :] * down + beside[:, None] * right
    x = first[1] + along[None, :] * right - beside[:, None] * down
    # Array index 0 is the centre of a pixel, position 0 its outer corner.
    places = [(y - picture.origin_nm[0]) / picture.pitch_nm - 0.5, (x - picture.origin_nm[1]) / picture.pitch_nm - 0.5]
    values = map_coordinates(np.asarray(picture.image, np.float64), places, order=1, cval=np.nan, mode="constant")
    inside = np.isfinite(values)
    mean = np.full(len(along), np.nan)
    n_inside = inside.sum(axis=0)
    known = n_inside > 0
    mean[known] = np.where(inside, values, 0.0).sum(axis=0)[known] / n_inside[known]
    return along, mean


def fwhm_nm(distance: FloatVector, values: FloatVector) -> float | None:
    """Return the full width at half maximum of the highest peak of a profile, above the profile's lowest value.

    The half is crossed linearly between samples. None where the profile is flat, holds NaN, or does not fall below the
    half on both sides of its peak.

    Examples
    --------
    >>> x = np.linspace(-300.0, 300.0, 601)
    >>> width = fwhm_nm(x, np.exp(-0.5 * (x / 50.0) ** 2))
    >>> round(width, 1)
    117.7
    """
    if len(values) < 3 or not np.isfinite(values).all():
        return None
    floor, top = float(values.min()), int(values.argmax())
    half = floor + (float(values[top]) - floor) / 2
    if values[top] <= floor:
        return None
    below = values < half
    left, right = np.flatnonzero(below[:top]), np.flatnonzero(below[top:])
    if len(left) == 0 or len(right) == 0:
        return None
    ends = (
        _crossing(distance, values, half, int(left[-1])),
        _crossing(distance, values, half, top + int(right[0]) - 1),
    )
    return ends[1] - ends[0]


def trace_of(run: Path, region: Rectangle, is_cancelled: Callable[[], bool] = lambda: False) -> Trace:
    """Return the molecules in a region over the windows of a run's longest segment.

    Raises
    ------
    StoreError
        The run cannot be read.
    AnalysisError
        It holds no windows.
    """
    with open_run(run) as opened:
        rows = sorted(opened.windows("counts"), key=lambda row: (row.segment, row.window))
        segments = {stored.segment.index: stored for stored in opened.segments}
        if not rows:
            raise AnalysisError(f"expected windows in {run}, found none; wait for the first")
        longest = max(segments, key=lambda index: sum(row.segment == index for row in rows))
        rows, stored = [row for row in rows if row.segment == longest], segments[longest]
        frame = Picture(np.zeros(stored.grid.shape, np.uint8), stored.grid.pitch_nm, stored.grid.origin_nm)
        part = region.pixels(frame)
        counts = []
        for row in rows:
            if is_cancelled():
                break
            counts.append(int(opened.read_window(row, part).sum()))
        interval_ms = stored.segment.frame_interval_ms
        first = rows[0].start
        time = [
            row.window if interval_ms is None else (row.stop - first) * interval_ms / 1000
            for row in rows[: len(counts)]
        ]
    return Trace(np.asarray(time, np.float64), interval_ms is not None, np.asarray(counts, np.int64))


def frc_of_region(run: Path, region: Rectangle) -> float:
    """Return the resolution in nm of the molecules in a region of a run's longest segment, at 1/7.

    Raises
    ------
    StoreError
        The run cannot be read.
    AnalysisError
        The region holds too few molecules to tell.
    """
    with open_run(run) as opened:
        rows = opened.windows("counts")
        segments = {stored.segment.index: stored for stored in opened.segments}
        if not rows:
            raise AnalysisError(f"expected windows in {run}, found none; wait for the first")
        longest = max(segments, key=lambda index: sum(row.segment == index for row in rows))
        pixel_nm = segments[longest].pixel_size_nm
        if pixel_nm is None:
            raise AnalysisError(f"expected the camera's pixel size in {run}, found none")
        found = opened.localizations(longest)
    y_nm, x_nm = (found["y"] + 0.5) * pixel_nm, (found["x"] + 0.5) * pixel_nm
    inside = (y_nm >= region.top_nm) & (y_nm < region.top_nm + region.height_nm)
    inside &= (x_nm >= region.left_nm) & (x_nm < region.left_nm + region.width_nm)
    return frc_of_localizations(found[inside], pixel_nm).resolution_nm()


def _span(begin_nm: float, length_nm: float, origin_nm: float, pitch_nm: float, n_pixels: int) -> slice:
    first = math.ceil((begin_nm - origin_nm) / pitch_nm - 0.5)
    stop = math.ceil((begin_nm + length_nm - origin_nm) / pitch_nm - 0.5)
    return slice(min(max(first, 0), n_pixels), min(max(stop, 0), n_pixels))


def _crossing(distance: FloatVector, values: FloatVector, half: float, before: int) -> float:
    """Where the profile passes ``half`` between a sample and the next."""
    share = (half - values[before]) / (values[before + 1] - values[before])
    return float(distance[before] + share * (distance[before + 1] - distance[before]))
