"""What is measured with the outline, beside the pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QPushButton, QVBoxLayout

from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.panels.picture import Picture
from dblink_live.viewer.regions.background import Measurement
from dblink_live.viewer.regions.measure import (
    Trace,
    distance_nm,
    frc_of_region,
    fwhm_nm,
    line_profile,
    trace_of,
)
from dblink_live.viewer.regions.outlines import Outlines
from dblink_live.viewer.theme import Tone, current_theme, set_look

WIDTH_PX = 260
_PROFILES = {"sum": "plain sum", "reconstruction": "reconstruction"}


class RegionSidebar(QFrame):
    """Figures, a chart and the actions of the outline that is drawn.

    Parameters
    ----------
    outlines
        The outline.
    pictures
        Returns the pictures shown, by slot.
    run_folder
        Returns the run's folder; None where it is not on this machine.
    """

    crop_wanted = Signal(object)
    """`Rectangle` to be shown in a window of its own."""
    live_region_wanted = Signal(object)
    """`Rectangle` to be reconstructed live."""

    def __init__(
        self,
        outlines: Outlines,
        pictures: Callable[[], dict[str, Picture]],
        run_folder: Callable[[], Path | None],
    ) -> None:
        super().__init__()
        set_look(self, "surface")
        self.setFixedWidth(WIDTH_PX)
        self._outlines = outlines
        self._pictures = pictures
        self._run_folder = run_folder
        self._measurement: Measurement | None = None
        self._profiles: dict[str, float | None] = {}
        self.title = label("", "heading")
        self.text = label("", "body")
        self.text.setWordWrap(True)
        self.chart = pg.PlotWidget()
        self.chart.setMinimumHeight(110)
        self.chart.setMenuEnabled(False)
        self.message = label("", "small", Tone.FAINT)
        self.message.setWordWrap(True)
        self.trace_button = self._button("Trace over time", self.measure_trace)
        self.frc_button = self._button("Resolution (FRC)", self.measure_frc)
        self.crop_button = self._button("Crop to a new view", lambda: self._emit(self.crop_wanted))
        self.live_button = self._button("Reconstruct live here", lambda: self._emit(self.live_region_wanted))
        self.close_button = self._button("Close", lambda: outlines.choose("none"))
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        for widget in (self.title, self.text, self.chart, self.message):
            column.addWidget(widget, 1 if widget is self.chart else 0)
        for button in (self.trace_button, self.frc_button, self.crop_button, self.live_button, self.close_button):
            column.addWidget(button)
        outlines.changed.connect(self._on_changed)
        self.set_can_move_live_region(False)
        self.hide()

    @property
    def widths_nm(self) -> dict[str, float | None]:
        """Full width at half maximum of each profile, by slot."""
        return dict(self._profiles)

    @property
    def is_measuring(self) -> bool:
        """Whether a trace or resolution is being measured."""
        return self._measurement is not None

    def set_can_move_live_region(self, can: bool) -> None:
        """Say whether the run takes requests for its live region."""
        self._can_move_live_region = can
        self.live_button.setVisible(can and self._outlines.tool == "rectangle")

    def refresh(self) -> None:
        """Measure again what the pictures tell at once: size, length and profile."""
        line, rectangle = self._outlines.line, self._outlines.rectangle
        if line is not None:
            self._show_profile(*line)
        elif rectangle is not None:
            found = [f"{rectangle.text} at x {rectangle.left_nm / 1000:.2f}, y {rectangle.top_nm / 1000:.2f} µm"]
            counts = self._pictures().get("sum")
            if counts is not None:
                part = counts.image[rectangle.pixels(counts)]
                found.append(f"{int(part.sum())} molecules in {counts.caption}")
            self.text.setText("\n".join(found))

    def measure_trace(self) -> None:
        """Count the molecules in the rectangle over all windows."""
        rectangle, run = self._outlines.rectangle, self._folder()
        if rectangle is not None and run is not None:
            self._begin(partial(trace_of, run, rectangle), self._show_trace)

    def measure_frc(self) -> None:
        """Measure the resolution of the molecules in the rectangle."""
        rectangle, run = self._outlines.rectangle, self._folder()
        if rectangle is not None and run is not None:
            self._begin(lambda _is_cancelled: frc_of_region(run, rectangle), self._show_frc)

    def close_down(self) -> None:
        """End what is being measured."""
        if self._measurement is not None:
            self._measurement.end()
            self._measurement = None

    def _on_changed(self) -> None:
        tool = self._outlines.tool
        self.setVisible(tool != "none")
        is_rectangle = tool == "rectangle"
        for button in (self.trace_button, self.frc_button, self.crop_button):
            button.setVisible(is_rectangle)
        self.live_button.setVisible(is_rectangle and self._can_move_live_region)
        self.title.setText("Rectangle" if is_rectangle else "Line")
        if is_rectangle:
            self.chart.clear()
            self.message.setText("")
        self.refresh()

    def _show_profile(self, first: tuple[float, float], second: tuple[float, float]) -> None:
        length = distance_nm(first, second)
        lines = [f"length {length:.0f} nm" if length < 10_000 else f"length {length / 1000:.2f} µm"]
        theme = current_theme()
        colours = {"sum": theme.warning, "reconstruction": theme.accent}
        self._prepare_chart("along the line (nm)", "share of the peak")
        self._profiles = {}
        for slot, picture in self._pictures().items():
            if slot not in _PROFILES or length <= 0:
                continue
            distance, values = line_profile(picture, first, second)
            self._profiles[slot] = width = fwhm_nm(distance, values)
            told = "no full width at half maximum: the profile has no peak" if width is None else f"FWHM {width:.0f} nm"
            lines.append(f"{_PROFILES[slot]}: {told}")
            top = np.nanmax(values) if np.isfinite(values).any() else 0.0
            if top > 0:
                self.chart.plot(distance, values / top, pen=pg.mkPen(colours[slot], width=2))
        self.text.setText("\n".join(lines))
        self.message.setText("mean over 120 nm across the line; orange: plain sum, blue: reconstruction")

    def _show_trace(self, trace: Trace) -> None:
        self._prepare_chart("time (s)" if trace.in_seconds else "window", "molecules per window")
        self.chart.plot(trace.time, trace.molecules, pen=pg.mkPen(current_theme().accent, width=2))
        mean = trace.molecules.mean() if len(trace.molecules) else 0.0
        self._say(f"{len(trace.molecules)} windows, {mean:.1f} molecules per window")

    def _show_frc(self, resolution_nm: float) -> None:
        self._say(f"resolution of the molecules (FRC, 1/7): {resolution_nm:.0f} nm")

    def _prepare_chart(self, below: str, left: str) -> None:
        theme = current_theme()
        self.chart.clear()
        self.chart.setBackground(theme.surface)
        for axis, text in (("bottom", below), ("left", left)):
            self.chart.setLabel(axis, text, color=theme.faint)
            self.chart.getAxis(axis).setPen(theme.faint)
            self.chart.getAxis(axis).setTextPen(theme.faint)
            # pyqtgraph centres a label when the axis changes its size, not when its text does.
            self.chart.getAxis(axis).resizeEvent()

    def _begin(self, work: Callable[[Callable[[], bool]], Any], show: Callable[[Any], None]) -> None:
        if self._measurement is not None:
            return
        self._say("measuring\N{HORIZONTAL ELLIPSIS}")
        self._measurement = Measurement(work)
        self._measurement.measured.connect(show)
        self._measurement.failed.connect(lambda text: self._say(text, Tone.ALARM))
        self._measurement.finished.connect(self._on_finished)
        self._measurement.start()

    def _on_finished(self) -> None:
        measurement, self._measurement = self._measurement, None
        if measurement is not None:
            measurement.wait()

    def _folder(self) -> Path | None:
        folder = self._run_folder()
        if folder is None:
            self._say("this needs the run's folder, which is not on this machine", Tone.WARNING)
        return folder

    def _emit(self, signal: Any) -> None:
        rectangle = self._outlines.rectangle
        if rectangle is not None:
            signal.emit(rectangle)

    def _say(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        self.message.setText(text)
        set_look(self.message, "small", tone)

    def _button(self, text: str, call: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda _checked=False: call())
        return button
