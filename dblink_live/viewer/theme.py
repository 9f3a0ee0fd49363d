"""The look: dark, so that the pictures are the brightest thing in the room, and a few colours that mean something."""

from __future__ import annotations

from enum import Enum

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

BACKGROUND = "#121418"
SURFACE = "#1b1e24"
RAISED = "#262a32"
TEXT = "#e2e5ea"
FAINT = "#8c939e"
ACCENT = "#4aa3df"


class Tone(Enum):
    """What a piece of text means. Red is kept for what is lost; grey for what does not matter."""

    NORMAL = TEXT
    FAINT = FAINT
    GOOD = "#63c174"
    WARNING = "#e6a93c"
    ALARM = "#ff5c57"


def apply_dark_theme(app: QApplication) -> None:
    """Give every window of ``app`` the dark palette, the same on all systems."""
    app.setStyle("Fusion")
    palette = QPalette()
    role = QPalette.ColorRole
    for roles, colour in (
        ((role.Window, role.AlternateBase), BACKGROUND),
        ((role.Base, role.Dark, role.Shadow), SURFACE),
        ((role.Button, role.Mid, role.ToolTipBase, role.Midlight, role.Light), RAISED),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText), TEXT),
        ((role.Highlight, role.Link), ACCENT),
        ((role.HighlightedText,), BACKGROUND),
        ((role.PlaceholderText,), FAINT),
    ):
        for one in roles:
            palette.setColor(one, QColor(colour))
    for one in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, one, QColor(FAINT))
    app.setPalette(palette)


def badge_style(tone: Tone) -> str:
    """Style sheet of a small filled label, such as *provisional*."""
    return (
        f"color: {BACKGROUND}; background: {tone.value}; border-radius: 3px; padding: 1px 6px; "
        "font-weight: 600; font-size: 11px;"
    )


def text_style(tone: Tone, size_px: int = 13, weight: int = 400) -> str:
    """Style sheet of plain text in a tone."""
    return f"color: {tone.value}; font-size: {size_px}px; font-weight: {weight};"


def grouped(number: int) -> str:
    """A number with thin spaces between thousands.

    Examples
    --------
    >>> grouped(1234567) == "1\\u2009234\\u2009567"
    True
    """
    return f"{number:,}".replace(",", "\u2009")
