"""The window: three linked pictures, a line of status, a timeline, and what the keys do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QRectF, QStandardPaths, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dblink_live.bus import Link
from dblink_live.display.colours import COLOUR_MAPS, ColourMapName
from dblink_live.display.contrast import CAMERA, RECONSTRUCTION, SUM
from dblink_live.errors import DblinkError
from dblink_live.viewer.banner import Banner, notice
from dblink_live.viewer.keys import HelpOverlay, bind
from dblink_live.viewer.live_source import LiveSource
from dblink_live.viewer.panels import Linked, Panel
from dblink_live.viewer.picture import SLOTS, Picture, Slot
from dblink_live.viewer.statusbar import Mode, StatusBar, status_items
from dblink_live.viewer.stored_source import StoredSource
from dblink_live.viewer.timeline import Timeline

TICK_MS = 33
HISTORY_MS = 1000
PLAY_WINDOWS_PER_S = 10.0

Showing = Literal["latest", "held", "stored", "playing"]


class ViewerWindow(QWidget):
    """Shows a live run, a run folder, or both: a live run whose folder can be seen can be scrubbed while it grows.

    Parameters
    ----------
    live
        Pictures from the wire, or None.
    history
        Pictures from a run folder, or None.

    Notes
    -----
    Call `tick` regularly, or `start` to have a timer do so.
    """

    def __init__(self, live: LiveSource | None = None, history: StoredSource | None = None) -> None:
        super().__init__()
        self._live = live
        self._history = history
        self._showing: Showing = "latest"
        self._refused_folder: Path | None = None
        self._field = QRectF()
        self._is_fitted = True
        self._colours: ColourMapName = "ember"
        self._shows_cross = False
        self._problem = ""

        self.panels: dict[Slot, Panel] = {
            "camera": Panel("Camera", "counts", CAMERA, "grey"),
            "sum": Panel("Windowed sum", "localizations", SUM, self._colours),
            "reconstruction": Panel("Reconstruction", "probability", RECONSTRUCTION, self._colours),
        }
        self._linked = Linked([panel.view for panel in self.panels.values()])
        self._linked.moved_by_hand.connect(self._on_moved)
        self._linked.resized.connect(self._fit_later)
        for panel in self.panels.values():
            panel.pointed.connect(self._on_pointed)
        self.banner = Banner()
        self.status_bar = StatusBar()
        self.timeline = Timeline()
        self.timeline.scrubbed.connect(self._on_scrubbed)
        self.timeline.pause_pressed.connect(self.pause)
        self.timeline.follow_pressed.connect(self.follow)
        self._lay_out()
        self.help = HelpOverlay(self)
        self.shortcuts = bind(self, self._actions())
        self._tick_timer = QTimer(self)
        self._tick_timer.timeout.connect(self.tick)
        self._history_timer = QTimer(self)
        self._history_timer.timeout.connect(self.refresh_history)
        self._play_timer = QTimer(self)
        self._play_timer.timeout.connect(self._play_on)
        # The panels get their sizes after the window: fitting waits until they have.
        self._fit_timer = QTimer(self)
        self._fit_timer.setSingleShot(True)
        self._fit_timer.timeout.connect(self._refit)
        self.resize(1500 if live is not None else 1060, 640)
        # A run folder holds no camera frames: its panel would stay black.
        self.panels["camera"].setVisible(live is not None)
        self._set_showing("latest")
        self.refresh_history()
        self.tick()

    @property
    def showing(self) -> Showing:
        """latest: follows; held: a live picture is held; stored: a stored window; playing: stored windows in turn."""
        return self._showing

    @property
    def mode(self) -> Mode:
        """What the status line says."""
        if self._showing == "playing":
            return "playing"
        if self._showing == "held":
            return "paused"
        if self._live is None or self._showing == "stored":
            return "stored"
        if self._live.has_failed:
            return "failed"
        modes: dict[Link, Mode] = {
            Link.CONNECTING: "connecting",
            Link.LIVE: "live",
            Link.LOST: "lost",
            Link.ENDED: "ended",
        }
        return modes[self._live.link]

    def start(self) -> None:
        """Keep the window up to date from now on."""
        self._tick_timer.start(TICK_MS)
        self._history_timer.start(HISTORY_MS)

    def tick(self) -> None:
        """Take in what is new and show it. A picture that cannot be shown never ends the viewer."""
        if self._live is not None:
            self._live.poll()
            if self._showing == "latest":
                self._show(self._live.take())
        self.banner.show_notice(notice(self._live, self._history, self._problem))
        status = self._live.status if self._live is not None else None
        if status is None and self._history is not None:
            status = self._history.status
        skips = self._live.display_skips if self._live is not None else None
        self.status_bar.show_items(status_items(self.mode, status, skips))

    def refresh_history(self) -> None:
        """Look whether more windows are stored."""
        if self._live is not None:
            self._adopt_folder(self._live)
            self.setWindowTitle(f"{self._live.title} - dblink-live")
        if self._history is None:
            self.timeline.set_length(0)
            return
        self._history.refresh()
        self.timeline.set_length(self._history.n_windows)
        self.timeline.set_marks(self._history.gap_indices)
        if self._live is None:
            self.setWindowTitle(f"{self._history.title} - dblink-live")
        if self._showing == "latest":
            self.timeline.set_position(self._history.n_windows - 1)
            if self._live is None:
                self._show_stored(self._history.n_windows - 1)

    def pause(self) -> None:
        """Hold a live picture, or let it go; play stored windows, or stop."""
        if self._showing in ("held", "playing"):
            if self._showing == "held":
                self.follow()
            else:
                self._set_showing("stored")
        elif self._showing == "latest" and self._live is not None:
            self._set_showing("held")
        elif self._history is not None and self._history.n_windows > 1:
            if self.timeline.position >= self._history.n_windows - 1:
                self.timeline.set_position(0)
                self._show_stored(0)
            self._set_showing("playing")

    def follow(self) -> None:
        """Show the latest from now on."""
        self._problem = ""
        self._set_showing("latest")
        if self._live is not None:
            self._show(self._live.current())
        self.refresh_history()

    def step(self, n_windows: int) -> None:
        """Go so many stored windows forward, or back."""
        if self._history is not None:
            self._go_to(self.timeline.position + n_windows)

    def toggle_contrast(self) -> None:
        """Lock the contrast of all panels, or let it follow the pictures."""
        is_auto = any(panel.contrast.is_auto for panel in self.panels.values())
        for panel in self.panels.values():
            panel.contrast.lock() if is_auto else panel.contrast.unlock()
            panel.refresh()

    def fit(self) -> None:
        """Show the whole field."""
        self._is_fitted = True
        self._refit()

    def only(self, slot: Slot | None) -> None:
        """Show one panel alone, or all."""
        for name, panel in self.panels.items():
            panel.setVisible(slot is None or name == slot)
        self._fit_later()

    def save_picture(self, path: str | Path | None = None) -> Path:
        """Write the window as a PNG; without a path, into the pictures folder under the run's name."""
        if path is None:
            folder = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation))
            name = "".join(letter if letter.isalnum() else "-" for letter in self.windowTitle())
            path = next(free for n in range(10_000) if not (free := folder / f"{name}-{n:03d}.png").exists())
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self.grab().save(str(path)):
            raise DblinkError(
                f"cannot write the picture {path}; choose a folder that can be written, and a name in .png"
            )
        return path

    def closeEvent(self, event: QCloseEvent) -> None:
        for timer in (self._tick_timer, self._history_timer, self._play_timer, self._fit_timer):
            timer.stop()
        if self._live is not None:
            self._live.close()
        if self._history is not None:
            self._history.close()
        event.accept()

    def _actions(self) -> dict[str, Callable[[], object]]:
        return {
            "pause": self.pause,
            "follow": self.follow,
            "first": lambda: self._go_to(0),
            "back": lambda: self.step(-1),
            "forward": lambda: self.step(1),
            "back_far": lambda: self.step(-25),
            "forward_far": lambda: self.step(25),
            "fit": self.fit,
            "only_camera": lambda: self.only("camera"),
            "only_sum": lambda: self.only("sum"),
            "only_reconstruction": lambda: self.only("reconstruction"),
            "all_panels": lambda: self.only(None),
            "provisional": self.toggle_provisional,
            "contrast": self.toggle_contrast,
            "brighter": lambda: self._brighten(1),
            "darker": lambda: self._brighten(-1),
            "colours": self.next_colours,
            "cursor": self._toggle_cross,
            "save_picture": self.save_picture,
            "full_screen": lambda: self.showNormal() if self.isFullScreen() else self.showFullScreen(),
            "help": self.help.toggle,
            "dismiss": self._dismiss,
            "quit": self.close,
        }

    def toggle_provisional(self) -> None:
        """Show the other reconstruction: the provisional one of the newest window, or the live one of a refined run."""
        if self._live is not None:
            self._live.prefers_provisional = not self._live.prefers_provisional
            if self._showing == "latest":
                self._show(self._live.current())
        if self._history is not None:
            self._history.prefers_live = not self._history.prefers_live
            if self._live is None or self._showing == "stored":
                self._show_stored(self.timeline.position)

    def next_colours(self) -> None:
        """Take the next colour map for sum and reconstruction; the camera stays grey."""
        self._colours = COLOUR_MAPS[(COLOUR_MAPS.index(self._colours) + 1) % len(COLOUR_MAPS)]
        for slot in ("sum", "reconstruction"):
            self.panels[slot].set_colours(self._colours)

    def _lay_out(self) -> None:
        pictures = QHBoxLayout()
        pictures.setSpacing(10)
        for panel in self.panels.values():
            pictures.addWidget(panel, 1)
        body = QVBoxLayout()
        body.setContentsMargins(12, 10, 12, 8)
        body.setSpacing(8)
        body.addLayout(pictures, 1)
        body.addWidget(self.timeline)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self.banner)
        whole.addLayout(body, 1)
        whole.addWidget(self.status_bar)

    def _show(self, pictures: dict[Slot, Picture]) -> None:
        for slot, picture in pictures.items():
            self.panels[slot].show_picture(picture)
        field = QRectF()
        for panel in self.panels.values():
            field = field.united(panel.field_nm)
        if pictures and field != self._field:
            # Another field: another camera region, or the first picture of all.
            self._field = field
            self.fit()

    def _show_stored(self, index: int) -> None:
        if self._history is None or not 0 <= index < self._history.n_windows:
            return
        try:
            pictures = self._history.at(index)
        except DblinkError as error:
            self._problem = str(error)
            return
        self._problem = ""
        for slot in SLOTS:
            if slot not in pictures:
                self.panels[slot].show_picture(None, "not recorded" if slot == "camera" else "not yet reconstructed")
        self._show(pictures)

    def _go_to(self, index: int) -> None:
        if self._history is not None and self._history.n_windows:
            index = min(max(index, 0), self._history.n_windows - 1)
            self._set_showing("stored")
            self.timeline.set_position(index)
            self._show_stored(index)

    def _on_scrubbed(self, index: int) -> None:
        self._go_to(index)

    def _play_on(self) -> None:
        if self._history is None or self.timeline.position >= self._history.n_windows - 1:
            self._set_showing("stored")
            return
        self.timeline.set_position(self.timeline.position + 1)
        self._show_stored(self.timeline.position)

    def _set_showing(self, showing: Showing) -> None:
        self._showing = showing
        if showing == "playing":
            self._play_timer.start(round(1000 / PLAY_WINDOWS_PER_S))
        else:
            self._play_timer.stop()
        can_play = showing == "stored" or self._live is None
        self.timeline.pause_button.setText(
            "Pause" if showing == "playing" else "Play" if can_play else "Resume" if showing == "held" else "Pause"
        )

    def _adopt_folder(self, live: LiveSource) -> None:
        """Open the folder of a live run on this machine, once, for the timeline."""
        folder = live.run_folder
        if folder is None or folder == self._refused_folder:
            return
        if self._history is not None and self._history.path == folder:
            return
        try:
            opened = StoredSource(folder)
        except DblinkError:
            # The live pictures need no folder.
            self._refused_folder = folder
            return
        if opened.run_uuid != live.run_uuid:
            # Through a tunnel, the run's path can name another folder here.
            opened.close()
            self._refused_folder = folder
            return
        if self._history is not None:
            self._history.close()
        self._history = opened

    def _refit(self) -> None:
        if self._is_fitted and not self._field.isEmpty():
            self._linked.fit(self._field)

    def _fit_later(self) -> None:
        """Fit once all panels have their new sizes."""
        if self._is_fitted:
            self._fit_timer.start(0)

    def _on_moved(self) -> None:
        self._is_fitted = False

    def _on_pointed(self, position_nm: tuple[float, float] | None) -> None:
        for panel in self.panels.values():
            panel.set_value_at(position_nm)
            panel.set_cross(position_nm if self._shows_cross else None)

    def _toggle_cross(self) -> None:
        self._shows_cross = not self._shows_cross
        if not self._shows_cross:
            for panel in self.panels.values():
                panel.set_cross(None)

    def _brighten(self, steps: int) -> None:
        for panel in self.panels.values():
            panel.contrast.brighten(steps)
            panel.refresh()

    def _dismiss(self) -> None:
        if self.help.isVisible():
            self.help.hide()
        elif self.isFullScreen():
            self.showNormal()
