"""The start page: the form, what will happen, one Start button, and the runs of before."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QGuiApplication, QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from dblink_live.text.shell import command_text
from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.processes.child import Child
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.model_facts import model_facts
from dblink_live.viewer.start.choices import Choices, command_of, remarks_on
from dblink_live.viewer.start.forecast import forecast_disk, machine_text
from dblink_live.viewer.start.form import StartForm
from dblink_live.viewer.start.inspection_box import InspectionBox
from dblink_live.viewer.start.micromanager import MicroManagerFinder
from dblink_live.viewer.theme import Tone, set_look

PREFERRED_SIZE = (1020, 640)
SMALLEST_SIZE = (480, 320)
TYPICAL_PIXEL_NM = 100.0
"""For the forecast of the disk, where the pixel size is left to the source."""


class StartPage(QWidget):
    """Collects choices and says what they mean; starting and opening is for whoever listens.

    Parameters
    ----------
    settings
        What is remembered.
    finder
        Looks for a running Micro-Manager.
    """

    start_wanted = Signal(object)
    """`Choices` of a run to start."""
    cancel_wanted = Signal()
    open_wanted = Signal(object)
    """Path of a run folder to open."""

    def __init__(self, settings: ViewerSettings, finder: MicroManagerFinder | None = None) -> None:
        super().__init__()
        self.setWindowTitle("dblink-live")
        self.setAcceptDrops(True)
        self._settings = settings
        self._finder = MicroManagerFinder() if finder is None else finder
        self._doctor: Child | None = None
        self._is_busy = False
        self.form = StartForm(settings)
        self.form.changed.connect(self.refresh)
        self.form.problem.connect(self.say_problem)
        self._finder.found.connect(self.form.offer_micromanager)
        self.notice = label("", "notice", Tone.FAINT)
        self.notice.setWordWrap(True)
        self.notice.hide()
        self.remarks = label("", "body")
        self.remarks.setWordWrap(True)
        self.refusals = label("", "body", Tone.WARNING)
        self.refusals.setWordWrap(True)
        self.disk = label("", "body")
        self.disk.setWordWrap(True)
        self.inspection = InspectionBox()
        self.machine = label("", "body")
        self.machine.setWordWrap(True)
        self.measure_button = QPushButton("Measure this machine")
        self.measure_button.clicked.connect(self.measure_machine)
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.copy_button = QPushButton("Copy")
        self.copy_button.clicked.connect(self._on_copy)
        self.start_button = QPushButton("Start")
        set_look(self.start_button, "primary")
        self.start_button.clicked.connect(self._on_start)
        self.recent = QListWidget()
        self.recent.itemActivated.connect(lambda item: self.open_wanted.emit(Path(item.data(Qt.ItemDataRole.UserRole))))
        self._lay_out()
        screen = self.screen().availableGeometry()
        self.setMinimumSize(min(SMALLEST_SIZE[0], screen.width()), min(SMALLEST_SIZE[1], screen.height()))
        self.resize(min(PREFERRED_SIZE[0], screen.width()), min(PREFERRED_SIZE[1], screen.height()))
        self.refresh()
        self.list_recent()

    @property
    def choices(self) -> Choices:
        """What is chosen now."""
        return self.form.choices

    def refresh(self) -> None:
        """Say again what the choices mean."""
        choices = self.choices
        remarks = remarks_on(choices)
        refused = any(remark.is_refusal for remark in remarks)
        for shown, is_refusal in ((self.refusals, True), (self.remarks, False)):
            texts = [f"\N{BULLET} {remark.text}" for remark in remarks if remark.is_refusal == is_refusal]
            shown.setText("\n".join(texts))
            shown.setVisible(bool(texts))
        subject = choices.subject
        is_looked_at = subject is not None and subject.kind in ("stack", "table")
        self.inspection.show_path(subject.path if subject is not None and is_looked_at else None)
        self.command.setText(command_text(["dblink-live", *command_of(choices)]))
        self.command.setCursorPosition(0)
        self.start_button.setEnabled(self._is_busy or not refused)
        shape, fps = self.form.camera
        facts = model_facts(choices.model)
        forecast = forecast_disk(
            Path(choices.folder or "."),
            shape,
            fps,
            pixel_size_nm=choices.pixel_size_nm or TYPICAL_PIXEL_NM,
            pitch_nm=40.0 if facts is None else facts.pixel_size_nm,
            window_frames=choices.window_frames,
            record=choices.record,
        )
        self.disk.setText("Disk: not known" if forecast is None else f"Disk: {forecast.text}")
        set_look(self.disk, "body", Tone.ALARM if forecast is not None and forecast.hours < 0.5 else Tone.NORMAL)
        self.machine.setText(f"Machine: {machine_text(self._settings.get('holds', []), shape, fps)}")

    def list_recent(self) -> None:
        """List the runs of before, the newest first."""
        self.recent.clear()
        for path in self._settings.recent_runs:
            when = datetime.fromtimestamp((path / "journal.sqlite").stat().st_mtime)
            item = QListWidgetItem(f"{path.name}    {when:%Y-%m-%d %H:%M}    {path.parent}")
            item.setData(Qt.ItemDataRole.UserRole, str(path))
            self.recent.addItem(item)

    def say(self, text: str) -> None:
        """Say how the start goes on."""
        self._show_notice(text, Tone.FAINT)

    def say_problem(self, text: str) -> None:
        """Say why something was refused or failed."""
        self._show_notice(text, Tone.ALARM)

    def set_busy(self, is_busy: bool) -> None:
        """While a run starts, the one button cancels it."""
        self._is_busy = is_busy
        self.start_button.setText("Cancel" if is_busy else "Start")
        self.form.setEnabled(not is_busy)
        self.refresh()

    def measure_machine(self) -> None:
        """Ask ``doctor`` what this machine holds; takes a minute, in a process of its own."""
        if self._doctor is not None:
            return
        self.measure_button.setEnabled(False)
        self.measure_button.setText("Measuring\N{HORIZONTAL ELLIPSIS}")
        self._doctor = Child(["doctor", "--json"])
        self._doctor.finished.connect(self._on_measured)
        self._doctor.start()

    def take(self, path: Path) -> None:
        """Take a dropped file or folder; a run folder is opened."""
        self.notice.hide()
        subject = self.form.take(path)
        if subject is not None and subject.kind == "run":
            self.open_wanted.emit(path)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if len(paths) > 1:
            self.say_problem(f"expected one file or folder, found {len(paths)}; drop one")
        elif paths:
            self.take(paths[0])

    def showEvent(self, event: QShowEvent) -> None:
        self._finder.start()
        self.list_recent()

    def hideEvent(self, event: QHideEvent) -> None:
        self._finder.stop()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.form.remember()
        self.inspection.close_down()
        if self._doctor is not None:
            self._doctor.stop()
            self._doctor.let_go()
            self._doctor = None
        event.accept()

    def _on_start(self) -> None:
        if self._is_busy:
            self.cancel_wanted.emit()
            return
        self.notice.hide()
        self.form.remember()
        self.start_wanted.emit(self.choices)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.command.text())
        self.say("Copied the command")

    def _on_measured(self, status: int) -> None:
        child, self._doctor = self._doctor, None
        self.measure_button.setEnabled(True)
        self.measure_button.setText("Measure this machine")
        if child is None:
            return
        answer = next((line for line in reversed(child.lines) if line.startswith("{")), "")
        try:
            holds = json.loads(answer)["holds"]
        except (ValueError, KeyError):
            self.say_problem(f"this machine could not be measured: {child.problem or f'status {status}'}")
            return
        self._settings.set("holds", holds)
        self.refresh()

    def _show_notice(self, text: str, tone: Tone) -> None:
        self.notice.setText(text)
        set_look(self.notice, "notice", tone)
        self.notice.setVisible(bool(text))

    def _lay_out(self) -> None:
        right = QVBoxLayout()
        right.setSpacing(8)
        right.addWidget(label("What will happen", "heading"))
        for widget in (self.refusals, self.remarks, self.inspection, self.disk, self.machine):
            right.addWidget(widget)
        right.addWidget(self.measure_button, 0, Qt.AlignmentFlag.AlignLeft)
        right.addWidget(label("The same in a terminal", "heading"))
        command = QHBoxLayout()
        command.addWidget(self.command, 1)
        command.addWidget(self.copy_button)
        right.addLayout(command)
        right.addWidget(self.start_button)
        right.addWidget(label("Recent runs", "heading"))
        self.recent.setMinimumHeight(90)
        right.addWidget(self.recent, 1)
        columns = QHBoxLayout()
        columns.setSpacing(24)
        columns.addWidget(self.form, 1)
        columns.addLayout(right, 1)
        inner = QWidget()
        body = QVBoxLayout(inner)
        body.setContentsMargins(20, 14, 20, 14)
        body.addWidget(label("dblink-live", "title"))
        body.addLayout(columns, 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inner)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self.notice)
        whole.addWidget(scroll, 1)
