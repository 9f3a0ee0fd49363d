"""Labels that take no more room than there is."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy

from dblink_live.viewer.theme import Look, Tone, set_look


class ElidedLabel(QLabel):
    """One line that ends in dots where the room ends; the whole text is the tool tip."""

    def __init__(self, text: str = "", look: Look = "body", tone: Tone = Tone.NORMAL) -> None:
        super().__init__(text)
        set_look(self, look, tone)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def minimumSizeHint(self) -> QSize:
        return QSize(20, super().minimumSizeHint().height())

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(text)

    @property
    def fitting_text(self) -> str:
        """What is drawn."""
        return self._shortened() if self._width_of(self.text()) > self.contentsRect().width() else self.text()

    def paintEvent(self, event: QPaintEvent) -> None:
        text = self.fitting_text
        if text == self.text():
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), int(self.alignment().value), text)
        painter.end()

    def _shortened(self) -> str:
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.contentsRect().width())

    def _width_of(self, text: str) -> int:
        return self.fontMetrics().horizontalAdvance(text)


class Caption(ElidedLabel):
    """One line, of which the last word is kept where the room ends: the number of a frame or window."""

    def _shortened(self) -> str:
        return self.text().split(" ")[-1]


def label(text: str, look: Look = "body", tone: Tone = Tone.NORMAL) -> QLabel:
    """Return a plain label with a look."""
    made = QLabel(text)
    set_look(made, look, tone)
    return made
