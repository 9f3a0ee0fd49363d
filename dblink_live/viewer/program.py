"""The program: the start page, the windows of runs, and the run that was started here."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, QRectF

from dblink_live.bus import Subscriber
from dblink_live.errors import DblinkError
from dblink_live.viewer.processes.child import Child
from dblink_live.viewer.regions.measure import Rectangle
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.start.choices import Choices, command_of, owns_camera
from dblink_live.viewer.start.page import StartPage
from dblink_live.viewer.window import ViewerWindow

_ADDRESS = re.compile(r"live at (tcp://[^\s;]+)")
"""By this a run says where its viewers connect."""


class Program(QObject):
    """Opens windows and starts runs; each run is a process of its own that a closed window leaves alone.

    Parameters
    ----------
    settings
        What is remembered.
    """

    def __init__(self, settings: ViewerSettings | None = None) -> None:
        super().__init__()
        self.settings = ViewerSettings() if settings is None else settings
        self.page: StartPage | None = None
        self.windows: list[ViewerWindow] = []
        self._starting: Child | None = None
        self._is_cancelled = False
        self._choices = Choices()

    def show_start(self) -> StartPage:
        """Show the start page and return it."""
        if self.page is None:
            self.page = StartPage(self.settings)
            self.page.start_wanted.connect(self.start_run)
            self.page.cancel_wanted.connect(self._cancel)
            self.page.open_wanted.connect(self._open_from_page)
        self.page.form.renew_folder()
        self.page.show()
        self.page.raise_()
        return self.page

    def open_run(self, path: Path) -> ViewerWindow:
        """Open a window on a run folder.

        Raises
        ------
        StoreError
            It is none, or of another version.
        """
        return self.show_window(None, StoredSource(path))

    def open_live(self, address: str, owner: Child | None = None, choices: Choices | None = None) -> ViewerWindow:
        """Open a window on a live run; ``owner`` is its process, where it was started here, with these choices."""
        window = self.show_window(LiveSource(Subscriber(address)), None)
        if owner is not None:
            window.set_owner(owner, owns_camera(choices or Choices()))
            window.again_wanted.connect(lambda: self.start_run(choices or Choices()))
        return window

    def show_window(self, live: LiveSource | None, history: StoredSource | None) -> ViewerWindow:
        """Show a window on what is given."""
        window = ViewerWindow(live, history, self.settings)
        window.new_run_wanted.connect(self.show_start)
        window.crop_wanted.connect(lambda region: self.open_crop(window, region))
        window.closed.connect(lambda: self.windows.remove(window) if window in self.windows else None)
        self.windows.append(window)
        window.start()
        window.show()
        return window

    def open_crop(self, window: ViewerWindow, region: Rectangle) -> ViewerWindow:
        """Open another window on the same run, whose field is a part of it."""
        presenter = window.presenter
        live, history = presenter.live, presenter.history
        if live is not None and not presenter.has_ended:
            opened = self.show_window(LiveSource(Subscriber(live.address, keys=live.keys), keys=live.keys), None)
        else:
            opened = self.show_window(None, StoredSource(history.path) if history is not None else None)
        opened.presenter.area.crop(QRectF(region.left_nm, region.top_nm, region.width_nm, region.height_nm))
        return opened

    def start_run(self, choices: Choices) -> None:
        """Start a run, and open its window once it says where; what goes wrong before is said on the start page."""
        page = self.show_start()
        if self._starting is not None:
            return
        if Path(choices.folder).exists():
            choices = replace(choices, folder=page.form.folder.text())
        self._choices = choices
        child = Child(command_of(choices))
        child.said.connect(self._on_line)
        child.finished.connect(self._on_finished)
        self._starting, self._is_cancelled = child, False
        page.set_busy(True)
        page.say("Starting\N{HORIZONTAL ELLIPSIS}")
        child.start()

    def close(self) -> None:
        """Close every window; runs go on."""
        for window in list(self.windows):
            window.close()
        if self._starting is not None:
            self._starting.let_go()
            self._starting = None
        if self.page is not None:
            self.page.close()

    def _on_line(self, line: str) -> None:
        page, child = self.page, self._starting
        if child is None or page is None:
            return
        # A run that was cancelled may still say where it is before it ends.
        found = None if self._is_cancelled else _ADDRESS.search(line)
        if found is None:
            page.say(line)
            return
        self._starting = None
        child.said.disconnect(self._on_line)
        child.finished.disconnect(self._on_finished)
        page.set_busy(False)
        page.notice.hide()
        self.open_live(found[1], child, self._choices)
        page.hide()

    def _on_finished(self, status: int) -> None:
        """The command has ended without a live run: a table's run is made, or something was wrong."""
        page, child = self.page, self._starting
        self._starting = None
        if page is None or child is None:
            return
        page.set_busy(False)
        if self._is_cancelled or status in (-2, 130):
            page.say("Cancelled")
        elif status == 0:
            page.notice.hide()
            self._open_from_page(Path(self._choices.folder))
        else:
            page.say_problem(child.problem or f"the run ended with status {status} before it began")

    def _cancel(self) -> None:
        if self._starting is not None:
            self._is_cancelled = True
            self._starting.stop()

    def _open_from_page(self, path: Path) -> None:
        page = self.show_start()
        try:
            self.open_run(path)
        except DblinkError as error:
            page.say_problem(str(error))
        else:
            page.hide()
