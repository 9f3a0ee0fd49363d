"""The slider over the windows that are stored, with the gaps of the acquisition marked on it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QStyle, QStyleOptionSlider, QWidget

from dblink_live.viewer.theme import RAISED, TEXT, Tone, grouped, text_style


class _MarkedSlider(QSlider):
    """A slider with red marks."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.marks: tuple[int, ...] = ()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self.marks or self.maximum() <= 0:
            return
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        handle = self.style().pixelMetric(QStyle.PixelMetric.PM_SliderLength, option, self)
        painter = QPainter(self)
        for mark in self.marks:
            x = handle / 2 + (self.width() - handle) * mark / self.maximum()
            painter.fillRect(QRectF(x - 1, self.height() / 2 - 7, 2, 14), QColor(Tone.ALARM.value))
        painter.end()


class Timeline(QWidget):
    """Chooses a stored window.

    Emits `scrubbed` when the operator moves the slider, not when the program does.
    """

    scrubbed = Signal(int)
    pause_pressed = Signal()
    follow_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.pause_button = _button("Pause", "space")
        self.follow_button = _button("Latest", "End")
        self.pause_button.clicked.connect(self.pause_pressed.emit)
        self.follow_button.clicked.connect(self.follow_pressed.emit)
        self._slider = _MarkedSlider()
        self._slider.setPageStep(25)
        # Keys belong to the window's own table.
        self._slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._slider.valueChanged.connect(self.scrubbed.emit)
        self._text = QLabel()
        self._text.setStyleSheet(text_style(Tone.FAINT, 12))
        self._text.setMinimumWidth(150)
        self._text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.pause_button)
        row.addWidget(self.follow_button)
        row.addWidget(self._slider, 1000)
        # Where there is nothing to slide over, the buttons keep their size.
        row.addStretch(1)
        row.addWidget(self._text)
        self.set_length(0)

    @property
    def position(self) -> int:
        """Index of the window that the slider is at."""
        return self._slider.value()

    @property
    def text(self) -> str:
        """What is written beside the slider."""
        return self._text.text()

    def scrub_to(self, index: int) -> None:
        """As if the operator had moved the slider."""
        self._slider.setValue(index)

    def set_length(self, n_windows: int) -> None:
        """Say how many windows there are."""
        self._quietly(lambda: self._slider.setMaximum(max(0, n_windows - 1)))
        self._slider.setEnabled(n_windows > 1)
        self._slider.setVisible(n_windows > 0)
        self._text.setVisible(n_windows > 0)
        self._write()

    def set_position(self, index: int) -> None:
        """Follow what is shown, without saying so."""
        self._quietly(lambda: self._slider.setValue(index))
        self._write()

    def set_marks(self, indices: tuple[int, ...]) -> None:
        """Mark the windows beside which frames were lost."""
        if indices != self._slider.marks:
            self._slider.marks = indices
            self._slider.update()

    def _quietly(self, change: Callable[[], None]) -> None:
        self._slider.blockSignals(True)
        change()
        self._slider.blockSignals(False)

    def _write(self) -> None:
        self._text.setText(f"{grouped(self._slider.value() + 1)} of {grouped(self._slider.maximum() + 1)} windows")


def _button(text: str, key: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"key: {key}")
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setMinimumWidth(76)
    button.setStyleSheet(
        f"QPushButton {{ background: {RAISED}; color: {TEXT}; border: none; border-radius: 4px; padding: 5px 12px; }}"
        "QPushButton:hover { background: #333945; } QPushButton:disabled { color: #5a606b; }"
    )
    return button
