"""Every key in one table: it makes the shortcuts and it is the help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.theme import set_look


@dataclass(frozen=True)
class Binding:
    """One action and the keys that call it."""

    action: str
    keys: tuple[str, ...]
    """As Qt spells them; the first is shown in the help."""
    help: str


BINDINGS: tuple[Binding, ...] = (
    Binding("pause", ("Space",), "pause or go on; play stored windows"),
    Binding("follow", ("End", "L"), "jump to live"),
    Binding("first", ("Home",), "first stored window"),
    Binding("back", ("Left",), "one window back"),
    Binding("forward", ("Right",), "one window forward"),
    Binding("back_far", ("Shift+Left",), "25 windows back"),
    Binding("forward_far", ("Shift+Right",), "25 windows forward"),
    Binding("fit", ("F", "R"), "whole field"),
    Binding("only_camera", ("1",), "camera alone"),
    Binding("only_sum", ("2",), "plain sum alone"),
    Binding("only_reconstruction", ("3",), "reconstruction alone"),
    Binding("only_trust", ("4",), "trust alone"),
    Binding("all_panels", ("0",), "all panels"),
    Binding("molecules", ("M",), "show the molecules of the window"),
    Binding("provisional", ("P",), "provisional beside lookahead, live beside full pass"),
    Binding("contrast", ("A",), "automatic contrast, or locked"),
    Binding("brighter", ("]",), "brighter"),
    Binding("darker", ("[",), "darker"),
    Binding("rectangle", ("Shift+R",), "measure a rectangle, or no longer"),
    Binding("line", ("Shift+L",), "measure along a line, or no longer"),
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
        set_look(self, "card")
        grid = QGridLayout(self)
        grid.setContentsMargins(28, 20, 28, 22)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(7)
        grid.addWidget(label("Keys", "heading"), 0, 0, 1, 5)
        rows = -(-len(BINDINGS) // 2)
        for index, binding in enumerate(BINDINGS):
            key, meaning = label(" or ".join(binding.keys), "key"), label(binding.help)
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
        self.show()
        self.place()
        self.raise_()

    def place(self) -> None:
        """Move to the middle of the parent."""
        self.adjustSize()
        parent = self.parentWidget()
        if parent is not None:
            self.move(max(0, (parent.width() - self.width()) // 2), max(0, (parent.height() - self.height()) // 2))

    def mousePressEvent(self, event: object) -> None:
        self.hide()
