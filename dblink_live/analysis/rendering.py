"""Localizations counted on a lattice of any pitch: the pictures that resolution and drift are measured on."""

from __future__ import annotations

import numpy as np

from dblink_live.errors import AnalysisError, CalibrationError
from dblink_live.maps.binning import count_per_pixel
from dblink_live.types import FloatImage, Grid, Localizations, Shape

COLUMNS = ("frame", "x", "y")
STRAY_SHARE = 0.002
STRAY_MARGIN = 0.05


def check_localizations(localizations: Localizations, pixel_size_nm: float) -> Localizations:
    """A plain structured array of the rows, or an error that says what is wrong with them.

    Raises
    ------
    AnalysisError
        The table is empty, or a position is NaN or infinite.
    CalibrationError
        The camera's pixel size is no length.
    """
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise CalibrationError(f"expected a camera pixel size above 0 nm, found {pixel_size_nm}; give the true one")
    rows = np.asarray(localizations)  # also a table of `dblink_live.tables`
    if rows.dtype.names is None or not set(COLUMNS) <= set(rows.dtype.names):
        raise AnalysisError(f"expected a table with the columns {', '.join(COLUMNS)}, found {rows.dtype}")
    if not len(rows):
        raise AnalysisError("expected localizations, found an empty table")
    if not (np.isfinite(rows["x"]).all() and np.isfinite(rows["y"]).all()):
        raise AnalysisError("expected finite positions, found NaN or infinity in x or y; remove these rows")
    return rows


def grid_around(localizations: Localizations, pixel_size_nm: float, pitch_nm: float, max_side: int) -> Grid:
    """The grid of ``pitch_nm`` that holds the table but for strays; coarser where a side would exceed ``max_side`` px.

    Strays lie beyond the middle 99.8 % of the rows by more than a twentieth of what those span. A single one, far away,
    would make the grid coarse for all others.
    """
    points = (np.stack([localizations["y"], localizations["x"]]).astype(np.float64) + 0.5) * pixel_size_nm
    inner = np.quantile(points, [STRAY_SHARE / 2, 1 - STRAY_SHARE / 2], axis=1)
    margin = STRAY_MARGIN * (inner[1] - inner[0]) + pitch_nm
    low = np.maximum(points.min(axis=1), inner[0] - margin)
    high = np.minimum(points.max(axis=1), inner[1] + margin)
    pitch_nm = max(pitch_nm, float((high - low).max()) / (max_side - 1))
    height, width = (int(side // pitch_nm) + 1 for side in high - low)
    return Grid(pitch_nm, Shape(height, width), (float(low[0]), float(low[1])))


def render(localizations: Localizations, pixel_size_nm: float, grid: Grid) -> FloatImage:
    """Localizations a pixel of ``grid``, float32 [H, W]; those outside are left out."""
    rows, cols = grid.index_of(localizations["y"], localizations["x"], pixel_size_nm)
    return count_per_pixel(rows, cols, grid.shape).astype(np.float32)
