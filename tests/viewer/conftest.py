"""A Qt application, windows that are closed behind each test, and runs to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="the viewer is an extra: pip install 'dblink-live[viewer]'")

from PySide6.QtWidgets import QApplication

from dblink_live.bus import Publisher, Subscriber
from dblink_live.store import RunWriter
from dblink_live.types import (
    Gap,
    GapCause,
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)
from dblink_live.viewer.feed import LiveFeed
from dblink_live.viewer.history import RunFeed
from dblink_live.viewer.theme import apply_dark_theme
from dblink_live.viewer.window import ViewerWindow

PATIENCE_S = 60.0  # only ever waited out by a failing test
GRID = Grid.covering(Shape(24, 32), pixel_size_nm=108.0, pitch_nm=40.0)


@pytest.fixture(scope="session")
def app() -> QApplication:
    existing = QApplication.instance()
    made = existing if isinstance(existing, QApplication) else QApplication(["test"])
    apply_dark_theme(made)
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


@pytest.fixture
def open_window(app: QApplication) -> Iterator[Callable[..., ViewerWindow]]:
    """Make windows that are shown and, in the end, closed."""
    windows: list[ViewerWindow] = []

    def make(live: LiveFeed | None = None, history: RunFeed | None = None) -> ViewerWindow:
        window = ViewerWindow(live, history)
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
    window = open_window(LiveFeed(Subscriber(publisher.address, clock=clock)))
    until(lambda: window.tick() or window.mode == "live")
    return window


def counts_of(window: int) -> Any:
    """Localizations of a window: one at a place that tells its number."""
    counts = np.zeros(GRID.shape, np.uint16)
    counts[window % GRID.shape.height, 10] = 1
    return counts


def probability_of(window: int) -> Any:
    """A picture whose brightest row tells its number."""
    image = np.zeros(GRID.shape, np.float32)
    image[window % GRID.shape.height] = 1.0
    return image


class GrowingRun:
    """A run that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
        self.writer = RunWriter.create(path, info, window_frames=10)
        segment = Segment(index=0, shape=Shape(24, 32), dtype="uint16", frame_interval_ms=20.0)
        self.writer.begin_segment(segment, GRID, 108.0)
        self.n_windows = 0

    def add(self, n_windows: int, lookahead: int = 8) -> None:
        """Commit more windows; reconstructions come ``lookahead`` windows later."""
        for window in range(self.n_windows, self.n_windows + n_windows):
            counts = LocalizationMap(0, window, 10 * window, 10 * window + 10, counts_of(window), GRID)
            self.writer.write_map(counts, empty_localizations())
            if window >= lookahead:
                done = window - lookahead
                self.writer.write_reconstruction(
                    Reconstruction(0, done, probability_of(done), "bounded", lookahead, latency_s=1.5)
                )
        self.n_windows += n_windows
        self.writer.flush()

    def lose(self, after: int, count: int) -> None:
        """Note lost frames."""
        self.writer.record_gap(Gap(0, after, count, GapCause.RING))
        self.writer.flush()


@pytest.fixture
def growing_run(tmp_path: Path) -> Iterator[GrowingRun]:
    run = GrowingRun(tmp_path / "run")
    yield run
    run.writer.close()
