"""The head of the window, and what it says of live and stored runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing_run import GRID, GrowingRun
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog

from dblink_live.analysis.trust.verdict import Light
from dblink_live.bus import EndMessage, ImageMessage, Publisher, StartMessage, StatusMessage, Subscriber
from dblink_live.errors import ConfigError, StoreError
from dblink_live.store import RunWriter
from dblink_live.types import Camera, LocalizationMap, RunInfo, Segment, Shape, empty_localizations
from dblink_live.viewer.conditions import time_until_full
from dblink_live.viewer.presenter import Presenter
from dblink_live.viewer.regions.measure import Rectangle
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.theme import Tone
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]
START = StartMessage(
    run_uuid="run",
    source="ndtiff:cell",
    lookahead=8,
    hop=4,
    window_frames=10,
    fps_asked=50.0,
    pixel_size_nm=100.0,
    camera_shape=(32, 40),
)


def say(publisher: Publisher, *, camera_s: float, picture_s: float, **status: Any) -> None:
    """A camera frame and a reconstruction of two moments, and a status."""
    counts = np.zeros((80, 100), np.uint16)
    counts[40, 20:60] = 3
    image = (counts > 0).astype(np.float32)
    publisher.send_image(
        ImageMessage("camera", "run", 0, 9, np.ones((32, 40), np.uint16), round(camera_s * 1e9), 100.0)
    )
    publisher.send_image(ImageMessage("sum", "run", 0, 9, counts, round(picture_s * 1e9), 40.0))
    publisher.send_image(ImageMessage("live", "run", 0, 1, image, round(picture_s * 1e9), 40.0))
    publisher.send_status(
        StatusMessage(**{"frame": 500, "frames_seen": 500, "fps_asked": 50.0, "model": "filaments", **status})
    )


def all_taken_in(shown: Presenter) -> bool:
    """Whether the start, both pictures and the status of `say` have arrived: each comes on its own."""
    shown.tick()
    return shown.live is not None and shown.live.behind_s is not None


@pytest.mark.parametrize(
    ("late_s", "badge", "light"),
    [
        pytest.param(1.0, ("LIVE", Tone.GOOD), Light.GREEN, id="as planned"),
        pytest.param(9.0, ("BEHIND 4 s", Tone.WARNING), Light.AMBER, id="late"),
        pytest.param(36.6, ("BEHIND 32 s", Tone.ALARM), Light.RED, id="very late"),
    ],
)
def test_the_badge_says_how_late_the_picture_is(
    live_window: ViewerWindow,
    publisher: Publisher,
    until: Until,
    late_s: float,
    badge: tuple[str, Tone],
    light: Light,
) -> None:
    # Planned are 13 windows of 0.2 s and 2 s of slack: 4.6 s.
    publisher.start(START)
    say(publisher, camera_s=1000.0, picture_s=1000.0 - late_s)
    shown = live_window.presenter
    until(lambda: all_taken_in(shown))
    assert shown.head.badge == badge
    assert shown.head.verdict is not None
    assert shown.head.verdict.light is light


def test_a_budget_of_the_run_counts_as_planned(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    publisher.start(START)
    say(publisher, camera_s=1000.0, picture_s=980.0, latency_budget_s=17.0)
    shown = live_window.presenter
    until(lambda: shown.tick() or shown.head.badge == ("BEHIND 3 s", Tone.WARNING))


def test_what_the_run_gives_up_is_amber_and_named(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    publisher.start(START)
    say(publisher, camera_s=1000.0, picture_s=999.0, step="jump")
    shown = live_window.presenter
    until(lambda: all_taken_in(shown))
    assert "windows without a live picture" in shown.head.text
    assert shown.head.verdict is not None
    assert shown.head.verdict.light is Light.AMBER


def test_all_reasons_are_shown_on_a_click(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    publisher.start(START)
    say(publisher, camera_s=1000.0, picture_s=960.0, calibrated=False, lost={"ring": 400}, drift_nm=(300.0, 400.0))
    shown = live_window.presenter
    until(lambda: all_taken_in(shown))
    assert shown.head.verdict is not None
    assert len(shown.head.verdict.reasons) == 4
    QTest.mouseClick(shown.head, Qt.MouseButton.LeftButton)
    for words in ("s late", "400 frames", "500 nm", "not calibrated"):
        assert words in shown.head.details
    QTest.mouseClick(shown.head, Qt.MouseButton.LeftButton)
    assert not shown.head.details


def test_fast_motion_and_the_window_length_that_suits_are_told(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    publisher.start(START)
    say(
        publisher,
        camera_s=1000.0,
        picture_s=1000.0,
        speed_nm_per_window=90.0,
        envelope_speed=(0.0, 12.8),
        molecules_per_um2_window=12.0,
        window_frames=20,
    )
    shown = live_window.presenter
    until(lambda: all_taken_in(shown))
    assert shown.head.verdict is not None
    assert shown.head.verdict.light is Light.AMBER
    assert "moves about 90 nm per window, trained up to 13: shorten the windows to 5 frames" in shown.head.text
    advice = next(item for item in shown.status_bar.shown if item.name == "advice")
    assert advice.text == "20 frames per window, 5 advised"


def test_a_stored_run_says_which_window_length_suits(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow], until: Until
) -> None:
    growing_run.add(40)
    growing_run.writer.finalize()
    shown = open_window(None, StoredSource(growing_run.path)).presenter
    shown.go_to(20)
    until(lambda: shown.tick() or any(item.name == "advice" for item in shown.status_bar.shown))
    advice = next(item for item in shown.status_bar.shown if item.name == "advice")
    # One molecule per window in the whole field: windows have to be longer.
    assert advice.text.startswith("10 frames per window, ")
    assert advice.text.endswith(" advised")


def test_simulated_specimens_move_by_design(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    publisher.start(StartMessage(source="sim:filaments", window_frames=10, fps_asked=50.0))
    say(publisher, camera_s=1000.0, picture_s=1000.0, drift_nm=(1900.0, 100.0))
    shown = live_window.presenter
    until(lambda: all_taken_in(shown))
    assert shown.head.verdict is not None
    assert shown.head.verdict.light is Light.GREEN
    drift = next(item for item in shown.status_bar.shown if item.name == "drift")
    assert drift.tone is Tone.WARNING


def test_molecules_off_the_picture_turn_a_live_run_red(
    growing_run: GrowingRun, publisher: Publisher, until: Until, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(12)
    found = empty_localizations(20)
    found["frame"], found["x"], found["y"] = 125, np.arange(20), 3.0
    counts = np.zeros(GRID.shape, np.uint16)
    growing_run.writer.write_map(LocalizationMap(0, 12, 120, 130, counts, GRID), found)
    growing_run.writer.flush()
    window = open_window(LiveSource(Subscriber(publisher.address)))
    publisher.start(StartMessage(run_uuid="1", run_folder=str(growing_run.path), window_frames=10))
    shown = window.presenter
    until(lambda: shown.tick() or shown.refresh_history() or shown.history)
    # The picture draws one row near the lower edge; the molecules of its window lie in another near the upper one.
    rows = np.zeros(GRID.shape, np.float32)
    rows[60] = 1.0
    publisher.send_image(ImageMessage("live", "1", 0, 12, rows, 0, 40.0))
    publisher.send_status(StatusMessage(frames_seen=130, model="filaments"))
    until(lambda: shown.tick() or shown.area.panels["trust"].layers.n_marks == 20)
    until(lambda: shown.tick() or (shown.head.verdict and shown.head.verdict.light is Light.RED))
    assert "100% of the molecules are not in this picture" in shown.head.text


def test_a_run_folder_says_that_its_camera_was_not_calibrated(
    tmp_path: Path, open_window: Callable[..., ViewerWindow]
) -> None:
    info = RunInfo("1", "2026-01-01T00:00:00", {}, "filaments", "")
    with RunWriter.create(tmp_path / "plain.run", info, window_frames=10) as writer:
        camera = Camera.uncalibrated(108.0)
        writer.begin_segment(Segment(0, Shape(24, 32), "uint16", frame_interval_ms=20.0), GRID, 108.0, camera)
        found = empty_localizations(50)
        found["frame"] = 5
        counts = np.ones(GRID.shape, np.uint16)
        writer.write_map(LocalizationMap(0, 0, 0, 10, counts, GRID), found)
        writer.finalize()
    shown = open_window(None, StoredSource(tmp_path / "plain.run")).presenter
    items = {item.name: item for item in shown.status_bar.shown}
    assert items["uncalibrated"].tone is Tone.WARNING
    # 50 molecules in 10 frames of 24 x 32 pixels of 0.108 um.
    assert items["density"].text == "density 0.56 per µm² and frame"
    assert shown.head.verdict is not None
    assert "not calibrated" in shown.head.text


def test_the_live_region_is_drawn_and_moved(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    asked: list[str] = []

    def on_region(region: str) -> None:
        asked.append(region)
        if len(asked) > 1:
            raise ConfigError("expected a live region within the field of 40 x 32 pixels")

    publisher.on_region = on_region
    publisher.start(START)
    say(publisher, camera_s=1000.0, picture_s=1000.0, live_region=(10, 5, 16, 8), live_region_is_whole=False)
    shown = live_window.presenter
    until(lambda: shown.tick() or shown.area.panels["sum"].layers.live_region_nm)
    assert shown.area.panels["sum"].layers.live_region_nm == (500.0, 1000.0, 800.0, 1600.0)
    live_window.refresh()
    live_window.outlines.choose("rectangle")
    live_window.outlines.set_rectangle(Rectangle(1000.0, 300.0, 1200.0, 9000.0))
    QTest.mouseClick(live_window.sidebar.live_button, Qt.MouseButton.LeftButton)
    until(lambda: shown.tick() or "moves with the next window" in shown.banner.text())
    assert asked == ["3,10,37,12"]
    QTest.mouseClick(live_window.sidebar.live_button, Qt.MouseButton.LeftButton)
    until(lambda: shown.tick() or "expected a live region within the field" in shown.banner.text())
    assert shown.banner.notice.tone is Tone.ALARM


def test_an_ended_run_offers_to_play_and_not_to_pause(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    publisher.start(START)
    say(publisher, camera_s=1.0, picture_s=1.0)
    shown = live_window.presenter
    until(lambda: shown.tick() or shown.mode == "live")
    assert shown.timeline.pause_button.text() == "Pause"
    assert shown.timeline.follow_button.text() == "Jump to live"
    publisher.end(EndMessage(run_uuid="run"))
    until(lambda: shown.tick() or shown.mode == "ended")
    assert shown.timeline.pause_button.text() == "Play"
    assert not shown.timeline.pause_button.isEnabled()  # the run's folder is not here
    live_window.refresh()
    assert live_window.after_run.isVisible()
    assert live_window.after_run.new_button.isVisible()
    assert not live_window.after_run.refine_button.isVisible()


def test_scrubbing_shows_how_the_run_stood_then(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(40)
    growing_run.lose(after=305, count=7)
    growing_run.writer.finalize()
    window = open_window(None, StoredSource(growing_run.path))
    shown = window.presenter

    def text(name: str) -> str:
        shown.tick()
        return next((item.text for item in shown.status_bar.shown if item.name == name), "")

    assert (text("frame"), text("lost"), text("windows")) == ("frame 399", "7 frames lost", "32 of 40 windows")
    shown.go_to(10)
    assert (text("frame"), text("lost"), text("windows")) == ("frame 109", "0 frames lost", "11 of 11 windows")
    assert shown.timeline.text == "t = 2.2 s, window 11 of 40"
    assert text("density")


def test_the_stages_of_the_windows_are_on_the_timeline(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(20)
    window = open_window(None, StoredSource(growing_run.path))
    assert window.presenter.timeline.stretches == ((0, 12, "bounded"), (12, 20, "counted"))


def test_ctrl_s_says_where_the_picture_went(
    growing_run: GrowingRun,
    open_window: Callable[..., ViewerWindow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    until: Until,
) -> None:
    growing_run.add(3)
    window = open_window(None, StoredSource(growing_run.path))
    path = window.save_picture(tmp_path / "picture.png")
    window.presenter.tick()
    assert str(path) in window.presenter.banner.text()
    blocked = tmp_path / "file"
    blocked.write_text("no folder", encoding="utf-8")
    monkeypatch.setattr("PySide6.QtCore.QStandardPaths.writableLocation", lambda *_: str(blocked))
    window.activateWindow()
    until(window.isActiveWindow)
    QTest.keyClick(window, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    window.presenter.tick()
    assert "cannot write the picture" in window.presenter.banner.text()


@pytest.mark.posix_files
def test_a_run_that_is_deleted_while_it_is_shown_is_named_in_one_line(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow], until: Until
) -> None:
    growing_run.add(30)
    growing_run.writer.finalize()
    window = open_window(None, StoredSource(growing_run.path))
    shutil.rmtree(growing_run.path)
    shown = window.presenter
    shown.go_to(4)
    until(
        lambda: shown.refresh_history() or shown.tick() or "moved or deleted while it was shown" in shown.banner.text()
    )
    assert "\n" not in shown.banner.text()
    for _ in range(3):
        shown.step(1)
        shown.tick()


def test_a_file_that_is_no_run_journal_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "old.run"
    folder.mkdir()
    (folder / "journal.sqlite").write_bytes(b"SQLite format 3\x00" + bytes(200))
    with pytest.raises(StoreError, match=r"old\.run"):
        StoredSource(folder)


def test_the_disk_tells_when_it_is_full() -> None:
    assert time_until_full([(0.0, 900), (30.0, 600)], room=500) == 50.0
    assert time_until_full([(0.0, 900), (30.0, 950)], room=500) is None
    assert time_until_full([(0.0, 900), (3.0, 100)], room=500) is None


def test_the_buttons_after_a_run_do_what_they_say(
    growing_run: GrowingRun,
    open_window: Callable[..., ViewerWindow],
    until: Until,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    growing_run.add(12)
    growing_run.writer.finalize()
    growing_run.writer.close()
    window = open_window(None, StoredSource(growing_run.path))
    bar = window.after_run
    assert bar.isVisible()
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    QTest.mouseClick(bar.folder_button, Qt.MouseButton.LeftButton)
    assert opened == [str(growing_run.path)]
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "table"), "Localizations, ThunderSTORM (*.csv)")
    )
    QTest.mouseClick(bar.export_button, Qt.MouseButton.LeftButton)
    assert bar.is_busy
    assert not bar.refine_button.isEnabled()
    until(lambda: not bar.is_busy)
    assert bar.refine_button.isEnabled()
    # The run holds no molecules: the command's own line is handed on, whatever it is.
    assert bar.message.text().startswith("export")
    new: list[bool] = []
    window.new_run_wanted.connect(lambda: new.append(True))
    QTest.mouseClick(bar.new_button, Qt.MouseButton.LeftButton)
    assert new == [True]
