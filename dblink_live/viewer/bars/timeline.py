"""The slider over the windows that are stored: time in seconds first, stages as a strip, lost frames as marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSlider, QStyle, QStyleOptionSlider, QWidget

from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.theme import Tone, current_theme, grouped

Stage = Literal["counted", "bounded", "full"]
"""What a stored window has: only counts, a picture with bounded lookahead, or one of the full pass."""

STAGE_TIP = (
    "grey: only counted so far; blue: reconstructed with bounded lookahead; green: full pass; red marks: lost frames"
)


class _MarkedSlider(QSlider):
    """A slider over a strip of stages, with red marks."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.marks: tuple[int, ...] = ()
        self.stretches: tuple[tuple[int, int, Stage], ...] = ()
        self.setToolTip(STAGE_TIP)
        self.setMinimumHeight(26)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        handle = self.style().pixelMetric(QStyle.PixelMetric.PM_SliderLength, option, self)
        step = (self.width() - handle) / max(self.maximum(), 1)
        theme = current_theme()
        colours: dict[Stage, str] = {"counted": theme.faint, "bounded": theme.accent, "full": theme.good}
        painter = QPainter(self)
        for first, stop, stage in self.stretches:
            left, right = handle / 2 + (first - 0.5) * step, handle / 2 + (stop - 0.5) * step
            painter.fillRect(QRectF(left, self.height() - 3, right - left, 3), QColor(colours[stage]))
        if self.maximum() > 0:
            for mark in self.marks:
                painter.fillRect(
                    QRectF(handle / 2 + mark * step - 1, self.height() / 2 - 7, 2, 14), QColor(theme.alarm)
                )
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
        self.pause_button = _button("Pause", "Space")
        self.follow_button = _button("Latest", "End")
        self.pause_button.clicked.connect(self.pause_pressed.emit)
        self.follow_button.clicked.connect(self.follow_pressed.emit)
        self._slider = _MarkedSlider()
        self._slider.setPageStep(25)
        # Keys belong to the window's own table.
        self._slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._slider.valueChanged.connect(self.scrubbed.emit)
        self._text = label("", "small", Tone.FAINT)
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

    @property
    def stretches(self) -> tuple[tuple[int, int, Stage], ...]:
        """The strip of stages: [first, stop) and what these windows have."""
        return self._slider.stretches

    def scrub_to(self, index: int) -> None:
        """As if the operator had moved the slider."""
        self._slider.setValue(index)

    def set_length(self, n_windows: int) -> None:
        """Say how many windows there are."""
        self._quietly(lambda: self._slider.setMaximum(max(0, n_windows - 1)))
        self._slider.setEnabled(n_windows > 1)
        self._slider.setVisible(n_windows > 0)
        self._text.setVisible(n_windows > 0)

    def set_position(self, index: int) -> None:
        """Follow what is shown, without saying so."""
        self._quietly(lambda: self._slider.setValue(index))

    def set_text(self, time_s: float | None) -> None:
        """Write the time of the window that the slider is at, in seconds from the start, and its number."""
        place = f"window {grouped(self._slider.value() + 1)} of {grouped(self._slider.maximum() + 1)}"
        self._text.setText(place if time_s is None else f"t = {time_s:.1f} s, {place}")

    def name_buttons(self, action: str, can_play: bool, is_coming: bool) -> None:
        """Name what the buttons do now; *Play* needs windows to play, and what has ended is not live."""
        self.follow_button.setText("Jump to live" if is_coming else "Last window")
        self.pause_button.setText(action)
        self.pause_button.setEnabled(action != "Play" or can_play)

    def set_marks(self, indices: tuple[int, ...]) -> None:
        """Mark the windows beside which frames were lost."""
        if indices != self._slider.marks:
            self._slider.marks = indices
            self._slider.update()

    def set_stretches(self, stretches: tuple[tuple[int, int, Stage], ...]) -> None:
        """Show what stretches of windows have."""
        if stretches != self._slider.stretches:
            self._slider.stretches = stretches
            self._slider.update()

    def _quietly(self, change: Callable[[], None]) -> None:
        self._slider.blockSignals(True)
        change()
        self._slider.blockSignals(False)


def _button(text: str, key: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"key: {key}")
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setMinimumWidth(76)
    return button
