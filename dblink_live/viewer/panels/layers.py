"""What lies over a picture: circles, localizations, and the cross at the pointer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtWidgets import QGraphicsRectItem

MARK_PX = 11
POINT_PX = 4
MARK_COLOUR = (90, 220, 255)
POINT_COLOUR = (120, 255, 160, 200)
REGION_COLOUR = (255, 220, 90)
MAX_SHOWN = 5000
"""More circles or points than this cover the picture, and cost more to paint than it does."""


class Layers:
    """The layers over one picture; positions are (y, x) in nm.

    Parameters
    ----------
    view
        What they are drawn in.
    """

    def __init__(self, view: pg.ViewBox) -> None:
        self._marks = pg.ScatterPlotItem(size=MARK_PX, brush=None, pen=pg.mkPen(MARK_COLOUR, width=1.5))
        self._points = pg.ScatterPlotItem(size=POINT_PX, brush=pg.mkBrush(POINT_COLOUR), pen=None)
        line = pg.mkPen("#8c939e", width=1, style=Qt.PenStyle.DashLine)
        self._cross = [pg.InfiniteLine(angle=angle, pen=line) for angle in (0, 90)]
        self._region = QGraphicsRectItem()
        self._region.setPen(pg.mkPen(REGION_COLOUR, width=1.5, style=Qt.PenStyle.DashLine))
        self._region.hide()
        self._region_nm: tuple[float, float, float, float] | None = None
        for item in (self._region, self._points, self._marks, *self._cross):
            view.addItem(item, ignoreBounds=True)
        self._points.hide()
        self._marks.hide()
        for item in self._cross:
            item.hide()

    @property
    def n_marks(self) -> int:
        """Circles that are drawn."""
        return len(self._marks.data)

    @property
    def n_points(self) -> int:
        """Localizations that are drawn."""
        return len(self._points.data)

    def set_marks(self, places_nm: npt.NDArray[np.float64] | None) -> None:
        """Circle places [N, 2]."""
        _set_places(self._marks, places_nm)

    def set_points(self, places_nm: npt.NDArray[np.float64] | None) -> None:
        """Draw localizations [N, 2] as points."""
        _set_places(self._points, places_nm)

    @property
    def live_region_nm(self) -> tuple[float, float, float, float] | None:
        """(top, left, height, width) of the part that is outlined; None without one."""
        return self._region_nm

    def set_live_region(self, region_nm: tuple[float, float, float, float] | None) -> None:
        """Outline the part (top, left, height, width) that is reconstructed live, or none."""
        if region_nm == self._region_nm:
            return
        self._region_nm = region_nm
        self._region.setVisible(region_nm is not None)
        if region_nm is not None:
            top, left, height, width = region_nm
            self._region.setRect(QRectF(left, top, width, height))

    def set_cross(self, position_nm: tuple[float, float] | None) -> None:
        """Draw the cross at (y, x), or take it away."""
        for line, at in zip(self._cross, position_nm or (0.0, 0.0), strict=True):
            line.setVisible(position_nm is not None)
            line.setPos(at)


def _set_places(item: pg.ScatterPlotItem, places_nm: npt.NDArray[np.float64] | None) -> None:
    if places_nm is None or len(places_nm) == 0:
        item.setVisible(False)  # an empty one is painted all the same
        if len(item.data):
            item.clear()
        return
    item.setVisible(True)
    step = -(-len(places_nm) // MAX_SHOWN)
    shown = places_nm[::step]
    item.setData(x=shown[:, 1], y=shown[:, 0])
