"""The head of the window: whether the picture is live and how late, and whether it can be believed."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout

from dblink_live.analysis.trust.verdict import BEHIND_AMBER_S, BEHIND_RED_S, Light, Verdict
from dblink_live.viewer.bars.statusbar import MODE_TONES, Mode
from dblink_live.viewer.panels.labels import ElidedLabel, label
from dblink_live.viewer.theme import Tone, set_look

_TONES = {Light.GREEN: Tone.GOOD, Light.AMBER: Tone.WARNING, Light.RED: Tone.ALARM}


def badge_of(mode: Mode, behind_s: float | None) -> tuple[str, Tone]:
    """Return the words and the tone of the badge: ``LIVE`` while the picture is as new as planned.

    Examples
    --------
    >>> badge_of("live", 0.4), badge_of("live", 32.4), badge_of("ended", None)
    (('LIVE', <Tone.GOOD: 'good'>), ('BEHIND 32 s', <Tone.ALARM: 'alarm'>), ('ENDED', <Tone.FAINT: 'faint'>))
    """
    if mode == "live" and behind_s is not None and behind_s >= BEHIND_AMBER_S:
        return f"BEHIND {behind_s:.0f} s", Tone.ALARM if behind_s >= BEHIND_RED_S else Tone.WARNING
    return mode.upper(), MODE_TONES[mode]


class VerdictLine(QFrame):
    """The badge, the light with the gravest reason, and on a click all reasons."""

    def __init__(self) -> None:
        super().__init__()
        set_look(self, "surface")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._badge = label("", "badge")
        self._light = label("", "badge")
        self._text = ElidedLabel("", "body")
        self._more = label("", "small", Tone.FAINT)
        self._details = QLabel()
        set_look(self._details, "body")
        self._details.setWordWrap(True)
        self._details.setTextFormat(Qt.TextFormat.RichText)
        self._details.hide()
        self._verdict: Verdict | None = None
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self._badge)
        row.addWidget(self._light)
        row.addWidget(self._text, 1)
        row.addWidget(self._more)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 5, 12, 5)
        column.addLayout(row)
        column.addWidget(self._details)

    @property
    def badge(self) -> tuple[str, Tone]:
        """Words and tone of the badge."""
        return self._badge.text(), Tone(self._badge.property("tone"))

    @property
    def verdict(self) -> Verdict | None:
        """What is shown; None before anything is known."""
        return self._verdict

    @property
    def text(self) -> str:
        """The line beside the light."""
        return self._text.text()

    @property
    def details(self) -> str:
        """All reasons, as shown after a click."""
        return self._details.text() if self._details.isVisible() else ""

    def show_badge(self, badge: tuple[str, Tone]) -> None:
        """Show words in a tone."""
        self._badge.setText(badge[0])
        set_look(self._badge, "badge", badge[1])

    def show_verdict(self, verdict: Verdict | None) -> None:
        """Show ``verdict``; None where nothing is known yet."""
        self._light.setVisible(verdict is not None)
        if verdict == self._verdict:
            return
        self._verdict = verdict
        if verdict is None:
            self._text.setText("")
            self._more.setText("")
            return
        tone = _TONES[verdict.light]
        self._light.setText(verdict.light.value.upper())
        set_look(self._light, "badge", tone)
        self._text.setText(verdict.text)
        n_more = len(verdict.reasons) - 1
        self._more.setText(f"and {n_more} more" if n_more > 0 else "")
        self._details.setText(
            "<br>".join(
                f"<b>{reason.light.value}</b>&nbsp; {html.escape(reason.text)}: {html.escape(reason.advice)}"
                for reason in verdict.reasons
            )
        )
        if not verdict.reasons:
            self._details.hide()

    def toggle_details(self) -> None:
        """Show all reasons, or only the gravest."""
        self._details.setVisible(self._details.isHidden() and bool(self._verdict and self._verdict.reasons))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.toggle_details()
