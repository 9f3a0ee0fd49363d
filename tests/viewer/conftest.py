"""A Qt application, windows that are closed behind each test, and runs to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="the viewer is an extra: pip install 'dblink-live[viewer]'")

from growing_run import GrowingRun
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from dblink_live.bus import Publisher, Subscriber
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.theme import DARK, apply_theme
from dblink_live.viewer.window import ViewerWindow

PATIENCE_S = 240.0  # only ever waited out by a failing test


@pytest.fixture(scope="session")
def app() -> QApplication:
    existing = QApplication.instance()
    made = existing if isinstance(existing, QApplication) else QApplication(["test"])
    apply_theme(made, DARK)
    return made


@pytest.fixture
def until(app: QApplication) -> Callable[[Callable[[], Any]], Any]:
    """Let Qt work until a condition gives something; fail after a long while."""

    def wait(condition: Callable[[], Any]) -> Any:
        limit_s = time.perf_counter() + PATIENCE_S
        while not (found := condition()):
            assert time.perf_counter() < limit_s, "waited in vain"
            app.processEvents()
            time.sleep(0.002)
        return found

    return wait


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Child processes neither read nor write what the user's own viewer remembers."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def settings(tmp_path: Path) -> ViewerSettings:
    """Settings of nobody: what the user remembers plays no part."""
    return ViewerSettings(QSettings(str(tmp_path / "viewer.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def open_window(app: QApplication, settings: ViewerSettings) -> Iterator[Callable[..., ViewerWindow]]:
    """Make windows that are shown and, in the end, closed."""
    windows: list[ViewerWindow] = []

    def make(live: LiveSource | None = None, history: StoredSource | None = None) -> ViewerWindow:
        window = ViewerWindow(live, history, settings)
        windows.append(window)
        window.show()
        for _ in range(5):
            app.processEvents()
        return window

    yield make
    for window in windows:
        window.close()
        window.deleteLater()
    app.processEvents()


class Clock:
    """Real time, which a test can move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.perf_counter() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as made:
        yield made


@pytest.fixture
def live_window(
    publisher: Publisher, clock: Clock, open_window: Callable[..., ViewerWindow], until: Callable[..., Any]
) -> ViewerWindow:
    """A window that a publisher has answered."""
    window = open_window(LiveSource(Subscriber(publisher.address, clock=clock)))
    until(lambda: window.presenter.tick() or window.presenter.mode == "live")
    return window


@pytest.fixture
def growing_run(tmp_path: Path) -> Iterator[GrowingRun]:
    run = GrowingRun(tmp_path / "run")
    yield run
    run.writer.close()
