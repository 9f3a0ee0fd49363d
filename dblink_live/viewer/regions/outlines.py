"""The outlines that are drawn and moved: one rectangle and one line, the same in every panel."""

from __future__ import annotations

from typing import Literal

import pyqtgraph as pg
from PySide6.QtCore import QObject, QPointF, Signal

from dblink_live.viewer.panels.panel import Panel
from dblink_live.viewer.regions.measure import Position, Rectangle

Tool = Literal["none", "rectangle", "line"]
_PEN = {"color": (80, 230, 120), "width": 2}
_SHARE = 0.3
"""A new outline is so large, as a share of what is on the screen."""


class Outlines(QObject):
    """Draws the outline of the chosen tool in every panel and keeps them alike.

    Parameters
    ----------
    panels
        Where to draw.
    """

    changed = Signal()

    def __init__(self, panels: list[Panel]) -> None:
        super().__init__()
        self._panels = panels
        self._items: list[pg.ROI] = []
        self._tool: Tool = "none"
        self._is_following = False

    @property
    def tool(self) -> Tool:
        """What is drawn."""
        return self._tool

    @property
    def rectangle(self) -> Rectangle | None:
        """The rectangle; None where none is drawn."""
        if self._tool != "rectangle":
            return None
        item = self._items[0]
        return Rectangle(item.pos().y(), item.pos().x(), item.size().y(), item.size().x())

    @property
    def line(self) -> tuple[Position, Position] | None:
        """The ends of the line; None where none is drawn."""
        if self._tool != "line":
            return None
        first, second = (handle["pos"] + self._items[0].pos() for handle in self._items[0].handles)
        return (first.y(), first.x()), (second.y(), second.x())

    def choose(self, tool: Tool) -> None:
        """Draw a new outline in the middle of what is on the screen, or none."""
        for panel, item in zip(self._panels, self._items, strict=False):
            panel.view.removeItem(item)
        self._items = []
        self._tool = tool
        if tool != "none":
            view = next((panel.view for panel in self._panels if panel.isVisible()), self._panels[0].view)
            rect = view.viewRect()
            width, height = rect.width() * _SHARE, rect.height() * _SHARE
            centre = rect.center()
            for panel in self._panels:
                if tool == "rectangle":
                    item = pg.RectROI((centre.x() - width / 2, centre.y() - height / 2), (width, height), pen=_PEN)
                else:
                    ends = [(centre.x() - width / 2, centre.y()), (centre.x() + width / 2, centre.y())]
                    item = pg.LineSegmentROI(ends, pen=_PEN)
                item.sigRegionChanged.connect(self._on_moved)
                panel.view.addItem(item, ignoreBounds=True)
                self._items.append(item)
        self.changed.emit()

    def set_rectangle(self, region: Rectangle) -> None:
        """Move the rectangle, which has to be chosen."""
        item = self._items[0]
        item.setPos((region.left_nm, region.top_nm), update=False)
        item.setSize((region.width_nm, region.height_nm))

    def set_line(self, first: Position, second: Position) -> None:
        """Move the line, which has to be chosen."""
        item = self._items[0]
        item.setPos((0, 0), update=False)
        for handle, (y, x) in zip(item.getHandles(), (first, second), strict=True):
            item.movePoint(handle, item.mapToScene(QPointF(x, y)), coords="scene", finish=False)
        self._on_moved(item)

    def _on_moved(self, moved: pg.ROI) -> None:
        if self._is_following:
            return
        self._is_following = True
        state = moved.saveState()
        for item in self._items:
            if item is not moved:
                item.setState(state)
        self._is_following = False
        self.changed.emit()
