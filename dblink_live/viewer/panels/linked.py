"""Views that show the same place at the same scale."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QObject, QRectF, Signal


class Linked(QObject):
    """Keeps views at the same place and the same scale, whatever their sizes."""

    moved_by_hand = Signal()
    resized = Signal()

    def __init__(self, views: list[pg.ViewBox]) -> None:
        super().__init__()
        self._views = views
        self._is_moving = False
        for view in views:
            view.sigRangeChanged.connect(self._follow)
            view.sigRangeChangedManually.connect(lambda *_: self.moved_by_hand.emit())
            view.sigResized.connect(lambda *_: self.resized.emit())

    def fit(self, rect_nm: QRectF) -> None:
        """Show a whole field in every view."""
        self._is_moving = True
        for view in self._views:
            view.setLimits(
                minXRange=rect_nm.width() / 500, maxXRange=rect_nm.width() * 20, maxYRange=rect_nm.height() * 20
            )
            view.setRange(rect_nm, padding=0.01)
        self._is_moving = False

    def _follow(self, source: pg.ViewBox, *_: object) -> None:
        if self._is_moving or not _is_on_screen(source):
            return
        self._is_moving = True
        rect = source.viewRect()
        nm_per_point = rect.width() / source.width()
        for view in self._views:
            if view is not source and _is_on_screen(view):
                field = QRectF(0, 0, view.width() * nm_per_point, view.height() * nm_per_point)
                field.moveCenter(rect.center())
                view.setRange(field, padding=0)
        self._is_moving = False


def _is_on_screen(view: pg.ViewBox) -> bool:
    """A view in a hidden panel has a size and a range all the same, of no meaning to the others."""
    widget = view.getViewWidget()
    return widget is not None and widget.isVisible() and view.width() >= 1
