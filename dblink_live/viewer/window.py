"""The window: verdict, toolbar, four linked pictures, timeline and status, and what the keys do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QStandardPaths, QTimer
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dblink_live.errors import DblinkError
from dblink_live.viewer.bars.toolbar import ViewerToolbar
from dblink_live.viewer.keys import HelpOverlay, bind
from dblink_live.viewer.presenter import Presenter
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import SUM_WINDOWS, StoredSource

TICK_MS = 33
HISTORY_MS = 1000
PREFERRED_SIZE = (1440, 860)
SMALLEST_SIZE = (480, 320)


class ViewerWindow(QWidget):
    """Shows a live run, a run folder, or both: a live run whose folder can be seen can be scrubbed while it grows.

    Parameters
    ----------
    live
        Pictures from the wire, or None.
    history
        Pictures from a run folder, or None.
    settings
        What is remembered; None takes the user's own.

    Notes
    -----
    Call ``presenter.tick`` regularly, or `start` to have a timer do so.
    """

    def __init__(
        self,
        live: LiveSource | None = None,
        history: StoredSource | None = None,
        settings: ViewerSettings | None = None,
    ) -> None:
        super().__init__()
        self._settings = ViewerSettings() if settings is None else settings
        self.presenter = Presenter(live, history)
        self.presenter.title_changed.connect(self.setWindowTitle)
        self.presenter.folder_found.connect(self._settings.remember_run)
        self.toolbar = ViewerToolbar(self.presenter.area, self._actions())
        self.toolbar.sum_length_chosen.connect(self._on_sum_length)
        self._lay_out()
        self.help = HelpOverlay(self)
        self.shortcuts = bind(self, self._actions())
        self._tick_timer = QTimer(self)
        self._tick_timer.timeout.connect(self.presenter.tick)
        self._history_timer = QTimer(self)
        self._history_timer.timeout.connect(self.presenter.refresh_history)
        if history is not None:
            self._settings.remember_run(history.path)
        self._restore()
        self.presenter.begin()

    def start(self) -> None:
        """Keep the window up to date from now on."""
        self._tick_timer.start(TICK_MS)
        self._history_timer.start(HISTORY_MS)

    def save_picture(self, path: str | Path | None = None) -> Path:
        """Write the window as a PNG and return its path; without one, into the pictures folder under the run's name.

        Raises
        ------
        DblinkError
            It cannot be written.
        """
        if path is None:
            folder = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation))
            name = "".join(letter if letter.isalnum() else "-" for letter in self.windowTitle())
            path = next(free for n in range(10_000) if not (free := folder / f"{name}-{n:03d}.png").exists())
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_saved = self.grab().save(str(path))
        except OSError:
            is_saved = False
        if not is_saved:
            raise DblinkError(
                f"cannot write the picture {path}; choose a folder that can be written, and a name in .png"
            )
        self.presenter.say(f"Saved the window as {path}")
        return path

    def closeEvent(self, event: QCloseEvent) -> None:
        self._settings.geometry = self.saveGeometry()
        self._settings.set("area", self.presenter.area.to_plain())
        self._tick_timer.stop()
        self._history_timer.stop()
        self.presenter.close()
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.help.place()

    def _actions(self) -> dict[str, Callable[[], object]]:
        shown, area = self.presenter, self.presenter.area
        return {
            "pause": shown.pause,
            "follow": shown.follow,
            "first": lambda: shown.go_to(0),
            "back": lambda: shown.step(-1),
            "forward": lambda: shown.step(1),
            "back_far": lambda: shown.step(-25),
            "forward_far": lambda: shown.step(25),
            "fit": area.fit,
            "only_camera": lambda: area.only("camera"),
            "only_sum": lambda: area.only("sum"),
            "only_reconstruction": lambda: area.only("reconstruction"),
            "only_trust": lambda: area.only("trust"),
            "all_panels": lambda: area.only(None),
            "provisional": shown.toggle_provisional,
            "molecules": shown.toggle_molecules,
            "contrast": area.toggle_contrast,
            "brighter": lambda: area.brighten(1),
            "darker": lambda: area.brighten(-1),
            "colours": area.next_colours,
            "cursor": area.toggle_cross,
            "save_picture": lambda: shown.attempt(self.save_picture),
            "full_screen": lambda: self.showNormal() if self.isFullScreen() else self.showFullScreen(),
            "help": lambda: self.help.toggle(),
            "dismiss": self._dismiss,
            "quit": self.close,
        }

    def _lay_out(self) -> None:
        shown = self.presenter
        body = QVBoxLayout()
        body.setContentsMargins(10, 6, 10, 6)
        body.setSpacing(6)
        body.addWidget(shown.area, 1)
        body.addWidget(shown.timeline)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        for widget in (shown.head, shown.banner, self.toolbar):
            whole.addWidget(widget)
        whole.addLayout(body, 1)
        whole.addWidget(shown.status_bar)

    def _restore(self) -> None:
        screen = self.screen().availableGeometry()
        self.setMinimumSize(min(SMALLEST_SIZE[0], screen.width()), min(SMALLEST_SIZE[1], screen.height()))
        geometry = self._settings.geometry
        if geometry is None or not self.restoreGeometry(geometry):
            self.resize(min(PREFERRED_SIZE[0], screen.width()), min(PREFERRED_SIZE[1], screen.height()))
        self.presenter.area.restore(self._settings.get("area", {}))
        n_windows = min(max(self._settings.get("sum_windows", SUM_WINDOWS), 1), self.toolbar.sum_length.maximum())
        self.toolbar.sum_length.blockSignals(True)
        self.toolbar.sum_length.setValue(n_windows)
        self.toolbar.sum_length.blockSignals(False)
        self.presenter.sum_windows = n_windows
        self.toolbar.refresh()

    def _on_sum_length(self, n_windows: int) -> None:
        self._settings.set("sum_windows", n_windows)
        self.presenter.set_sum_length(n_windows)

    def _dismiss(self) -> None:
        if self.help.isVisible():
            self.help.hide()
        elif self.isFullScreen():
            self.showNormal()
