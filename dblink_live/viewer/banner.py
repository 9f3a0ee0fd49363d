"""The line above the pictures, for what must not be overlooked: no signal, a failure, the end."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from dblink_live.bus import Link
from dblink_live.viewer.live_source import LiveSource
from dblink_live.viewer.stored_source import StoredSource
from dblink_live.viewer.theme import BACKGROUND, RAISED, TEXT, Tone


@dataclass(frozen=True)
class Notice:
    """What the banner says; nothing, for an empty text."""

    text: str = ""
    tone: Tone = Tone.FAINT


def notice(live: LiveSource | None, history: StoredSource | None, problem: str = "") -> Notice:
    """What there is to say: a ``problem`` first, then the state of the live run, then of the stored one."""
    if problem:
        return Notice(problem, Tone.ALARM)
    if live is None:
        return Notice() if history is None else Notice(history.note)
    if live.link in (Link.CONNECTING, Link.LOST) and live.refusal:
        return Notice(f"Turned away by {live.address}: {live.refusal}", Tone.ALARM)
    if live.link is Link.CONNECTING:
        return Notice(f"Waiting for a run at {live.address}")
    if live.link is Link.LOST:
        return Notice("No word from the run for 3 s. What it has committed is safe in its folder.", Tone.ALARM)
    if live.end_message is not None:
        return Notice(live.end_message, Tone.ALARM if live.has_failed else Tone.FAINT)
    if live.status is not None and live.status.state == "running" and live.status.message:
        return Notice(live.status.message, Tone.WARNING)
    return Notice()


class Banner(QLabel):
    """Shows a `Notice`, and takes no room without one."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.hide()
        self._notice = Notice()

    @property
    def notice(self) -> Notice:
        """What is shown."""
        return self._notice

    def show_notice(self, notice: Notice) -> None:
        """Show ``notice`` until the next one."""
        if notice == self._notice:
            return
        self._notice = notice
        is_alarm = notice.tone is Tone.ALARM
        self.setText(notice.text)
        self.setStyleSheet(
            f"background: {notice.tone.value if is_alarm else RAISED}; color: {BACKGROUND if is_alarm else TEXT}; "
            "padding: 6px; font-size: 13px; font-weight: 600;"
        )
        self.setVisible(bool(notice.text))
