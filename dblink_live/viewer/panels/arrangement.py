"""How many columns of panels fit a window best."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from dblink_live.viewer.panels.panel import Panel

HEAD_PX = 64
"""Height of a panel's heading and contrast bar together, in points."""
GAP_PX = 8


def best_columns(n_panels: int, width: int, height: int, aspect: float = 1.0) -> int:
    """Number of columns at which pictures of ``aspect`` (width to height) become largest in ``width`` x ``height``.

    Examples
    --------
    >>> best_columns(4, 1280, 560), best_columns(4, 1000, 1000), best_columns(3, 600, 1500)
    (4, 2, 1)
    """

    def picture_width(columns: int) -> float:
        rows = -(-n_panels // columns)
        free_width = (width - (columns - 1) * GAP_PX) / columns
        free_height = (height - (rows - 1) * GAP_PX) / rows - HEAD_PX
        return min(free_width, free_height * aspect)

    return max(range(1, max(n_panels, 1) + 1), key=picture_width)


class PanelGrid(QWidget):
    """Lays panels out in the number of columns that shows their pictures largest.

    Parameters
    ----------
    panels
        In reading order; hidden ones take no room.
    """

    def __init__(self, panels: list[Panel]) -> None:
        super().__init__()
        self._panels = panels
        self._columns = 0
        self._placed: list[Panel] = []
        self._aspect = 1.0
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(GAP_PX)
        for panel in panels:
            panel.setParent(self)
        self.arrange()

    @property
    def columns(self) -> int:
        """Columns at this moment."""
        return self._columns

    def set_aspect(self, aspect: float) -> None:
        """Arrange for pictures of this width to height."""
        self._aspect = aspect
        self.arrange()

    def minimumSizeHint(self) -> QSize:
        # The arrangement follows the size: it must not hold the window open for the columns of a moment ago.
        return QSize(320, 200)

    def arrange(self) -> None:
        """Place the panels that are shown."""
        shown = [panel for panel in self._panels if not panel.isHidden()]
        columns = best_columns(len(shown), self.width(), self.height(), self._aspect)
        if columns == self._columns and shown == self._placed:
            return
        for panel in self._placed:
            self._grid.removeWidget(panel)
        for index in range(len(self._panels)):
            self._grid.setColumnStretch(index, 0)
            self._grid.setRowStretch(index, 0)
        for index, panel in enumerate(shown):
            row, column = divmod(index, columns)
            self._grid.addWidget(panel, row, column, Qt.AlignmentFlag(0))
            self._grid.setColumnStretch(column, 1)
            self._grid.setRowStretch(row, 1)
        self._columns, self._placed = columns, shown

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.arrange()
