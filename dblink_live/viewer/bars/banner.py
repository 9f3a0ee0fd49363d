"""The line above the pictures, for what must not be overlooked: no signal, a failure, the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from dblink_live.bus import Link
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.theme import Tone, set_look


@dataclass(frozen=True)
class Notice:
    """What the banner says; nothing, for an empty text."""

    text: str = ""
    tone: Tone = Tone.FAINT


NOTHING = Notice()
MESSAGE_S = 6.0
"""How long the window says what it has just done."""


class Message:
    """What was done a moment ago."""

    def __init__(self) -> None:
        self._notice, self._until_s = NOTHING, 0.0

    @property
    def current(self) -> Notice:
        """The message, or nothing once it has been there for `MESSAGE_S`."""
        return self._notice if time.perf_counter() < self._until_s else NOTHING

    def say(self, text: str, tone: Tone) -> None:
        """Say ``text`` from now on."""
        self._notice, self._until_s = Notice(text, tone), time.perf_counter() + MESSAGE_S


def notice(
    live: LiveSource | None,
    history: StoredSource | None,
    problem: str = "",
    message: Notice = NOTHING,
    is_stored: bool = False,
) -> Notice:
    """What there is to say.

    Parameters
    ----------
    live, history
        What is looked at.
    problem
        Something that went wrong here; comes first.
    message
        What was done a moment ago, such as where a picture was saved.
    is_stored
        A stored window is shown: what the live run says of its camera does not concern it.
    """
    if problem:
        return Notice(problem, Tone.ALARM)
    if message.text:
        return message
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
    if live.status is not None and live.status.state == "running" and live.status.message and not is_stored:
        return Notice(live.status.message, Tone.WARNING)
    return Notice()


class Banner(QLabel):
    """Shows a `Notice`, and takes no room without one."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        set_look(self, "notice", Tone.FAINT)
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
        self.setText(notice.text)
        set_look(self, "notice", notice.tone)
        self.setVisible(bool(notice.text))
