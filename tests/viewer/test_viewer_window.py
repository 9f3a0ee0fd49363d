"""The window on a live run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from dblink_live.bus import EndMessage, ImageMessage, Publisher, StartMessage, StatusMessage, Subscriber
from dblink_live.viewer.bars.statusbar import StatusItem
from dblink_live.viewer.keys import BINDINGS
from dblink_live.viewer.panels.shaded import ShadedItem
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.theme import Tone
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


def send(publisher: Publisher, topic: Any, number: int, image: Any, pitch_nm: float = 40.0, **extra: float) -> None:
    publisher.send_image(ImageMessage(topic, "run", 0, number, image, 0, pitch_nm, extra=extra))


def send_all(publisher: Publisher, number: int = 1) -> None:
    """A camera of 24 x 32 pixels of 108 nm, and the grid of 40 nm that covers it."""
    camera = np.random.default_rng(number).poisson(100, (24, 32)).astype(np.uint16)
    counts = np.zeros((65, 87), np.uint16)
    counts[number % 65, 5] = 3
    send(publisher, "camera", 10 * number, camera, 108.0)
    send(publisher, "sum", number, counts)
    send(publisher, "live", number, (counts / 3).astype(np.float32), lookahead=8)


def all_shown(window: ViewerWindow) -> bool:
    window.presenter.tick()
    return all(panel.picture is not None for panel in window.presenter.area.panels.values())


def caption(window: ViewerWindow, slot: Any) -> str:
    picture = window.presenter.area.panels[slot].picture
    return picture.caption if picture else ""


def item(window: ViewerWindow, name: str) -> StatusItem | None:
    return next((item for item in window.presenter.status_bar.shown if item.name == name), None)


def test_pictures_are_shown_in_nanometres(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    send_all(publisher)
    until(lambda: all_shown(live_window))
    assert live_window.presenter.area.panels["camera"].painted_rect_nm == QRectF(0, 0, 32 * 108, 24 * 108)
    for slot in ("sum", "reconstruction"):
        assert live_window.presenter.area.panels[slot].painted_rect_nm == QRectF(0, 0, 87 * 40, 65 * 40)
    assert live_window.presenter.area.panels["sum"].painted is not None
    assert live_window.presenter.area.panels["sum"].painted.max() == 3
    assert caption(live_window, "camera") == "frame 10"
    assert caption(live_window, "reconstruction") == "window 2"
    # The whole field is in sight from the start.
    for panel in live_window.presenter.area.panels.values():
        assert panel.view.viewRect().contains(QRectF(1, 1, 32 * 108 - 2, 24 * 108 - 2))


def test_panels_move_as_one(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    send_all(publisher)
    until(lambda: all_shown(live_window))
    views = [panel.view for panel in live_window.presenter.area.panels.values()]
    views[1].setRange(QRectF(500, 300, 400, 400), padding=0)
    place = QPointF(650.0, 480.0)
    on_screen = [view.mapFromView(place) for view in views]
    for point in on_screen:
        # Half a screen pixel: the panels may differ by a pixel in size.
        assert abs(point.x() - on_screen[1].x()) <= 1.0
        assert abs(point.y() - on_screen[1].y()) <= 1.0
    assert views[0].viewRect().width() < 1500
    live_window.presenter.area.fit()
    assert all(view.viewRect().width() > 3400 for view in views)


def test_pause_holds_and_going_on_shows_the_newest(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    send_all(publisher, 1)
    until(lambda: all_shown(live_window))
    live_window.presenter.pause()
    assert live_window.presenter.mode == "paused"
    send_all(publisher, 2)
    send_all(publisher, 3)
    publisher.send_status(StatusMessage(frame=30))
    until(lambda: live_window.presenter.tick() or item(live_window, "frame"))  # the run goes on, and the status says so
    assert caption(live_window, "camera") == "frame 10"
    live_window.presenter.pause()
    assert live_window.presenter.mode == "live"
    until(lambda: live_window.presenter.tick() or caption(live_window, "camera") == "frame 30")
    until(lambda: live_window.presenter.tick() or caption(live_window, "reconstruction") == "window 4")


def test_a_provisional_picture_stands_in_and_says_so(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    panel = live_window.presenter.area.panels["reconstruction"]
    send(publisher, "provisional", 8, np.zeros((65, 87), np.float32))
    picture = until(lambda: live_window.presenter.tick() or panel.picture)
    assert (picture.badge, picture.badge_tone) == ("PROVISIONAL", Tone.WARNING)
    send(publisher, "live", 0, np.zeros((65, 87), np.float32), lookahead=8)
    until(lambda: live_window.presenter.tick() or panel.picture.badge == "LOOKAHEAD 8")
    send(publisher, "provisional", 9, np.zeros((65, 87), np.float32))
    live_window.presenter.tick()
    assert panel.picture is not None
    assert panel.picture.badge == "LOOKAHEAD 8"  # the better one stays
    live_window.presenter.toggle_provisional()
    until(lambda: live_window.presenter.tick() or panel.picture.caption == "window 10")
    assert panel.picture.badge == "PROVISIONAL"


def test_silence_raises_the_alarm_and_a_word_ends_it(
    live_window: ViewerWindow, publisher: Publisher, clock: Any, until: Until
) -> None:
    assert not live_window.presenter.banner.isVisible()
    clock.ahead_s += 3.5
    live_window.presenter.tick()
    until(lambda: live_window.presenter.tick() or live_window.presenter.mode in ("lost", "live"))
    # The publisher still answers, so the alarm ends by itself.
    until(lambda: live_window.presenter.tick() or live_window.presenter.mode == "live")
    assert not live_window.presenter.banner.isVisible()
    publisher.close()

    def is_lost_after_silence() -> bool:
        clock.ahead_s += 3.5  # a last word may still have been on its way
        live_window.presenter.tick()
        return live_window.presenter.mode == "lost"

    until(is_lost_after_silence)
    assert live_window.presenter.banner.isVisible()
    assert live_window.presenter.banner.notice.tone is Tone.ALARM
    assert "safe" in live_window.presenter.banner.text()
    assert live_window.presenter.head.badge == ("LOST", Tone.ALARM)


def test_what_the_run_says_of_its_camera_is_shown_while_it_lasts(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    publisher.send_status(StatusMessage(frame=40, message="no camera frame for 10 s"))
    until(lambda: live_window.presenter.tick() or live_window.presenter.banner.notice.text)
    assert live_window.presenter.banner.notice.text == "no camera frame for 10 s"
    assert live_window.presenter.banner.notice.tone is Tone.WARNING
    publisher.send_status(StatusMessage(frame=41))
    until(lambda: live_window.presenter.tick() or not live_window.presenter.banner.isVisible())


@pytest.mark.parametrize(
    ("state", "message", "tone", "shown"),
    [
        pytest.param("ended", "", Tone.FAINT, "The run has ended.", id="ended"),
        pytest.param("failed", "the disk is full", Tone.ALARM, "the disk is full", id="failed"),
    ],
)
def test_the_end_is_shown_with_its_last_picture(
    live_window: ViewerWindow,
    publisher: Publisher,
    until: Until,
    state: Any,
    message: str,
    tone: Tone,
    shown: str,
) -> None:
    send_all(publisher, 4)
    until(lambda: all_shown(live_window))
    publisher.end(EndMessage(state=state, message=message, status=StatusMessage(frame=40, state=state)))
    publisher.close()
    until(lambda: live_window.presenter.tick() or live_window.presenter.mode == state)
    assert (live_window.presenter.banner.notice.text, live_window.presenter.banner.notice.tone) == (shown, tone)
    assert caption(live_window, "camera") == "frame 40"
    live_window.presenter.area.fit()  # and it can still be looked at
    assert live_window.presenter.area.panels["camera"].view.viewRect().width() > 3400


def test_waiting_for_a_run_says_where(open_window: Callable[..., ViewerWindow]) -> None:
    window = open_window(LiveSource(Subscriber("tcp://127.0.0.1:9")))
    window.presenter.tick()
    assert window.presenter.mode == "connecting"
    assert "tcp://127.0.0.1:9" in window.presenter.banner.text()


def test_another_field_is_fitted_anew(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    send_all(publisher)
    until(lambda: all_shown(live_window))
    camera = live_window.presenter.area.panels["camera"]
    camera.view.setRange(QRectF(0, 0, 300, 300), padding=0)
    send(publisher, "camera", 500, np.zeros((100, 120), np.uint8), 108.0)
    until(lambda: live_window.presenter.tick() or caption(live_window, "camera") == "frame 500")
    assert camera.view.viewRect().contains(QRectF(1, 1, 120 * 108 - 2, 100 * 108 - 2))


def test_the_title_names_the_source(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    publisher.start(StartMessage(source="sim:filaments"))
    until(
        lambda: (
            live_window.presenter.tick()
            or live_window.presenter.refresh_history()
            or "sim:filaments" in live_window.windowTitle()
        )
    )


def test_display_skips_are_counted_apart_from_losses(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    send_all(publisher, 1)
    until(lambda: all_shown(live_window))
    publisher.send_status(StatusMessage(lost={"ring": 7}))
    for number in range(2, 60):
        send_all(publisher, number)
    until(lambda: live_window.presenter.tick() or caption(live_window, "camera") == "frame 590")
    until(lambda: live_window.presenter.tick() or item(live_window, "lost"))
    lost, skips = item(live_window, "lost"), item(live_window, "skips")
    assert lost is not None
    assert (lost.text, lost.tone) == ("7 frames lost", Tone.ALARM)
    assert skips is not None
    assert skips.tone is Tone.FAINT
    assert int(skips.text.split()[0]) > 0


def test_one_panel_alone_and_back(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    send_all(publisher)
    until(lambda: all_shown(live_window))
    live_window.presenter.area.only("sum")
    assert [slot for slot, panel in live_window.presenter.area.panels.items() if panel.isVisible()] == ["sum"]
    live_window.presenter.area.only(None)
    assert all(panel.isVisible() for panel in live_window.presenter.area.panels.values())


def test_the_value_under_the_pointer_is_named_in_all_panels(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    send_all(publisher, 1)
    until(lambda: all_shown(live_window))
    # Grid pixel (1, 5) holds 3 localizations: 40 to 80 nm down, 200 to 240 nm across.
    live_window.presenter.area.panels["camera"].pointed.emit((60.0, 220.0))
    texts = [label.text() for label in live_window.presenter.area.panels["sum"].findChildren(QLabel)]
    assert "3 localizations" in texts
    texts = [label.text() for label in live_window.presenter.area.panels["reconstruction"].findChildren(QLabel)]
    assert "1 probability" in texts


def test_keys_do_what_the_table_says(live_window: ViewerWindow, publisher: Publisher, until: Until) -> None:
    send_all(publisher)
    until(lambda: all_shown(live_window))
    live_window.activateWindow()
    until(live_window.isActiveWindow)
    QTest.keyClick(live_window, Qt.Key.Key_Space)
    assert live_window.presenter.mode == "paused"
    QTest.keyClick(live_window, Qt.Key.Key_End)
    assert live_window.presenter.mode == "live"
    QTest.keyClick(live_window, Qt.Key.Key_A)
    assert not live_window.presenter.area.panels["sum"].contrast.is_auto
    QTest.keyClick(live_window, Qt.Key.Key_3)
    assert not live_window.presenter.area.panels["camera"].isVisible()
    QTest.keyClick(live_window, Qt.Key.Key_F1)
    assert live_window.help.isVisible()
    QTest.keyClick(live_window, Qt.Key.Key_Escape)
    assert not live_window.help.isVisible()


def test_every_key_has_one_meaning_and_is_in_the_help(live_window: ViewerWindow) -> None:
    keys = [key for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert len(live_window.shortcuts) == len(keys)
    assert all(not shortcut.key().isEmpty() for shortcut in live_window.shortcuts)
    live_window.help.toggle()
    texts = {label.text() for label in live_window.help.findChildren(QLabel)}
    assert all({" or ".join(binding.keys), binding.help} <= texts for binding in BINDINGS)


def test_locked_contrast_stays_and_automatic_follows(
    live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    panel = live_window.presenter.area.panels["sum"]
    send(publisher, "sum", 1, np.full((20, 20), 10, np.uint16))
    until(lambda: live_window.presenter.tick() or panel.picture)
    assert panel.contrast.limits is not None
    assert panel.contrast.limits.high == 10
    live_window.presenter.area.toggle_contrast()
    send(publisher, "sum", 2, np.full((20, 20), 1000, np.uint16))
    until(lambda: live_window.presenter.tick() or caption(live_window, "sum") == "window 3")
    assert panel.contrast.limits.high == 10
    live_window.presenter.area.toggle_contrast()
    assert panel.contrast.limits.high == 1000


def test_colour_maps_go_round_and_the_camera_stays_grey(live_window: ViewerWindow) -> None:
    def table(slot: Any) -> list[int]:
        view = live_window.presenter.area.panels[slot].view
        shaded = next(item for item in view.childGroup.childItems() if isinstance(item, ShadedItem))
        return [int(colour) for colour in shaded.table[0]]

    first, grey = table("reconstruction"), table("camera")
    live_window.presenter.area.next_colours()
    assert table("reconstruction") != first
    live_window.presenter.area.next_colours()
    live_window.presenter.area.next_colours()
    assert table("reconstruction") == first
    assert table("camera") == grey
