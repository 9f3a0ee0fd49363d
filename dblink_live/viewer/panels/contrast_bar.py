"""The bar below a picture: its histogram over the colour bar, with two handles that set the limits of the contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dblink_live.display.contrast import SAMPLES, Limits
from dblink_live.viewer.theme import current_theme

N_BINS = 96
HISTOGRAM_MS = 250
"""A histogram is counted at most this often, the last one always: an eye reads no more, and counting costs as much as
painting the picture."""
_MARGIN = 5
_GRADIENT_PX = 7
_GRAB_PX = 8


class ContrastBar(QWidget):
    """Shows which values are black and brightest, and lets them be dragged.

    A double click asks for automatic limits. The range of the bar is that of the values seen, so that a handle never
    leaves it.
    """

    dragged = Signal(object)
    """`Limits` that the operator chose."""
    reset = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._table: npt.NDArray[np.uint8] = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        self._counts = np.zeros(N_BINS)
        self._range = Limits(0.0, 1.0)
        self._limits: Limits | None = None
        self._held: str | None = None
        self._image: npt.NDArray[Any] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._count)
        self.setMinimumSize(60, 26)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.SizeHorCursor)
        self.setToolTip("drag the handles to set the contrast; double click for automatic limits")

    @property
    def limits(self) -> Limits | None:
        """The limits that the handles stand at; None without a picture."""
        return self._limits

    def sizeHint(self) -> QSize:
        return QSize(140, 26)

    def set_table(self, table: npt.NDArray[np.uint8]) -> None:
        """Show the colour map ``table`` [256, 3]."""
        self._table = np.ascontiguousarray(table)
        self.update()

    def show_values(self, image: npt.NDArray[Any] | None, limits: Limits | None) -> None:
        """Show ``limits`` at once, and the histogram of ``image`` [H, W] within `HISTOGRAM_MS`."""
        if image is None or limits is None:
            self._image, self._limits = None, None
            self.update()
            return
        before, self._limits = self._handles(), limits
        self._image = image
        if not self._timer.isActive():
            self._count()
        elif self._handles() != before:
            self.update()

    def _count(self) -> None:
        """Count the histogram of the newest picture, once, and let some time pass before the next one."""
        image, limits = self._image, self._limits
        self._image = None
        if image is None or limits is None:
            return
        stride = max(1, int((image.size / SAMPLES) ** 0.5))
        values = image[::stride, ::stride]
        low = min(float(values.min()), limits.low)
        high = max(float(values.max()), limits.high)
        if self._held is None:
            # While a handle is dragged the scale under it stays.
            self._range = Limits(low, high if high > low else low + 1.0)
        counts, _ = np.histogram(values, N_BINS, (self._range.low, self._range.high))
        # Most pixels are empty: the first bin would press all others to the ground.
        self._counts = np.log1p(counts) / max(float(np.log1p(counts).max()), 1e-9)
        self._timer.start(HISTOGRAM_MS)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme = current_theme()
        area = self._area()
        painter.fillRect(area, QColor(theme.surface))
        if self._limits is not None:
            bottom = area.bottom() - _GRADIENT_PX
            width = area.width() / N_BINS
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.faint))
            for index in np.flatnonzero(self._counts):
                height = float(self._counts[index]) * (bottom - area.top())
                painter.drawRect(QRectF(area.left() + index * width, bottom - height, width, height))
            self._paint_gradient(painter, area, self._limits)
            painter.setBrush(QColor(theme.accent))
            for value in (self._limits.low, self._limits.high):
                x = self._x_of(value)
                painter.drawRect(QRectF(x - 1, area.top(), 2, area.height()))
                painter.drawPolygon(
                    QPolygonF([QPointF(x - 4, area.top()), QPointF(x + 4, area.top()), QPointF(x, area.top() + 6)])
                )
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._limits is None or event.button() != Qt.MouseButton.LeftButton:
            return
        x = event.position().x()
        to_low, to_high = abs(x - self._x_of(self._limits.low)), abs(x - self._x_of(self._limits.high))
        if min(to_low, to_high) <= _GRAB_PX:
            self._held = "low" if to_low < to_high else "high"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._held is None or self._limits is None:
            return
        value = self._value_at(event.position().x())
        least = (self._range.high - self._range.low) / 500
        if self._held == "low":
            self._limits = Limits(min(value, self._limits.high - least), self._limits.high)
        else:
            self._limits = Limits(self._limits.low, max(value, self._limits.low + least))
        self.update()
        self.dragged.emit(self._limits)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._held = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._held = None
        self.reset.emit()

    def _paint_gradient(self, painter: QPainter, area: QRectF, limits: Limits) -> None:
        rgb = QImage(self._table.data, 256, 1, 768, QImage.Format.Format_RGB888)
        top = area.bottom() - _GRADIENT_PX
        low, high = self._x_of(limits.low), self._x_of(limits.high)
        first, last = (QColor(*(int(value) for value in self._table[index])) for index in (0, 255))
        painter.fillRect(QRectF(area.left(), top, low - area.left(), _GRADIENT_PX), first)
        painter.fillRect(QRectF(high, top, area.right() - high, _GRADIENT_PX), last)
        painter.drawImage(QRectF(low, top, max(high - low, 1.0), _GRADIENT_PX), rgb)

    def _area(self) -> QRectF:
        return QRectF(_MARGIN, 0, max(self.width() - 2 * _MARGIN, 1), self.height())

    def _handles(self) -> tuple[int, ...]:
        """Where the handles stand, in pixels."""
        return (
            () if self._limits is None else (round(self._x_of(self._limits.low)), round(self._x_of(self._limits.high)))
        )

    def _x_of(self, value: float) -> float:
        area = self._area()
        share = (value - self._range.low) / (self._range.high - self._range.low)
        return float(area.left() + min(max(share, 0.0), 1.0) * area.width())

    def _value_at(self, x: float) -> float:
        area = self._area()
        share = min(max((x - area.left()) / area.width(), 0.0), 1.0)
        return float(self._range.low + share * (self._range.high - self._range.low))
