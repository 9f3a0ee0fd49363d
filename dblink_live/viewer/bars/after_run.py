"""What can be done with a run that has ended: refine, report, export, open its folder, start anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QProgressBar, QPushButton, QSizePolicy

from dblink_live.viewer.panels.labels import ElidedLabel
from dblink_live.viewer.processes.child import Child, share_done
from dblink_live.viewer.theme import Tone, set_look

EXPORTS = {
    "Movie (*.mp4)": ("--movie", ".mp4"),
    "Stack for ImageJ (*.tif)": ("--tiff", ".tif"),
    "Localizations, ThunderSTORM (*.csv)": ("--locs", ".csv"),
    "Localizations, Picasso (*.hdf5)": ("--locs", ".hdf5"),
    "Picture (*.png)": ("--picture", ".png"),
}
"""What can be exported, as the dialog names it: the option of ``export`` and the suffix."""


class AfterRunBar(QFrame):
    """Buttons, and the progress of the one command that runs at a time in a process of its own."""

    new_run_wanted = Signal()
    again_wanted = Signal()
    """Start the camera again."""
    done = Signal(str)
    """The verb that has ended well."""

    def __init__(self, start_child: Callable[[list[str]], Child] = Child) -> None:
        super().__init__()
        set_look(self, "surface")
        self._start_child = start_child
        self._run: Path | None = None
        self._child: Child | None = None
        self._verb = ""
        self._target: Path | None = None
        self.refine_button = self._button("Refine", "full bidirectional pass over the stored run", self.refine)
        self.report_button = self._button("Report", "write the page with figures and movie, and open it", self.report)
        self.export_button = self._button("Export\N{HORIZONTAL ELLIPSIS}", "take the results home", self.ask_export)
        self.folder_button = self._button("Open folder", "show the run folder", self.open_folder)
        self.again_button = self._button("Start again", "the same camera into another run", self.again_wanted.emit)
        self.new_button = self._button("New run", "back to the start page", self.new_run_wanted.emit)
        self.stop_button = self._button("Cancel", "end what is running here", self.cancel)
        self.again_button.hide()
        self.bar = QProgressBar()
        self.bar.setFixedWidth(140)
        self.bar.setMaximumHeight(16)
        self.message = ElidedLabel("", "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 10, 4)
        for button in (
            self.refine_button,
            self.report_button,
            self.export_button,
            self.folder_button,
            self.again_button,
            self.new_button,
        ):
            row.addWidget(button)
        row.addWidget(self.bar)
        row.addWidget(self.stop_button)
        row.addWidget(self.message, 1)
        self._show_progress()
        self.hide()

    @property
    def is_busy(self) -> bool:
        """Whether a command runs."""
        return self._child is not None

    def offer(self, run: Path | None) -> None:
        """Offer what can be done with a run folder; None, for a run elsewhere, leaves only a new one."""
        self._run = run
        for button in (self.refine_button, self.report_button, self.export_button, self.folder_button):
            button.setVisible(run is not None)
        self.show()

    def refine(self) -> None:
        """Make the pictures of the full pass; the timeline shows how far it is."""
        if self._run is not None:
            self._begin("refine", ["refine", str(self._run)], self._run)

    def report(self) -> None:
        """Write the report and open it."""
        if self._run is not None:
            self._begin("report", ["report", str(self._run)], self._run / "report")

    def ask_export(self) -> None:
        """Ask where to, and export."""
        if self._run is None:
            return
        name, chosen = QFileDialog.getSaveFileName(
            self, "Export", str(self._run.with_suffix("")), ";;".join(EXPORTS), next(iter(EXPORTS))
        )
        if name:
            option, suffix = EXPORTS.get(chosen, next(iter(EXPORTS.values())))
            path = Path(name)
            known = {end: what for what, end in EXPORTS.values()}
            if path.suffix.lower() in known:
                option = known[path.suffix.lower()]
            else:
                path = path.with_name(path.name + suffix)
            # Whether that very file may be replaced, the dialog has asked.
            self.export(option, path, replaces=path == Path(name))

    def export(self, option: str, path: Path, replaces: bool = False) -> None:
        """Export with one option of the verb ``export`` into ``path``."""
        if self._run is not None:
            overwrite = ["--overwrite"] if replaces else []
            self._begin("export", ["export", str(self._run), option, str(path), *overwrite], path)

    def open_folder(self) -> None:
        """Show the run folder in the system's file manager."""
        if self._run is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._run))):
            self._say(f"No file manager could be opened; the run is in {self._run}", Tone.WARNING)

    def cancel(self) -> None:
        """End the command that runs."""
        if self._child is not None:
            self._child.stop()

    def close_down(self) -> None:
        """End what runs; a refined or exported part is of no use without the rest."""
        if self._child is not None:
            self._child.stop()
            self._child.let_go()
            self._child = None

    def _begin(self, verb: str, arguments: list[str], target: Path) -> None:
        if self._child is not None:
            return
        self._verb, self._target = verb, target
        self._child = self._start_child(arguments)
        self._child.said.connect(self._on_line)
        self._child.finished.connect(self._on_finished)
        self._say(f"{verb}: starting\N{HORIZONTAL ELLIPSIS}", Tone.NORMAL)
        self.bar.setRange(0, 0)
        self._show_progress()
        self._child.start()

    def _on_line(self, line: str) -> None:
        share = share_done(line)
        if share is not None:
            self.bar.setRange(0, 100)
            self.bar.setValue(round(100 * share))
        if line.strip().isprintable() and not line.strip().startswith(("\N{BOX DRAWINGS LIGHT VERTICAL}",)):
            self._say(line.strip(), Tone.NORMAL)

    def _on_finished(self, status: int) -> None:
        child, self._child = self._child, None
        self._show_progress()
        if child is None:
            return
        if status != 0:
            self._say(f"{self._verb} did not work: {child.problem or f'exit status {status}'}", Tone.ALARM)
            return
        self._say(f"{self._verb}: done, in {self._target}", Tone.GOOD)
        if self._verb == "report" and self._target is not None:
            page = next(self._target.glob("*.html"), None)
            if page is not None:
                self._say(f"report: {page}", Tone.GOOD)
                QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))
        self.done.emit(self._verb)

    def _show_progress(self) -> None:
        for widget in (self.bar, self.stop_button):
            widget.setVisible(self.is_busy)
        for button in (self.refine_button, self.report_button, self.export_button):
            button.setEnabled(not self.is_busy)

    def _say(self, text: str, tone: Tone) -> None:
        self.message.setText(text)
        set_look(self.message, "small", tone)

    def _button(self, text: str, tip: str, call: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda _checked=False: call())
        return button
