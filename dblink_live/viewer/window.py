"""The window: verdict, toolbar, four linked pictures, timeline and status, and what the keys do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QStandardPaths, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from dblink_live.errors import DblinkError
from dblink_live.viewer.bars.after_run import AfterRunBar
from dblink_live.viewer.bars.toolbar import ViewerToolbar
from dblink_live.viewer.keys import HelpOverlay, bind
from dblink_live.viewer.panels.picture import Picture
from dblink_live.viewer.presenter import Presenter
from dblink_live.viewer.processes.child import Child
from dblink_live.viewer.regions.outlines import Outlines, Tool
from dblink_live.viewer.regions.sidebar import RegionSidebar
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

    new_run_wanted = Signal()
    again_wanted = Signal()
    """Start the camera of this run again, into another folder."""
    crop_wanted = Signal(object)
    """`Rectangle` to be shown in a window of its own."""
    closed = Signal()

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
        self.outlines = Outlines(list(self.presenter.area.panels.values()))
        self.toolbar.tool_chosen.connect(self.outlines.choose)
        self.sidebar = RegionSidebar(self.outlines, self._shown_pictures, lambda: self.presenter.run_folder)
        self.sidebar.crop_wanted.connect(self.crop_wanted.emit)
        self.sidebar.live_region_wanted.connect(self.presenter.move_live_region)
        self.presenter.shown.connect(self._on_shown)
        self.after_run = AfterRunBar()
        self.after_run.new_run_wanted.connect(self.new_run_wanted.emit)
        self.after_run.again_wanted.connect(self.again_wanted.emit)
        self.after_run.done.connect(lambda _verb: self.presenter.refresh_history())
        self.toolbar.stop.triggered.connect(self.stop_run)
        self._owner: Child | None = None
        self._owns_camera = False
        self._lay_out()
        self.help = HelpOverlay(self)
        self.shortcuts = bind(self, self._actions())
        self._tick_timer = QTimer(self)
        self._tick_timer.timeout.connect(self.presenter.tick)
        self._history_timer = QTimer(self)
        self._history_timer.timeout.connect(self.refresh)
        if history is not None:
            self._settings.remember_run(history.path)
        self._restore()
        self.presenter.begin()
        self.refresh()

    def start(self) -> None:
        """Keep the window up to date from now on."""
        self._tick_timer.start(TICK_MS)
        self._history_timer.start(HISTORY_MS)

    def refresh(self) -> None:
        """Look whether more windows are stored, and whether the run has ended."""
        self.presenter.refresh_history()
        live = self.presenter.live
        self.sidebar.set_can_move_live_region(live is not None and live.can_move_live_region)
        if self.presenter.has_ended and self.after_run.isHidden():
            self.after_run.offer(self.presenter.run_folder)
        elif not self.presenter.has_ended and not self.after_run.is_busy:
            self.after_run.hide()

    def set_owner(self, child: Child, owns_camera: bool) -> None:
        """Say that the run was started here, so that it can be stopped, and a camera of ours started again."""
        self._owner, self._owns_camera = child, owns_camera
        self.toolbar.stop.setVisible(True)
        child.finished.connect(self._on_run_finished)

    def stop_run(self) -> None:
        """End the run that was started here: what the camera has taken is still worked off."""
        if self._owner is not None and self._owner.is_running:
            self._owner.stop()
            self.toolbar.stop.setText("Stopping\N{HORIZONTAL ELLIPSIS}")
            self.toolbar.stop.setEnabled(False)
            self.presenter.say("Stopping: what the camera has taken is still worked off")

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
        path = save_widget(self, Path(path))
        self.presenter.say(f"Saved the window as {path}")
        return path

    def closeEvent(self, event: QCloseEvent) -> None:
        self._settings.geometry = self.saveGeometry()
        self._settings.set("area", self.presenter.area.to_plain())
        self._tick_timer.stop()
        self._history_timer.stop()
        self.after_run.close_down()
        self.sidebar.close_down()
        if self._owner is not None:
            self._owner.let_go()
        self.presenter.close()
        event.accept()
        self.closed.emit()

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
            "rectangle": lambda: self._toggle_tool("rectangle"),
            "line": lambda: self._toggle_tool("line"),
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
        pictures = QHBoxLayout()
        pictures.setSpacing(8)
        pictures.addWidget(shown.area, 1)
        pictures.addWidget(self.sidebar)
        body.addLayout(pictures, 1)
        body.addWidget(shown.timeline)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        for widget in (shown.head, shown.banner, self.toolbar, self.after_run):
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

    def _on_run_finished(self, status: int) -> None:
        child, self._owner = self._owner, None
        self.toolbar.stop.setVisible(False)
        self.after_run.again_button.setVisible(self._owns_camera)
        if child is not None and status not in (0, 130):
            self.presenter.say_problem(child.problem or f"the run ended with status {status}")
        self.refresh()

    def _toggle_tool(self, tool: Tool) -> None:
        self.outlines.choose("none" if self.outlines.tool == tool else tool)

    def _shown_pictures(self) -> dict[str, Picture]:
        panels = self.presenter.area.panels
        return {slot: panel.picture for slot, panel in panels.items() if panel.picture is not None}

    def _on_shown(self) -> None:
        if self.outlines.tool != "none":
            self.sidebar.refresh()

    def _dismiss(self) -> None:
        if self.help.isVisible():
            self.help.hide()
        elif self.isFullScreen():
            self.showNormal()


def save_widget(widget: QWidget, path: Path) -> Path:
    """Write what a widget shows as a PNG and return its path.

    Raises
    ------
    DblinkError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_saved = widget.grab().save(str(path))
    except OSError:
        is_saved = False
    if not is_saved:
        raise DblinkError(f"cannot write the picture {path}; choose a folder that can be written, and a name in .png")
    return path
