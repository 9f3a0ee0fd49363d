"""Decides what the window shows: the latest of a live run, a stored window, or stored windows in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, QTimer, Signal

from dblink_live.bus import Link, StatusMessage
from dblink_live.errors import DblinkError, StoreError
from dblink_live.viewer.bars.banner import Banner, Message, notice
from dblink_live.viewer.bars.statusbar import LINK_MODES, Mode, StatusBar, status_items
from dblink_live.viewer.bars.timeline import Timeline
from dblink_live.viewer.bars.verdict_line import VerdictLine, badge_of
from dblink_live.viewer.conditions import Judge
from dblink_live.viewer.panels.area import PictureArea
from dblink_live.viewer.panels.picture import Picture, Slot
from dblink_live.viewer.regions.live_region import LiveRegionRequest
from dblink_live.viewer.regions.measure import Rectangle
from dblink_live.viewer.sources.live_folder import LiveFolder
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import SUM_WINDOWS, StoredSource
from dblink_live.viewer.theme import Tone

TRUST_MS = 60
"""The trust picture of a stored window rests on many windows: it follows once the slider rests."""
PLAY_WINDOWS_PER_S = 10.0
Showing = Literal["latest", "held", "stored", "playing"]


class Presenter(QObject):
    """Fills panels and bars from a live run, a run folder, or both.

    Parameters
    ----------
    live
        Pictures from the wire, or None.
    history
        Pictures from a run folder, or None; a live run whose folder can be seen brings its own.
    """

    folder_found = Signal(object)
    """The folder of the live run, once it is opened."""
    title_changed = Signal(str)
    shown = Signal()
    """Other pictures are shown."""

    def __init__(self, live: LiveSource | None, history: StoredSource | None) -> None:
        super().__init__()
        self.live = live
        self.history = history
        self.sum_windows = SUM_WINDOWS
        self._showing: Showing = "latest"
        self._live_folder = LiveFolder()
        self._problem = ""
        self._message = Message()
        self._judge_of_run = Judge()
        self._shown_place: tuple[int, int] | None = None
        self._shown_version = -1
        self._region_request = LiveRegionRequest()
        self.area = PictureArea()
        self.head = VerdictLine()
        self.banner = Banner()
        self.status_bar = StatusBar()
        self.timeline = Timeline()
        self.area.pointed.connect(self.status_bar.show_position)
        self.timeline.scrubbed.connect(self.go_to)
        self.timeline.pause_pressed.connect(self.pause)
        self.timeline.follow_pressed.connect(self.follow)
        self._play_timer = QTimer(self)
        self._play_timer.timeout.connect(self._play_on)
        self._trust_timer = QTimer(self)
        self._trust_timer.setSingleShot(True)
        self._trust_timer.timeout.connect(self._show_stored_trust)
        # A run folder holds no camera frames: its panel would stay black.
        self.area.set_available("camera", live is not None)

    @property
    def showing(self) -> Showing:
        """latest: follows; held: a live picture is held; stored: a stored window; playing: stored windows in turn."""
        return self._showing

    @property
    def mode(self) -> Mode:
        """What the badge says."""
        if self._showing == "playing":
            return "playing"
        if self._showing == "held":
            return "paused"
        if self.live is None or self._showing == "stored":
            return "stored"
        if self.live.has_failed:
            return "failed"
        return LINK_MODES[self.live.link]

    @property
    def run_folder(self) -> Path | None:
        """The run's folder; None where it is not on this machine."""
        return None if self.history is None else self.history.path

    @property
    def has_ended(self) -> bool:
        """Whether the run is over, as far as can be told."""
        if self.live is not None:
            return self.live.link is Link.ENDED
        return self.history is not None and self.history.status.state in ("ended", "failed")

    def begin(self) -> None:
        """Show the latest for the first time."""
        if self.history is not None:
            self.history.sum_windows = self.sum_windows
        self._set_showing("latest")
        self.refresh_history()
        self.tick()

    def tick(self) -> None:
        """Take in what is new and show it. A picture that cannot be shown never ends the viewer."""
        if self.live is not None:
            self.live.poll()
            if self._showing == "latest":
                self._show_live(self.live.take())
            self._tell_region(self.live)
        is_stored = self._showing in ("stored", "playing")
        self.banner.show_notice(notice(self.live, self.history, self._problem, self._message.current, is_stored))
        status = self._status()
        skips = self.live.display_skips if self.live is not None and not is_stored else None
        self.status_bar.show_items(status_items(status, skips))
        self._judge(status)
        self._write_transport()

    def refresh_history(self) -> None:
        """Look whether more windows are stored."""
        if self.live is not None:
            self._adopt_folder(self.live)
            self.title_changed.emit(f"{self.live.title} - dblink-live")
        self._judge_of_run.look_at_disk(time.perf_counter())
        if self.history is None:
            self.timeline.set_length(0)
            return
        self.history.refresh()
        self.timeline.set_length(self.history.n_windows)
        self.timeline.set_marks(self.history.gap_indices)
        self.timeline.set_stretches(self.history.stretches)
        if self.live is None:
            self.title_changed.emit(f"{self.history.title} - dblink-live")
        if self._showing == "latest":
            self.timeline.set_position(self.history.n_windows - 1)
            if self.live is None and self.history.version != self._shown_version:
                self._show_stored(self.history.n_windows - 1)
        self._shown_version = self.history.version
        self._write_time()

    def pause(self) -> None:
        """Hold a live picture, or let it go; play stored windows, or stop."""
        if self._showing == "held":
            self.follow()
        elif self._showing == "playing":
            self._set_showing("stored")
        elif self._showing == "latest" and self._is_coming():
            self._set_showing("held")
        elif self.history is not None and self.history.n_windows > 1:
            if self.timeline.position >= self.history.n_windows - 1:
                self.timeline.set_position(0)
                self._show_stored(0)
            self._set_showing("playing")

    def follow(self) -> None:
        """Show the latest from now on."""
        self._problem = ""
        self._set_showing("latest")
        self._judge_of_run.forget()
        self._shown_version = -1
        if self.live is not None:
            self._show_live(self.live.current())
        self.refresh_history()

    def step(self, n_windows: int) -> None:
        """Go so many stored windows forward, or back."""
        if self.history is not None:
            self.go_to(self.timeline.position + n_windows)

    def set_sum_length(self, n_windows: int) -> None:
        """Show the plain sum of so many windows. A live run sends 25; other lengths need its folder."""
        self.sum_windows = n_windows
        if self.history is None:
            if n_windows != SUM_WINDOWS:
                self.say(
                    f"This run sends sums of {SUM_WINDOWS} windows; its folder, for others, is not on this machine"
                )
            return
        self.history.sum_windows = n_windows
        if self.timeline.position < self.history.n_windows:
            self.attempt(lambda: self.area.show_pictures({"sum": self._history_sum(self.timeline.position)}))

    def toggle_provisional(self) -> None:
        """Show the other reconstruction: the provisional one of the newest window, or the live one of a refined run."""
        if self.live is not None:
            self.live.prefers_provisional = not self.live.prefers_provisional
            if self._showing == "latest":
                self._show_live(self.live.current())
        if self.history is not None:
            self.history.prefers_live = not self.history.prefers_live
            if self.live is None or self._showing == "stored":
                self._show_stored(self.timeline.position)

    def toggle_molecules(self) -> None:
        """Draw the molecules of the window shown, or take them away."""
        self.area.set_shows_molecules(not self.area.shows_molecules)
        if self.history is None and self.area.shows_molecules:
            self.say("The molecules are read from the run's folder, which is not on this machine")
        self._show_molecules(self._shown_place)

    def move_live_region(self, region: Rectangle) -> None:
        """Ask the run to reconstruct a part of the field live; what becomes of it is said."""
        live = self.live
        if live is not None:
            self.attempt(lambda: self._region_request.ask(live, region))

    def say(self, message: str) -> None:
        """Say for some seconds what was done."""
        self._message.say(message, Tone.GOOD)

    def say_problem(self, problem: str) -> None:
        """Say for some seconds what could not be done."""
        self._message.say(problem, Tone.ALARM)

    def attempt(self, action: Callable[[], object]) -> None:
        """Do what may fail for a reason that the operator has to know."""
        try:
            action()
        except DblinkError as error:
            self.say_problem(str(error))

    def close(self) -> None:
        """Let go of the run."""
        self._play_timer.stop()
        self._trust_timer.stop()
        self.area.close_down()
        if self.live is not None:
            self.live.close()
        if self.history is not None:
            self.history.close()

    def _tell_region(self, live: LiveSource) -> None:
        """Draw where the run reconstructs, and say what became of a request to move that."""
        self.area.show_live_region(live.live_region_nm if self._showing in ("latest", "held") else None)
        answer = self._region_request.answer(live)
        if answer:
            self.say_problem(answer)
        elif answer is not None:
            self.say("The live region moves with the next window; the camera is not touched")

    def _show_live(self, pictures: dict[Slot, Picture]) -> None:
        live = self.live
        if live is None or not pictures:
            return
        if "sum" in pictures and self.history is not None and self.history.sum_windows != SUM_WINDOWS:
            newest = self.history.n_windows - 1
            if newest >= 0:
                self.attempt(lambda: pictures.update({"sum": self._history_sum(newest)}))
        if "reconstruction" in pictures:
            self._show_molecules(live.place)
            found = live.trust(self._molecules(live.place))
            if found is not None:
                pictures["trust"], shares = found
                self._judge_of_run.add(shares)
        self.area.show_pictures(pictures)
        self.shown.emit()

    def _show_stored(self, index: int) -> None:
        if self.history is None or not 0 <= index < self.history.n_windows:
            return
        try:
            pictures = self.history.at(index)
        except DblinkError as error:
            self._problem = str(error)
            return
        self._problem = ""
        if "reconstruction" not in pictures:
            for slot in ("reconstruction", "trust"):
                self.area.show_nothing(slot, "not yet reconstructed")
        if self.live is not None:
            self.area.show_nothing("camera", "camera frames of stored windows are not kept")
        self.area.show_pictures(pictures)
        self.shown.emit()
        self._show_molecules(self.history.place_of(index))
        self._judge_of_run.forget()
        self._trust_timer.start(TRUST_MS)

    def _show_stored_trust(self) -> None:
        history, index = self.history, self.timeline.position
        if (
            history is None
            or not 0 <= index < history.n_windows
            or (self.live is not None and self._showing == "latest")
        ):
            return
        try:
            found = history.trust_at(index)
        except DblinkError as error:
            self._problem = str(error)
            return
        if found is not None:
            self._judge_of_run.forget()
            self._judge_of_run.add(found[1])
            self.area.show_pictures({"trust": found[0]})

    def _show_molecules(self, place: tuple[int, int] | None) -> None:
        self._shown_place = place
        self.area.show_points(self._molecules(place) if self.area.shows_molecules else None)

    def _molecules(self, place: tuple[int, int] | None) -> npt.NDArray[np.float64] | None:
        """Molecules of a window (segment, window), from the run's folder; None where they cannot be read."""
        index = None if place is None or self.history is None else self.history.index_of(*place)
        if index is None or self.history is None:
            return None
        try:
            return self.history.molecules_nm(index)
        except DblinkError:
            return None  # the picture is shown without them

    def _history_sum(self, index: int) -> Picture:
        if self.history is None:
            raise StoreError("expected the run's folder, which is not on this machine")
        return self.history.sum_at(index)

    def go_to(self, index: int) -> None:
        """Show a stored window."""
        if self.history is not None and self.history.n_windows:
            index = min(max(index, 0), self.history.n_windows - 1)
            self._set_showing("stored")
            self.timeline.set_position(index)
            self._show_stored(index)
            self._write_time()

    def _play_on(self) -> None:
        if self.history is None or self.timeline.position >= self.history.n_windows - 1:
            self._set_showing("stored")
            return
        self.timeline.set_position(self.timeline.position + 1)
        self._show_stored(self.timeline.position)
        self._write_time()

    def _set_showing(self, showing: Showing) -> None:
        self._showing = showing
        if showing == "playing":
            self._play_timer.start(round(1000 / PLAY_WINDOWS_PER_S))
        else:
            self._play_timer.stop()
        self._write_transport()

    def _is_coming(self) -> bool:
        """Whether new pictures may still come over the wire."""
        return self.live is not None and self.live.link is not Link.ENDED

    def _write_transport(self) -> None:
        """Name the buttons by what they do now: what has ended cannot be paused."""
        is_coming = self._is_coming()
        moves = self._showing == "playing" or (self._showing == "latest" and is_coming)
        can_play = self.history is not None and self.history.n_windows > 1
        action = "Pause" if moves else "Resume" if self._showing == "held" else "Play"
        self.timeline.name_buttons(action, can_play, is_coming)

    def _write_time(self) -> None:
        position = self.timeline.position
        if self.history is not None and position < self.history.n_windows:
            self.timeline.set_text(self.history.time_s(position))

    def _status(self) -> StatusMessage | None:
        """The run's newest word, or how it stood at the stored window that is shown."""
        if self._showing in ("stored", "playing") and self.history is not None:
            position = self.timeline.position
            return self.history.status_at(position) if position < self.history.n_windows else self.history.status
        if self.live is not None:
            return self.live.status
        return None if self.history is None else self.history.status

    def _judge(self, status: StatusMessage | None) -> None:
        live = self.live if self._showing in ("latest", "held") else None
        self.head.show_badge(badge_of(self.mode, None if live is None else live.behind_s))
        source = live or self.history
        self.head.show_verdict(self._judge_of_run.verdict(status, None if source is None else source.model, live))

    def _adopt_folder(self, live: LiveSource) -> None:
        """Open the folder of a live run on this machine, once, for the timeline."""
        opened = self._live_folder.open_new(live, self.run_folder)
        if opened is None:
            return
        if self.history is not None:
            self.history.close()
        opened.sum_windows = self.sum_windows
        self.history = opened
        self._judge_of_run.watch_disk(opened.path)
        self.folder_found.emit(opened.path)
