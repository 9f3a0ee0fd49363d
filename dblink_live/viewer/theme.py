"""Light and dark look, chosen by the system, and a few colours that carry meaning.

Widgets name a look ("badge", "small") and a `Tone`; one style sheet per theme turns both into colours, so that a
change of the system's theme needs no widget to know about it. Pictures lie on black in both themes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QWidget

PICTURE_GROUND = "#101216"
"""Behind the pictures, in both themes: their black has to stay the darkest shade on the screen."""


class Tone(Enum):
    """What a piece of text means. Red marks what is lost or wrong; grey what does not matter."""

    NORMAL = "normal"
    FAINT = "faint"
    GOOD = "good"
    WARNING = "warning"
    ALARM = "alarm"


Look = Literal["title", "heading", "body", "small", "badge", "notice", "key", "surface", "card", "primary"]


@dataclass(frozen=True)
class Theme:
    """Colours of one theme."""

    background: str
    surface: str
    raised: str
    text: str
    faint: str
    accent: str
    good: str
    warning: str
    alarm: str
    on_tone: str
    """Of text on a ground in a tone."""

    def colour(self, tone: Tone) -> str:
        """Return the colour of ``tone``."""
        colours = {
            Tone.NORMAL: self.text,
            Tone.FAINT: self.faint,
            Tone.GOOD: self.good,
            Tone.WARNING: self.warning,
            Tone.ALARM: self.alarm,
        }
        return colours[tone]


DARK = Theme(
    background="#121418",
    surface="#1b1e24",
    raised="#262a32",
    text="#e2e5ea",
    faint="#8c939e",
    accent="#4aa3df",
    good="#63c174",
    warning="#e6a93c",
    alarm="#ff5c57",
    on_tone="#121418",
)
LIGHT = Theme(
    background="#f4f5f7",
    surface="#e8eaee",
    raised="#ffffff",
    text="#1b1e24",
    faint="#5f6672",
    accent="#1769aa",
    good="#1d7a36",
    warning="#9a5b00",
    alarm="#c62828",
    on_tone="#ffffff",
)
_current = DARK


def current_theme() -> Theme:
    """Return the theme that the application has now, for widgets that paint themselves."""
    return _current


def follow_system_theme(app: QApplication) -> None:
    """Give ``app`` the system's theme, now and whenever the system changes it; dark where the system names none."""
    hints = app.styleHints()
    hints.colorSchemeChanged.connect(lambda scheme: apply_theme(app, _theme_of(scheme)))
    apply_theme(app, _theme_of(hints.colorScheme()))


def apply_theme(app: QApplication, theme: Theme) -> None:
    """Give every window of ``app`` the palette and the style sheet of ``theme``, the same on all systems."""
    global _current
    _current = theme
    app.setStyle("Fusion")
    app.setPalette(_palette(theme))
    app.setStyleSheet(_style_sheet(theme))


def set_look(widget: QWidget, look: Look, tone: Tone = Tone.NORMAL) -> None:
    """Give ``widget`` a look in a tone; both follow the theme."""
    if widget.property("look") == look and widget.property("tone") == tone.value:
        return
    widget.setProperty("look", look)
    widget.setProperty("tone", tone.value)
    # A style sheet is applied anew only when the widget is polished again.
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def grouped(number: int) -> str:
    """Return a number with thin spaces between thousands.

    Examples
    --------
    >>> grouped(1234567) == "1\\u2009234\\u2009567"
    True
    """
    return f"{number:,}".replace(",", "\u2009")


def _theme_of(scheme: Qt.ColorScheme) -> Theme:
    return LIGHT if scheme == Qt.ColorScheme.Light else DARK


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for roles, colour in (
        ((role.Window, role.AlternateBase), theme.background),
        ((role.Base, role.Dark, role.Shadow), theme.surface),
        ((role.Button, role.Mid, role.ToolTipBase, role.Midlight, role.Light), theme.raised),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText), theme.text),
        ((role.Highlight, role.Link), theme.accent),
        ((role.HighlightedText,), theme.on_tone),
        ((role.PlaceholderText,), theme.faint),
    ):
        for one in roles:
            palette.setColor(one, QColor(colour))
    for one in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, one, QColor(theme.faint))
    return palette


def _style_sheet(theme: Theme) -> str:
    rules = [
        'QLabel[look="title"] { font-size: 20px; font-weight: 600; }',
        'QLabel[look="heading"] { font-size: 14px; font-weight: 600; }',
        'QLabel[look="body"] { font-size: 13px; }',
        'QLabel[look="small"] { font-size: 12px; }',
        f'QLabel[look="key"] {{ border: 1px solid {theme.faint}; border-radius: 4px; padding: 1px 7px; '
        "font-size: 12px; }",
        'QLabel[look="notice"] { padding: 6px 10px; font-size: 13px; font-weight: 600; '
        f"background: {theme.raised}; color: {theme.text}; }}",
        f'QFrame[look="surface"] {{ background: {theme.surface}; border: none; }}',
        f'QFrame[look="card"] {{ background: {theme.raised}; border: 1px solid {theme.faint}; border-radius: 8px; }}',
        f"QToolBar {{ background: {theme.surface}; border: none; spacing: 2px; padding: 3px 8px; }}",
        f"QToolButton {{ color: {theme.text}; background: transparent; border: none; border-radius: 4px; "
        "padding: 4px 9px; font-size: 13px; }",
        f"QToolButton:hover {{ background: {theme.raised}; }}",
        f"QToolButton:checked {{ background: {theme.raised}; color: {theme.accent}; font-weight: 600; }}",
        f"QToolButton:disabled {{ color: {theme.faint}; }}",
        f"QPushButton {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.surface}; "
        "border-radius: 4px; padding: 5px 12px; font-size: 13px; }",
        f"QPushButton:hover {{ border-color: {theme.accent}; }}",
        f"QPushButton:checked {{ border-color: {theme.accent}; color: {theme.accent}; font-weight: 600; }}",
        f"QPushButton:disabled {{ color: {theme.faint}; }}",
        f'QPushButton[look="primary"] {{ background: {theme.accent}; color: {theme.on_tone}; font-weight: 600; }}',
        f'QPushButton[look="primary"]:disabled {{ background: {theme.surface}; color: {theme.faint}; }}',
    ]
    for tone in Tone:
        colour = theme.colour(tone)
        rules.append(f'QLabel[tone="{tone.value}"] {{ color: {colour}; }}')
        rules.append(
            f'QLabel[look="badge"][tone="{tone.value}"] {{ color: {theme.on_tone}; background: {colour}; '
            "border-radius: 3px; padding: 1px 6px; font-weight: 600; font-size: 11px; }"
        )
        if tone in (Tone.WARNING, Tone.ALARM):
            rules.append(
                f'QLabel[look="notice"][tone="{tone.value}"] {{ color: {theme.on_tone}; background: {colour}; }}'
            )
    return "\n".join(rules)
