"""The form of the start page: source, camera, sample, run folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import get_args

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from dblink_live.camera.presets import camera_presets
from dblink_live.errors import DblinkError
from dblink_live.types import Shape
from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.model_facts import model_facts, shipped_models
from dblink_live.viewer.start.choices import DEFAULT_WINDOW, Choices, SourceKind
from dblink_live.viewer.start.identify import Subject, identify
from dblink_live.viewer.start.structure_picture import structure_picture
from dblink_live.viewer.theme import Tone, set_look

PICTURE_PX = 84
BOX_PX = 27
NO_PRESET = "none"
_SOURCES: dict[SourceKind, tuple[str, str]] = {
    "micromanager": ("Micro-Manager", "watch the Live window of a running Micro-Manager; nothing in it is changed"),
    "config": ("Camera (.cfg)", "open the camera of a Micro-Manager configuration from here"),
    "folder": ("Watch a folder", "follow the next dataset that Micro-Manager saves in a folder"),
    "file": ("Stack or table", "reconstruct recorded frames or a localization table"),
    "demo": ("Demo", "simulated filaments before a simulated camera; needs no microscope"),
}
DEMO_SHAPE, DEMO_FPS = Shape(64, 64), 50.0


class StartForm(QWidget):
    """Asks what a run needs to know; emits `changed` with every change."""

    changed = Signal()
    problem = Signal(str)
    """Why a file or folder was refused."""

    def __init__(self, settings: ViewerSettings) -> None:
        super().__init__()
        self._settings = settings
        self._subjects: dict[SourceKind, Subject] = {}
        self._is_chosen = False
        self.sources: dict[SourceKind, QPushButton] = {}
        self._group = QButtonGroup(self)
        for kind, (text, tip) in _SOURCES.items():
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.clicked.connect(lambda _checked, kind=kind: self.choose_source(kind))
            self.sources[kind] = button
            self._group.addButton(button)
        self.choose_button = QPushButton("Choose\N{HORIZONTAL ELLIPSIS}")
        self.choose_button.clicked.connect(self._on_choose)
        self.source_text = label("", "small", Tone.FAINT)
        self.source_text.setWordWrap(True)
        self.preset = QComboBox()
        self.preset.addItems([NO_PRESET, *camera_presets()])
        self.pixel_size = _number(0.0, 5000.0, 1, " nm", "from the source")
        self.exposure = _number(0.0, 10000.0, 2, " ms", "as configured")
        self.field_width, self.field_height = _whole(8, 8192, 512, " px"), _whole(8, 8192, 512, " px")
        self.fps = _number(0.1, 10000.0, 1, " per s")
        self.fps.setValue(50.0)
        self.record = QCheckBox("keep the camera frames, too")
        self.model = QComboBox()
        self.model.addItems(shipped_models())
        self.model_text = label("", "small", Tone.FAINT)
        self.model_text.setWordWrap(True)
        self.picture = QLabel()
        self.picture.setFixedSize(PICTURE_PX, PICTURE_PX)
        self.window_frames = _whole(1, 10000, DEFAULT_WINDOW, " frames")
        self.folder = QLineEdit()
        self.folder_button = QPushButton("Choose\N{HORIZONTAL ELLIPSIS}")
        self.folder_button.clicked.connect(self._on_choose_folder)
        self._lay_out()
        self._restore()
        for signal in (
            self.preset.currentTextChanged,
            self.pixel_size.valueChanged,
            self.exposure.valueChanged,
            self.field_width.valueChanged,
            self.field_height.valueChanged,
            self.fps.valueChanged,
            self.record.toggled,
            self.model.currentTextChanged,
            self.window_frames.valueChanged,
            self.folder.textChanged,
        ):
            signal.connect(self._on_change)
        self._show_source()
        self._on_change()

    @property
    def source(self) -> SourceKind:
        """The source that is chosen."""
        return next(kind for kind, button in self.sources.items() if button.isChecked())

    @property
    def choices(self) -> Choices:
        """Everything that is chosen."""
        return Choices(
            source=self.source,
            subject=self._subjects.get(self.source),
            folder=self.folder.text().strip(),
            preset="" if self.preset.currentText() == NO_PRESET else self.preset.currentText(),
            pixel_size_nm=self.pixel_size.value() or None,
            exposure_ms=(self.exposure.value() or None) if self.source == "config" else None,
            model=self.model.currentText(),
            window_frames=self.window_frames.value(),
            record=self.record.isChecked(),
        )

    @property
    def camera(self) -> tuple[Shape, float]:
        """Field and frames per second that forecasts are made for."""
        if self.source == "demo":
            return DEMO_SHAPE, DEMO_FPS
        subject = self._subjects.get(self.source)
        if subject is not None and subject.segment is not None:
            interval = subject.segment.frame_interval_ms
            return subject.segment.shape, 1000.0 / interval if interval else self.fps.value()
        return Shape(self.field_height.value(), self.field_width.value()), self.fps.value()

    def choose_source(self, kind: SourceKind) -> None:
        """Choose where frames come from."""
        self._is_chosen = True
        self.sources[kind].setChecked(True)
        self._show_source()
        self._on_change()

    def offer_micromanager(self, is_found: bool) -> None:
        """Say whether a Micro-Manager runs; one that does is chosen, unless the operator has chosen."""
        text = _SOURCES["micromanager"][0]
        self.sources["micromanager"].setText(f"{text} (found)" if is_found else text)
        if is_found and not self._is_chosen:
            self.choose_source("micromanager")
            self._is_chosen = False
        self._micromanager_is_found = is_found
        self._show_source()
        self._on_change()

    def take(self, path: Path) -> Subject | None:
        """Take a file or folder; None where it is refused, or is a run, which is to be opened instead."""
        try:
            subject = identify(path)
        except DblinkError as error:
            self.problem.emit(str(error))
            return None
        kinds: dict[str, SourceKind] = {"config": "config", "folder": "folder", "stack": "file", "table": "file"}
        if subject.kind != "run":
            self._subjects[kinds[subject.kind]] = subject
            self.choose_source(kinds[subject.kind])
            self.folder.setText(_free_folder(Path(self.folder.text() or ".").parent, path.stem))
        return subject

    def renew_folder(self) -> None:
        """Name a run folder that does not exist yet."""
        folder = Path(self.folder.text() or ".")
        self.folder.setText(_free_folder(folder.parent, _stem(folder)))

    def remember(self) -> None:
        """Keep what was chosen for the next time."""
        self._settings.set(
            "start",
            {
                "preset": self.preset.currentText(),
                "pixel_size_nm": self.pixel_size.value(),
                "exposure_ms": self.exposure.value(),
                "shape": [self.field_height.value(), self.field_width.value()],
                "fps": self.fps.value(),
                "model": self.model.currentText(),
                "window_frames": self.window_frames.value(),
                "record": self.record.isChecked(),
                "folder": str(Path(self.folder.text() or ".").parent),
            },
        )

    def _restore(self) -> None:
        plain = self._settings.get("start", {})

        def number(key: str, default: float) -> float:
            value = plain.get(key)
            return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default

        for box, key in ((self.preset, "preset"), (self.model, "model")):
            box.setCurrentIndex(max(0, box.findText(str(plain.get(key, "")))))
        self.pixel_size.setValue(number("pixel_size_nm", 0.0))
        self.exposure.setValue(number("exposure_ms", 0.0))
        self.fps.setValue(number("fps", 50.0))
        self.window_frames.setValue(round(number("window_frames", DEFAULT_WINDOW)))
        self.record.setChecked(plain.get("record") is True)
        shape = plain.get("shape")
        if isinstance(shape, list) and len(shape) == 2 and all(isinstance(side, int) for side in shape):
            self.field_height.setValue(shape[0])
            self.field_width.setValue(shape[1])
        base = Path(str(plain.get("folder") or Path.cwd()))
        self.folder.setText(_free_folder(base if base.is_dir() else Path.cwd(), "run"))
        self.sources["demo"].setChecked(True)
        self._micromanager_is_found = False

    def _on_change(self, *_: object) -> None:
        facts = model_facts(self.model.currentText())
        self.model_text.setText("" if facts is None else facts.description)
        drawn = None if facts is None else structure_picture(facts.structure)
        self.picture.setVisible(drawn is not None)
        if drawn is not None:
            self.picture.setPixmap(
                drawn.scaled(PICTURE_PX, PICTURE_PX, mode=Qt.TransformationMode.SmoothTransformation)
            )
        self.changed.emit()

    def _show_source(self) -> None:
        kind = self.source
        subject = self._subjects.get(kind)
        self.choose_button.setVisible(kind in ("config", "folder", "file"))
        if kind == "micromanager":
            text = (
                "A Micro-Manager answers on this machine: its Live window is watched, and nothing in it is changed."
                if self._micromanager_is_found
                else "No Micro-Manager answers: start it, and switch on Tools > Options > Run pycro-manager server."
            )
        elif subject is not None:
            text = f"{subject.path}: {subject.description}"
        else:
            text = _SOURCES[kind][1]
        self.source_text.setText(f"{text[0].upper()}{text[1:]}" if subject is None else text)
        for setting in (self.preset, self.pixel_size, self.model, self.window_frames):
            setting.setEnabled(kind != "demo")
        # A file tells its own field: another one beside it would only mislead.
        self._form.setRowVisible(self._field, kind in ("micromanager", "config", "folder"))
        for row in (self.exposure, self.record):
            self._form.setRowVisible(row, kind == "config")

    def _on_choose(self) -> None:
        kind, begin = self.source, str(Path(self.folder.text() or ".").parent)
        if kind == "folder":
            name = QFileDialog.getExistingDirectory(self, "Folder in which Micro-Manager saves", begin)
        elif kind == "config":
            name, _ = QFileDialog.getOpenFileName(self, "Micro-Manager configuration", begin, "Configuration (*.cfg)")
        else:
            name, _ = QFileDialog.getOpenFileName(self, "Stack or localization table", begin)
        if name:
            self.take(Path(name))

    def _on_choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Where run folders are made", self.folder.text())
        if name:
            self.folder.setText(_free_folder(Path(name), _stem(Path(self.folder.text() or "run"))))

    def _lay_out(self) -> None:
        row = QGridLayout()
        row.setSpacing(6)
        for index, kind in enumerate(get_args(SourceKind)):
            row.addWidget(self.sources[kind], index // 3, index % 3)
        row.addWidget(self.choose_button, 1, 2)
        self._form = form = QFormLayout()
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(6)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        form.addRow("Camera", self.preset)
        form.addRow("Pixel size", self.pixel_size)
        form.addRow("Exposure", self.exposure)
        self._field = field = QHBoxLayout()
        field.setSpacing(8)
        for widget in (self.field_width, label("by"), self.field_height, label("at"), self.fps):
            field.addWidget(widget)
        field.addStretch(1)
        form.addRow("Field", field)
        form.addRow("", self.record)
        sample = QHBoxLayout()
        sample.setSpacing(10)
        sample.addWidget(self.picture)
        texts = QVBoxLayout()
        texts.addWidget(self.model)
        texts.addWidget(self.model_text)
        sample.addLayout(texts, 1)
        form.addRow("Structure", sample)
        form.addRow("Window", self.window_frames)
        folder = QHBoxLayout()
        folder.addWidget(self.folder, 1)
        folder.addWidget(self.folder_button)
        form.addRow("Run folder", folder)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(label("Where do the frames come from?", "heading"))
        column.addLayout(row)
        column.addWidget(self.source_text)
        column.addLayout(form)
        column.addStretch(1)
        for box in self.findChildren(QWidget):
            if isinstance(box, (QAbstractSpinBox, QComboBox)) or box is self.folder:
                box.setMinimumHeight(BOX_PX)
        set_look(self.picture, "body")


def _free_folder(base: Path, stem: str) -> str:
    """A run folder in ``base`` that does not exist, named by ``stem`` and the date."""
    name = f"{stem}-{datetime.now():%Y%m%d}"
    taken = (f"{name}.run", *(f"{name}-{n}.run" for n in range(2, 10_000)))
    return str(base / next(candidate for candidate in taken if not (base / candidate).exists()))


def _stem(folder: Path) -> str:
    """The name of a run folder without the date and number that `_free_folder` gave it."""
    parts = folder.stem.split("-")
    while len(parts) > 1 and parts[-1].isdigit():
        parts.pop()
    return "-".join(parts)


def _number(low: float, high: float, decimals: int, suffix: str, unset: str = "") -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(decimals)
    box.setSuffix(suffix)
    box.setSpecialValueText(unset)
    return box


def _whole(low: int, high: int, value: int, suffix: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(suffix)
    return box
