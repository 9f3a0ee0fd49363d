"""Resolution region by region: parts of a field differ in density, focus and motion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.rendering import check_localizations, grid_around
from dblink_live.analysis.resolution.frc import FinerThanPixelsError, FrcCurve, Threshold, frc_of_localizations
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import Localizations

N_ACROSS = 4
"""Regions along the longer side of the field."""
MIN_LOCALIZATIONS = 200
"""Localizations below which chance decides where a region's curve falls."""
_FIELD_PITCH_NM = 10.0
_FIELD_MAX_SIDE = 4096


@dataclass(frozen=True)
class RegionFrc:
    """Fourier ring correlation of the localizations in each square of a lattice."""

    origin_nm: tuple[float, float]
    """(y, x) of the lattice's corner, from the outer corner of camera pixel (0, 0)."""
    side_nm: float
    """Of a square."""
    curves: tuple[tuple[FrcCurve | None, ...], ...]
    """[rows][columns]; None where a square holds too little."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.curves), len(self.curves[0])

    def resolution_nm(self, kind: Threshold = "1/7") -> npt.NDArray[np.float64]:
        """[rows, columns], NaN where a square holds too little to tell, two pixels where it is finer than those."""
        found = np.full(self.shape, np.nan)
        for row, col in np.ndindex(*self.shape):
            curve = self.curves[row][col]
            if curve is None:
                continue
            try:
                found[row, col] = curve.resolution_nm(kind)
            except FinerThanPixelsError:
                found[row, col] = 2 * curve.pitch_nm
            except AnalysisError:
                continue
        return found


def frc_of_regions(localizations: Localizations, pixel_size_nm: float, n_across: int = N_ACROSS) -> RegionFrc:
    """Cut the field into squares, ``n_across`` along its longer side, and correlate two halves of the rows in each.

    Parameters
    ----------
    localizations
        Rows with frame, x and y, in camera pixels. Strays far from all others are left out.
    pixel_size_nm
        Side of a camera pixel.

    Raises
    ------
    ConfigError
        ``n_across`` is below 1.
    AnalysisError
        The table is empty, holds NaN, or no square holds enough.
    CalibrationError
        The pixel size is no length.

    Examples
    --------
    >>> from dblink_live.types import empty_localizations
    >>> rng = np.random.default_rng(0)
    >>> rows = empty_localizations(4000)
    >>> rows["frame"] = rng.integers(0, 100, 4000)
    >>> rows["x"], rows["y"] = rng.uniform(0, 40, 4000), rng.integers(0, 20, 4000)
    >>> frc_of_regions(rows, 100.0).shape
    (2, 4)
    """
    if n_across < 1:
        raise ConfigError(f"expected 1 region or more across the field, found {n_across}")
    rows = check_localizations(localizations, pixel_size_nm)
    field = grid_around(rows, pixel_size_nm, _FIELD_PITCH_NM, _FIELD_MAX_SIDE)
    height_nm, width_nm = (side * field.pitch_nm for side in field.shape)
    side_nm = max(height_nm, width_nm) / n_across
    n_rows, n_cols = (max(1, math.ceil(extent / side_nm - 1e-9)) for extent in (height_nm, width_nm))
    at = [
        np.floor(((rows[axis].astype(np.float64) + 0.5) * pixel_size_nm - origin) / side_nm).astype(np.int64)
        for axis, origin in zip(("y", "x"), field.origin_nm, strict=True)
    ]
    curves = tuple(
        tuple(_curve(rows[(at[0] == row) & (at[1] == col)], pixel_size_nm) for col in range(n_cols))
        for row in range(n_rows)
    )
    if not any(curve is not None for of_row in curves for curve in of_row):
        raise AnalysisError(
            f"expected {MIN_LOCALIZATIONS} localizations or more in a square of {side_nm / 1000:.3g} um, found fewer "
            "in all of them"
        )
    return RegionFrc(field.origin_nm, side_nm, curves)


def _curve(rows: Localizations, pixel_size_nm: float) -> FrcCurve | None:
    if len(rows) < MIN_LOCALIZATIONS:
        return None
    try:
        return frc_of_localizations(rows, pixel_size_nm)
    except AnalysisError:
        return None
