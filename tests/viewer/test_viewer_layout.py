"""The window fits its screen, follows the theme, and remembers what was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing_run import GrowingRun
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QToolButton

from dblink_live.viewer.panels.contrast_bar import ContrastBar
from dblink_live.viewer.panels.picture import SLOTS
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.theme import DARK, LIGHT, apply_theme
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def stored_window(growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]) -> ViewerWindow:
    growing_run.add(30)
    growing_run.writer.finalize()
    return open_window(None, StoredSource(growing_run.path))


@pytest.mark.parametrize("size", [QSize(640, 360), QSize(1024, 640), QSize(1280, 720), QSize(1600, 900)])
def test_every_panel_lies_in_the_window(
    stored_window: ViewerWindow, size: QSize, until: Until, app: QApplication
) -> None:
    stored_window.resize(size)
    until(lambda: stored_window.size() == size)
    app.processEvents()
    area = stored_window.presenter.area
    for slot in ("sum", "reconstruction", "trust"):
        panel = area.panels[slot]
        assert area.is_shown(slot)
        corner = panel.mapTo(stored_window, panel.rect().bottomRight())
        assert stored_window.rect().contains(corner), (slot, corner)
        assert panel.width() >= 100
    assert stored_window.minimumSizeHint().width() <= 1024
    bottom = stored_window.presenter.status_bar
    assert stored_window.rect().contains(bottom.mapTo(stored_window, bottom.rect().bottomLeft()))


def test_the_panels_are_arranged_by_the_shape_of_the_window(stored_window: ViewerWindow, until: Until) -> None:
    grid = stored_window.presenter.area.grid
    stored_window.resize(1600, 620)
    until(lambda: grid.columns == 3)
    stored_window.resize(500, 1100)
    until(lambda: grid.columns == 1)


@pytest.fixture
def dark_afterwards(app: QApplication) -> Iterator[None]:
    yield
    apply_theme(app, DARK)


def test_the_theme_changes_under_an_open_window(
    stored_window: ViewerWindow, app: QApplication, dark_afterwards: None
) -> None:
    def brightness() -> float:
        image = stored_window.presenter.head.grab().toImage()
        return float(np.mean([image.pixelColor(x, 2).lightness() for x in range(0, image.width(), 7)]))

    dark = brightness()
    apply_theme(app, LIGHT)
    app.processEvents()
    assert brightness() > dark + 100
    assert app.palette().color(QPalette.ColorRole.Window).name() == LIGHT.background


def button(window: ViewerWindow, text: str) -> QToolButton:
    for found in window.toolbar.findChildren(QToolButton):
        if found.text().startswith(text):
            return found
    raise AssertionError(f"no button {text}")


def press(window: ViewerWindow, text: str) -> None:
    window.toolbar.button(text).trigger()


def test_every_switch_of_the_toolbar_does_what_its_word_says(stored_window: ViewerWindow, until: Until) -> None:
    area = stored_window.presenter.area
    press(stored_window, "Molecules")
    assert area.shows_molecules
    press(stored_window, "Lock contrast")
    assert not area.is_contrast_auto
    assert stored_window.toolbar.contrast.isChecked()
    press(stored_window, "Lock contrast")
    assert area.is_contrast_auto
    press(stored_window, "Help")
    assert stored_window.help.isVisible()
    press(stored_window, "Help")
    assert not stored_window.help.isVisible()
    area.panels["sum"].view.setRange(xRange=(0, 100), yRange=(0, 100))
    press(stored_window, "Fit")
    assert area.panels["sum"].view.viewRect().width() > 1000


def test_the_buttons_of_timeline_and_panels_do_what_their_words_say(stored_window: ViewerWindow) -> None:
    shown = stored_window.presenter
    panels = shown.area.panels

    def click(button: QAbstractButton) -> None:
        assert button.isVisible() and button.isEnabled(), button.text()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    assert shown.timeline.pause_button.text() == "Play"
    click(shown.timeline.pause_button)
    assert shown.showing == "playing"
    assert shown.timeline.pause_button.text() == "Pause"
    click(shown.timeline.pause_button)
    assert shown.showing == "stored"
    click(shown.timeline.follow_button)
    assert shown.showing == "latest"
    assert shown.timeline.position == 29
    click(panels["sum"].lock_button)
    assert not panels["sum"].contrast.is_auto
    assert panels["reconstruction"].contrast.is_auto
    click(panels["sum"].lock_button)
    assert panels["sum"].contrast.is_auto


def test_the_provisional_switch_and_save_picture_are_pressed(
    stored_window: ViewerWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = stored_window.presenter.history
    assert history is not None and not history.prefers_live
    press(stored_window, "Provisional")
    assert history.prefers_live
    monkeypatch.setattr("PySide6.QtCore.QStandardPaths.writableLocation", lambda *_: str(tmp_path))
    before = set(tmp_path.iterdir())
    press(stored_window, "Save picture")
    (saved,) = set(tmp_path.iterdir()) - before
    assert saved.suffix == ".png" and saved.stat().st_size > 0
    stored_window.presenter.tick()
    assert str(saved) in stored_window.presenter.banner.text()


def test_the_panels_are_chosen_in_a_menu(stored_window: ViewerWindow) -> None:
    area = stored_window.presenter.area
    menu = button(stored_window, "Panels").menu()
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions()] == [area.panels[slot].title for slot in SLOTS]
    menu.actions()[3].trigger()
    assert not area.is_shown("trust")
    menu.actions()[1].trigger()
    menu.actions()[2].trigger()
    # The last one stays: an empty window shows nothing and says nothing.
    assert area.is_shown("reconstruction")


def test_each_panel_has_its_own_colours(stored_window: ViewerWindow) -> None:
    menu = button(stored_window, "Colours").menu()
    menu.aboutToShow.emit()
    of_sum = menu.actions()[1].menu()
    next(action for action in of_sum.actions() if action.text() == "ice").trigger()
    panels = stored_window.presenter.area.panels
    assert (panels["sum"].colours, panels["reconstruction"].colours) == ("ice", "ember")


def test_the_length_of_the_plain_sum_is_adjusted(stored_window: ViewerWindow) -> None:
    picture = stored_window.presenter.area.panels["sum"].picture
    assert picture is not None
    assert picture.image.sum() == 25
    stored_window.toolbar.sum_length.setValue(7)
    picture = stored_window.presenter.area.panels["sum"].picture
    assert picture is not None
    assert (picture.image.sum(), picture.caption) == (7, "7 windows to 30")


def test_a_handle_of_the_contrast_is_dragged_and_a_double_click_lets_go(
    stored_window: ViewerWindow, until: Until
) -> None:
    panel = stored_window.presenter.area.panels["reconstruction"]
    stored_window.presenter.go_to(10)
    bar: ContrastBar = panel.contrast_bar
    assert bar.limits is not None
    before = bar.limits
    right = bar.rect().center()
    right.setX(bar.width() - 6)
    QTest.mousePress(bar, Qt.MouseButton.LeftButton, pos=right)
    QTest.mouseMove(bar, bar.rect().center())
    QTest.mouseRelease(bar, Qt.MouseButton.LeftButton, pos=bar.rect().center())
    assert not panel.contrast.is_auto
    assert panel.lock_button.isChecked()
    assert bar.limits.high == pytest.approx(0.5 * before.high, rel=0.1)
    QTest.mouseDClick(bar, Qt.MouseButton.LeftButton, pos=bar.rect().center())
    assert panel.contrast.is_auto


def test_what_was_chosen_is_there_again(
    stored_window: ViewerWindow, growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    area = stored_window.presenter.area
    stored_window.presenter.go_to(10)
    area.set_colours("sum", "ice")
    area.set_enabled_panel("trust", False)
    area.panels["reconstruction"].hold_contrast()
    stored_window.toolbar.sum_length.setValue(9)
    stored_window.resize(700, 600)
    stored_window.close()
    again = open_window(None, StoredSource(growing_run.path))
    assert again.presenter.area.panels["sum"].colours == "ice"
    assert not again.presenter.area.is_shown("trust")
    assert not again.presenter.area.panels["reconstruction"].contrast.is_auto
    assert again.toolbar.sum_length.value() == 9
    assert again.size() == QSize(700, 600)


def test_settings_that_make_no_sense_are_ignored(
    settings: Any, growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(3)
    settings.set("area", {"panels": [7], "colours": "red", "limits": {"sum": [3, 1]}})
    settings.set("sum_windows", "many")
    window = open_window(None, StoredSource(growing_run.path))
    assert window.presenter.area.is_shown("sum")
    assert window.toolbar.sum_length.value() == 25
