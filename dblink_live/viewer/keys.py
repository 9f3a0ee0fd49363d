"""Every key in one table: it makes the shortcuts and it is the help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QWidget

from dblink_live.viewer.theme import FAINT, RAISED, TEXT, Tone, text_style


@dataclass(frozen=True)
class Binding:
    """One action and the keys that call it."""

    action: str
    keys: tuple[str, ...]
    """As Qt spells them; the first is shown in the help."""
    help: str


BINDINGS: tuple[Binding, ...] = (
    Binding("pause", ("Space",), "pause, and go on"),
    Binding("follow", ("End", "L"), "follow the latest"),
    Binding("first", ("Home",), "first stored window"),
    Binding("back", ("Left",), "one window back"),
    Binding("forward", ("Right",), "one window forward"),
    Binding("back_far", ("Shift+Left",), "25 windows back"),
    Binding("forward_far", ("Shift+Right",), "25 windows forward"),
    Binding("fit", ("F", "R"), "whole field"),
    Binding("only_camera", ("1",), "camera alone"),
    Binding("only_sum", ("2",), "windowed sum alone"),
    Binding("only_reconstruction", ("3",), "reconstruction alone"),
    Binding("all_panels", ("0",), "all three panels"),
    Binding("provisional", ("P",), "provisional beside lookahead, live beside full pass"),
    Binding("contrast", ("A",), "automatic contrast, or locked"),
    Binding("brighter", ("]",), "brighter"),
    Binding("darker", ("[",), "darker"),
    Binding("colours", ("C",), "next colour map"),
    Binding("cursor", ("X",), "cross at the pointer in all panels"),
    Binding("save_picture", ("Ctrl+S",), "save this window as a PNG"),
    Binding("full_screen", ("F11",), "full screen"),
    Binding("help", ("?", "F1"), "this list"),
    Binding("dismiss", ("Esc",), "close this list, leave full screen"),
    Binding("quit", ("Ctrl+Q", "Ctrl+W"), "quit; the run goes on"),
)


def bind(owner: QWidget, actions: Mapping[str, Callable[[], object]]) -> list[QShortcut]:
    """Make the shortcuts of `BINDINGS` on ``owner``; every action of the table must be in ``actions``."""
    shortcuts = []
    for binding in BINDINGS:
        for key in binding.keys:
            shortcut = QShortcut(QKeySequence(key), owner)
            shortcut.activated.connect(actions[binding.action])
            shortcuts.append(shortcut)
    return shortcuts


class HelpOverlay(QFrame):
    """The table of keys, floating over the window; a click closes it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setStyleSheet(f"HelpOverlay {{ background: {RAISED}; border: 1px solid {FAINT}; border-radius: 8px; }}")
        grid = QGridLayout(self)
        grid.setContentsMargins(28, 20, 28, 22)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(7)
        title = QLabel("Keys")
        title.setStyleSheet(text_style(Tone.NORMAL, 16, 600))
        grid.addWidget(title, 0, 0, 1, 5)
        rows = -(-len(BINDINGS) // 2)
        for index, binding in enumerate(BINDINGS):
            key = QLabel(binding.keys[0])
            key.setStyleSheet(
                f"color: {TEXT}; border: 1px solid {FAINT}; border-radius: 4px; padding: 1px 7px; font-size: 12px;"
            )
            meaning = QLabel(binding.help)
            meaning.setStyleSheet(text_style(Tone.NORMAL))
            column = 3 * (index // rows)
            grid.addWidget(key, 1 + index % rows, column, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(meaning, 1 + index % rows, column + 1)
        grid.setColumnMinimumWidth(2, 24)
        self.hide()

    def toggle(self) -> None:
        """Show in the middle of the parent, or hide."""
        if self.isVisible():
            self.hide()
            return
        self.adjustSize()
        parent = self.parentWidget()
        if parent is not None:
            self.move((parent.width() - self.width()) // 2, (parent.height() - self.height()) // 2)
        self.show()
        self.raise_()

    def mousePressEvent(self, event: object) -> None:
        self.hide()
