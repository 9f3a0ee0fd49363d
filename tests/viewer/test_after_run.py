"""Each button after a run, pressed: the real commands run beside the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from growing_run import GrowingRun
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QPushButton

from dblink_live.store import open_run
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


def press(button: QPushButton) -> None:
    assert button.isVisible(), button.text()
    assert button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system was asked to open."""
    found: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: found.append(url.toLocalFile()) or True)
    return found


@pytest.fixture
def ended(growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]) -> ViewerWindow:
    """A window on a run that is complete."""
    growing_run.add(16)
    growing_run.writer.finalize()
    growing_run.writer.close()
    return open_window(None, StoredSource(growing_run.path))


@pytest.mark.slow
def test_refine_makes_the_full_pass_and_shows_it(ended: ViewerWindow, growing_run: GrowingRun, until: Until) -> None:
    bar = ended.after_run
    press(bar.refine_button)
    assert bar.is_busy
    assert not bar.export_button.isEnabled()
    until(lambda: not bar.is_busy)
    assert bar.message.text().startswith("refine: done"), bar.message.text()
    with open_run(growing_run.path) as run:
        assert run.full is not None
        assert len(run.full) == 16
    shown = ended.presenter
    until(lambda: shown.refresh_history() or [stage for *_, stage in shown.timeline.stretches] == ["full"])
    shown.go_to(5)
    picture = shown.area.panels["reconstruction"].picture
    assert picture is not None
    assert picture.badge == "FULL PASS"


@pytest.mark.slow
def test_report_is_written_and_opened(
    ended: ViewerWindow, growing_run: GrowingRun, until: Until, opened: list[str]
) -> None:
    press(ended.after_run.report_button)
    until(lambda: not ended.after_run.is_busy)
    assert [Path(path).suffix for path in opened] == [".html"], ended.after_run.message.text()
    assert Path(opened[0]).is_file()
    assert opened[0] in ended.after_run.message.text()


@pytest.mark.slow
def test_cancel_ends_what_runs_and_the_run_stays_whole(
    ended: ViewerWindow, growing_run: GrowingRun, until: Until
) -> None:
    bar = ended.after_run
    press(bar.refine_button)
    until(bar.stop_button.isVisible)
    press(bar.stop_button)
    until(lambda: not bar.is_busy)
    assert "refine did not work" in bar.message.text()
    assert "Traceback" not in bar.message.text()
    assert not bar.stop_button.isVisible()
    assert bar.refine_button.isEnabled()
    with open_run(growing_run.path) as run:
        assert run.full is None or len(run.full) < 16


def test_an_export_that_fails_says_why_and_one_that_works_says_where(
    ended: ViewerWindow, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    bar = ended.after_run
    # The picture of a run goes where the dialog says, with the ending that its kind needs.
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "home.png"), ""))
    press(bar.export_button)
    until(lambda: not bar.is_busy)
    assert (tmp_path / "home.png").is_file(), bar.message.text()
    assert str(tmp_path / "home.png") in bar.message.text()
    # The dialog has asked whether a file of that name is to be replaced.
    (tmp_path / "home.png").write_bytes(b"older")
    press(bar.export_button)
    until(lambda: not bar.is_busy)
    assert (tmp_path / "home.png").stat().st_size > 100, bar.message.text()
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "file" / "home.png"), ""))
    press(bar.export_button)
    until(lambda: not bar.is_busy)
    assert "export did not work" in bar.message.text()
    assert "Traceback" not in bar.message.text()
    press(bar.folder_button)
    assert opened == [str(ended.presenter.run_folder)]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    press(bar.export_button)
    assert not bar.is_busy  # a dialog that was closed
