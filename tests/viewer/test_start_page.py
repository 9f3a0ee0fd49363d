"""The start page, and the way from it to a run and back."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from growing_run import GrowingRun
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QPushButton

from dblink_live.sources import parse_source
from dblink_live.viewer.processes.child import Child
from dblink_live.viewer.program import Program
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.start.choices import command_of
from dblink_live.viewer.start.form import StartForm
from dblink_live.viewer.start.micromanager import MicroManagerFinder
from dblink_live.viewer.start.page import StartPage
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


def press(button: QPushButton) -> None:
    assert button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def press_stop(window: ViewerWindow, until: Until) -> None:
    button = window.toolbar.widgetForAction(window.toolbar.stop)
    until(button.isVisible)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def program(app: QApplication, settings: ViewerSettings) -> Iterator[Program]:
    made = Program(settings)
    yield made
    made.close()
    app.processEvents()


@pytest.fixture
def page(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartPage:
    monkeypatch.chdir(tmp_path)
    return program.show_start()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "spots.tif"
    frames = np.random.default_rng(1).poisson(100, (200, 32, 32)).astype(np.uint16)
    for number, frame in enumerate(frames):
        frame[10 + number % 3 : 13 + number % 3, 14:17] += 800
    tifffile.imwrite(path, frames)
    return path


def test_the_demo_can_be_started_at_once(page: StartPage) -> None:
    assert page.choices.source == "demo"
    assert page.start_button.isEnabled()
    assert page.command.text().startswith("dblink-live demo --headless --out ")


def test_every_source_is_a_button(page: StartPage) -> None:
    for kind, button in page.form.sources.items():
        press(button)
        assert page.choices.source == kind
        assert page.form.source_text.text()


def test_the_command_is_copied(page: StartPage) -> None:
    press(page.copy_button)
    assert QGuiApplication.clipboard().text() == page.command.text()


def test_a_file_is_chosen_in_a_dialog(page: StartPage, stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(stack), ""))
    press(page.form.sources["file"])
    press(page.form.choose_button)
    assert "200 frames of 32 x 32" in page.form.source_text.text()
    assert not page.start_button.isEnabled()
    assert "pixel size" in page.refusals.text()
    page.form.pixel_size.setValue(108.0)
    assert page.start_button.isEnabled()


def test_the_run_folder_is_chosen_in_a_dialog(page: StartPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "data"))
    press(page.form.folder_button)
    assert Path(page.choices.folder).parent == tmp_path / "data"


def test_a_stack_is_dropped_on_the_page(page: StartPage, stack: Path) -> None:
    drop(page, [stack])
    assert page.choices.source == "file"
    assert page.choices.subject is not None
    assert page.choices.subject.path == stack
    assert page.form.camera[0] == (32, 32)


def test_only_what_a_source_leaves_open_is_asked(page: StartPage) -> None:
    form = page.form
    open_settings = {"field": form.field_width, "exposure": form.exposure, "record": form.record}
    wanted = {
        "micromanager": {"field"},
        "config": set(open_settings),
        "folder": {"field"},
        "file": set(),
        "demo": set(),
    }
    for source, names in wanted.items():
        press(form.sources[source])
        assert {name for name, box in open_settings.items() if box.isVisible()} == names, source


def test_what_the_file_is_and_what_is_odd_in_it_is_shown(page: StartPage, tmp_path: Path, until: Until) -> None:
    frames = np.random.default_rng(1).poisson(100, (60, 32, 40)).astype(np.uint16)
    frames[7] = 100
    tifffile.imwrite(tmp_path / "spots.tif", frames)
    drop(page, [tmp_path / "spots.tif"])
    until(lambda: not page.inspection.is_looking)
    text = page.inspection.text()
    assert "frames: 60" in text
    assert "height, width: 32, 40" in text
    assert "1 of 60 frames have the same count in every pixel" in text
    press(page.form.sources["demo"])
    assert not page.inspection.isVisible()


def test_a_table_tells_which_window_length_suits_it(page: StartPage, tmp_path: Path, until: Until) -> None:
    rng = np.random.default_rng(1)
    lines = ["frame,x [nm],y [nm],intensity [photon],uncertainty [nm]"]
    lines += [f"{frame},{x:.1f},{y:.1f},500,15" for frame in range(1, 401) for x, y in rng.uniform(0, 4000, (5, 2))]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    drop(page, [tmp_path / "table.csv"])
    until(lambda: not page.inspection.is_looking)
    # 50 molecules per window of 10 frames in 16 square micrometres: 3.1 per um2.
    assert "window: 10 frames advised" in page.inspection.text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
@pytest.mark.parametrize("name", ["a?b=c.tif", "a:b.tif", "what?.tif"])
def test_a_colon_or_a_question_mark_in_a_path_names_the_file(page: StartPage, tmp_path: Path, name: str) -> None:
    tifffile.imwrite(tmp_path / name, np.zeros((20, 16, 16), np.uint16))
    drop(page, [tmp_path / name])
    command = command_of(page.choices)
    assert parse_source(command[command.index("--source") + 1]).target == str(tmp_path / name)


def drop(page: StartPage, paths: list[Path]) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    page.dropEvent(
        QDropEvent(
            QPointF(5, 5),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )


def test_a_dropped_file_of_another_kind_is_named_in_one_line(page: StartPage, tmp_path: Path) -> None:
    letter = tmp_path / "letter.docx"
    letter.write_bytes(b"PK\x03\x04")
    drop(page, [letter])
    assert page.notice.isVisible()
    assert "letter.docx is nothing that a run can be made of" in page.notice.text()
    drop(page, [letter, letter])
    assert "drop one" in page.notice.text()


def test_a_dropped_run_is_opened_and_is_then_a_recent_one(
    page: StartPage, program: Program, growing_run: GrowingRun
) -> None:
    growing_run.add(4)
    growing_run.writer.finalize()
    drop(page, [growing_run.path])
    assert len(program.windows) == 1
    assert not page.isVisible()
    press(program.windows[0].after_run.new_button)
    assert page.isVisible()
    assert growing_run.path.name in page.recent.item(0).text()
    page.recent.itemActivated.emit(page.recent.item(0))
    assert len(program.windows) == 2


def test_a_folder_that_is_no_whole_run_is_named_in_one_line(page: StartPage, tmp_path: Path) -> None:
    broken = tmp_path / "old.run"
    broken.mkdir()
    (broken / "journal.sqlite").write_bytes(b"not a database at all, but long enough to be looked at")
    drop(page, [broken])
    assert page.isVisible()
    assert "old.run" in page.notice.text()
    assert "\n" not in page.notice.text()


def test_a_run_of_another_version_is_named_in_one_line(page: StartPage, growing_run: GrowingRun) -> None:
    growing_run.add(2)
    growing_run.writer.close()
    with contextlib.closing(sqlite3.connect(growing_run.path / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE meta SET value = '0' WHERE key = 'schema_version'")
    drop(page, [growing_run.path])
    assert page.isVisible()
    assert "found 0; open it with the dblink-live version that wrote it" in page.notice.text()
    assert "\n" not in page.notice.text()


def test_a_running_micromanager_is_found_and_chosen(app: QApplication, settings: ViewerSettings, until: Until) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        page = StartPage(settings, MicroManagerFinder(server.getsockname()[1]))
        page.show()
        until(lambda: page.choices.source == "micromanager")
        assert "found" in page.form.sources["micromanager"].text()
        page.close()
        page.deleteLater()
    finder = MicroManagerFinder(server_port := 1)
    finder.start()
    until(lambda: finder.is_found is False)
    finder.stop()
    assert server_port == 1


def test_what_the_operator_chose_is_not_changed_by_a_micromanager_that_appears(
    app: QApplication, settings: ViewerSettings
) -> None:
    form = StartForm(settings)
    form.choose_source("folder")
    form.offer_micromanager(True)
    assert form.source == "folder"
    form.deleteLater()


def test_choices_are_there_again(app: QApplication, settings: ViewerSettings, page: StartPage) -> None:
    page.form.pixel_size.setValue(123.0)
    page.form.window_frames.setValue(17)
    page.form.model.setCurrentText("mitochondria")
    page.form.remember()
    again = StartForm(settings)
    assert (again.pixel_size.value(), again.window_frames.value(), again.model.currentText()) == (
        123.0,
        17,
        "mitochondria",
    )
    assert "trained for mitochondria" in again.model_text.text()
    assert not again.picture.pixmap().isNull()
    again.deleteLater()


@pytest.mark.slow
def test_a_stack_becomes_a_run_with_one_button(page: StartPage, program: Program, stack: Path, until: Until) -> None:
    drop(page, [stack])
    page.form.pixel_size.setValue(108.0)
    press(page.start_button)
    assert page.start_button.text() == "Cancel"
    until(lambda: program.windows)
    window = program.windows[0]
    assert not page.isVisible()
    until(lambda: window.presenter.has_ended)
    until(window.after_run.isVisible)
    assert window.presenter.timeline.pause_button.text() == "Play"
    assert window.presenter.run_folder == Path(page.choices.folder)
    # No camera of ours: there is nothing to start again.
    assert not window.after_run.again_button.isVisible()
    press(window.after_run.new_button)
    assert page.isVisible()
    assert not Path(page.choices.folder).exists()


def test_a_run_that_cannot_start_says_why_on_the_page(
    page: StartPage, program: Program, stack: Path, until: Until
) -> None:
    drop(page, [stack])
    page.form.pixel_size.setValue(108.0)
    stack.unlink()
    press(page.start_button)
    until(lambda: page.start_button.text() == "Start")
    assert not program.windows
    assert "spots.tif" in page.notice.text()
    assert "Traceback" not in page.notice.text()


def test_a_start_is_cancelled(page: StartPage, program: Program, until: Until) -> None:
    press(page.start_button)
    until(lambda: page.start_button.text() == "Cancel")
    press(page.start_button)
    until(lambda: page.start_button.text() == "Start")
    assert not program.windows


@pytest.mark.slow
def test_an_owned_camera_is_stopped_and_started_again(page: StartPage, program: Program, until: Until) -> None:
    press(page.start_button)
    window = until(lambda: program.windows and program.windows[0])
    until(lambda: window.presenter.mode == "live")
    assert window.toolbar.stop.isVisible()
    press_stop(window, until)
    until(lambda: window.presenter.has_ended and window.after_run.again_button.isVisible())
    assert not window.toolbar.stop.isVisible()
    press(window.after_run.again_button)
    until(lambda: len(program.windows) == 2)
    press_stop(program.windows[1], until)
    until(lambda: program.windows[1].presenter.has_ended)


def test_measuring_the_machine_that_fails_says_why(
    page: StartPage, until: Until, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    press(page.measure_button)
    until(page.measure_button.isEnabled)
    assert "could not be measured" in page.notice.text()


def test_a_child_says_its_lines_and_its_status(app: QApplication, until: Until) -> None:
    child = Child(["models", "no-such-model"])
    statuses: list[int] = []
    child.finished.connect(statuses.append)
    child.start()
    until(lambda: statuses)
    assert statuses == [2]
    assert "no-such-model" in child.problem
