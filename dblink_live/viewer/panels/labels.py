"""Labels that take no more room than there is."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy

from dblink_live.viewer.theme import Look, Tone, set_look


class ElidedLabel(QLabel):
    """One line that ends in dots where the room ends; the whole text is the tool tip."""

    def __init__(
        self,
        text: str = "",
        look: Look = "body",
        tone: Tone = Tone.NORMAL,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__(text)
        self._elide = elide
        set_look(self, look, tone)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def minimumSizeHint(self) -> QSize:
        return QSize(20, super().minimumSizeHint().height())

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(text)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.fontMetrics().horizontalAdvance(self.text()) <= self.contentsRect().width():
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = self.fontMetrics().elidedText(self.text(), self._elide, self.contentsRect().width())
        painter.drawText(self.contentsRect(), int(self.alignment().value), text)
        painter.end()


def label(text: str, look: Look = "body", tone: Tone = Tone.NORMAL) -> QLabel:
    """Return a plain label with a look."""
    made = QLabel(text)
    set_look(made, look, tone)
    return made
