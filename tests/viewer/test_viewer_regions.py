"""Measuring: lines and rectangles against what is known, and the tools that draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
import pytest
from growing_run import GRID, GrowingRun
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from dblink_live.analysis.resolution.frc import frc_of_localizations
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.store import RunWriter, open_run
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations
from dblink_live.viewer.panels.picture import Picture
from dblink_live.viewer.program import Program
from dblink_live.viewer.regions.measure import (
    Rectangle,
    distance_nm,
    frc_of_region,
    fwhm_nm,
    line_profile,
    trace_of,
)
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.stored_source import StoredSource
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, 135.0])
@pytest.mark.parametrize("origin_nm", [(0.0, 0.0), (-130.0, 70.0)])
def test_the_width_of_a_known_line_is_measured_at_every_angle(angle_deg: float, origin_nm: tuple[float, float]) -> None:
    pitch, sigma = 20.0, 60.0
    centre = (origin_nm[0] + 1000.0, origin_nm[1] + 1000.0)
    angle = np.radians(angle_deg)
    rows, cols = np.mgrid[:100, :100]
    y = origin_nm[0] + (rows + 0.5) * pitch - centre[0]
    x = origin_nm[1] + (cols + 0.5) * pitch - centre[1]
    across = y * np.cos(angle) - x * np.sin(angle)
    picture = Picture(np.exp(-0.5 * (across / sigma) ** 2), pitch, origin_nm)
    step = (400 * np.cos(angle), -400 * np.sin(angle))
    ends = (centre[0] - step[0], centre[1] - step[1]), (centre[0] + step[0], centre[1] + step[1])
    distance, values = line_profile(picture, *ends)
    assert distance[-1] == pytest.approx(800.0)
    width = fwhm_nm(distance, values)
    assert width == pytest.approx(2 * np.sqrt(2 * np.log(2)) * sigma, rel=0.03)
    assert distance[values.argmax()] == pytest.approx(400.0, abs=pitch)


def test_a_profile_outside_the_picture_is_unknown() -> None:
    distance, values = line_profile(Picture(np.ones((10, 10)), 40.0), (200.0, 200.0), (200.0, 900.0), 40.0)
    assert np.isnan(values[distance > 300]).all()
    assert (values[distance < 150] == 1).all()
    assert fwhm_nm(distance, values) is None


def test_a_flat_profile_and_a_peak_at_the_end_have_no_width() -> None:
    x = np.arange(50.0)
    assert fwhm_nm(x, np.ones(50)) is None
    assert fwhm_nm(x, x) is None


def test_a_line_without_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="two different ends"):
        line_profile(Picture(np.ones((4, 4)), 40.0), (10.0, 10.0), (10.0, 10.0))
    assert distance_nm((0.0, 3.0), (4.0, 0.0)) == 5.0


def test_a_rectangle_holds_the_pixels_whose_centres_are_in_it() -> None:
    picture = Picture(np.zeros((10, 10)), 40.0, (-40.0, 0.0))
    rows, cols = Rectangle(0.0, 40.0, 80.0, 120.0).pixels(picture)
    assert (rows, cols) == (slice(1, 3), slice(1, 4))
    rows, cols = Rectangle(-9000.0, 9000.0, 80.0, 120.0).pixels(picture)
    assert (rows, cols) == (slice(0, 0), slice(10, 10))


def test_a_trace_counts_the_molecules_of_the_region(growing_run: GrowingRun) -> None:
    # Window n holds one molecule, in row n of the grid and column 10.
    growing_run.add(20)
    growing_run.writer.finalize()
    trace = trace_of(growing_run.path, Rectangle(4 * 40.0, 0.0, 6 * 40.0, 1000.0))
    assert trace.in_seconds
    np.testing.assert_allclose(trace.time[:3], [0.2, 0.4, 0.6])
    np.testing.assert_array_equal(np.flatnonzero(trace.molecules), np.arange(4, 10))
    assert trace.molecules.max() == 1


@pytest.fixture
def dense_run(tmp_path: Path) -> Iterator[Path]:
    """Lines of molecules in the left half, a few beside it, nothing at the right edge."""
    path, rng = tmp_path / "dense.run", np.random.default_rng(3)
    grid = Grid.covering(Shape(32, 64), 100.0, 40.0)
    writer = RunWriter.create(path, RunInfo("1", "2026-01-01T00:00:00", {}, "filaments", ""), window_frames=10)
    writer.begin_segment(Segment(0, Shape(32, 64), "uint16", frame_interval_ms=20.0), grid, 100.0)
    for window in range(40):
        found = empty_localizations(400)
        found["frame"] = np.sort(10 * window + rng.integers(0, 10, 400))
        found["x"] = rng.uniform(1, 30, 400)
        # A few that lie elsewhere and say nothing.
        found["x"][:20] = rng.uniform(34, 38, 20)
        found["y"] = np.round(rng.uniform(2, 29, 400) / 3) * 3 + rng.normal(0, 0.1, 400)
        counts = np.zeros(grid.shape, np.uint16)
        rows, cols = grid.index_of(found["y"], found["x"], 100.0)
        np.add.at(counts, (rows, cols), 1)
        writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, grid), found)
    writer.finalize()
    writer.close()
    yield path


def test_the_resolution_is_that_of_the_molecules_in_the_region(dense_run: Path) -> None:
    with open_run(dense_run) as run:
        found = run.localizations()
    left = found[found["x"] < 31.5]
    assert len(left) < len(found)
    expected = frc_of_localizations(left, 100.0).resolution_nm()
    assert frc_of_region(dense_run, Rectangle(0.0, 0.0, 3200.0, 3200.0)) == pytest.approx(expected)
    with pytest.raises(AnalysisError):
        frc_of_region(dense_run, Rectangle(0.0, 5000.0, 3200.0, 1000.0))


@pytest.fixture
def window(growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]) -> ViewerWindow:
    growing_run.add(30)
    growing_run.writer.finalize()
    made = open_window(None, StoredSource(growing_run.path))
    made.presenter.go_to(12)
    return made


def test_the_tools_are_chosen_by_word_and_by_key(window: ViewerWindow, until: Until) -> None:
    window.activateWindow()
    until(window.isActiveWindow)
    QTest.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    assert window.outlines.tool == "rectangle"
    assert window.sidebar.isVisible()
    QTest.keyClick(window, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    assert window.outlines.tool == "line"
    QTest.mouseClick(window.sidebar.close_button, Qt.MouseButton.LeftButton)
    assert window.outlines.tool == "none"
    assert not window.sidebar.isVisible()


def test_the_outline_moves_in_all_panels_together(window: ViewerWindow) -> None:
    window.outlines.choose("rectangle")
    window.outlines.set_rectangle(Rectangle(200.0, 400.0, 600.0, 800.0))
    for panel in window.presenter.area.panels.values():
        drawn = next(item for item in panel.view.childGroup.childItems() if isinstance(item, pg.ROI))
        assert (drawn.pos().y(), drawn.pos().x()) == (200.0, 400.0)
        assert (drawn.size().y(), drawn.size().x()) == (600.0, 800.0)
    assert window.outlines.rectangle == Rectangle(200.0, 400.0, 600.0, 800.0)
    assert "0.80 x 0.60 µm" in window.sidebar.text.text()


def test_a_line_is_measured_in_the_pictures(window: ViewerWindow) -> None:
    window.outlines.choose("line")
    # The reconstruction of window 12 is one bright row of 40 nm.
    y = (12.5) * GRID.pitch_nm
    window.outlines.set_line((y - 300.0, 1500.0), (y + 300.0, 1500.0))
    line = window.outlines.line
    assert line is not None
    np.testing.assert_allclose(line, [(y - 300.0, 1500.0), (y + 300.0, 1500.0)], atol=1.0)
    assert window.sidebar.widths_nm["reconstruction"] == pytest.approx(40.0, rel=0.1)
    assert "length 600 nm" in window.sidebar.text.text()


def test_the_words_below_a_chart_stand_in_its_middle(window: ViewerWindow, until: Until) -> None:
    window.outlines.choose("line")
    window.outlines.choose("rectangle")
    QTest.mouseClick(window.sidebar.trace_button, Qt.MouseButton.LeftButton)
    until(lambda: not window.sidebar.is_measuring)
    axis = window.sidebar.chart.getAxis("bottom")
    words = axis.label
    assert words.toPlainText().strip() == "time (s)"
    # To the pixel: both are rounded.
    assert words.pos().x() + words.boundingRect().width() / 2 == pytest.approx(axis.size().width() / 2, abs=1.5)


def test_the_buttons_of_the_rectangle_measure_and_say_so(window: ViewerWindow, until: Until) -> None:
    window.outlines.choose("rectangle")
    window.outlines.set_rectangle(Rectangle(0.0, 0.0, 2600.0, 3480.0))
    QTest.mouseClick(window.sidebar.trace_button, Qt.MouseButton.LeftButton)
    until(lambda: not window.sidebar.is_measuring)
    assert "30 windows, 1.0 molecules per window" in window.sidebar.message.text()
    QTest.mouseClick(window.sidebar.frc_button, Qt.MouseButton.LeftButton)
    until(lambda: not window.sidebar.is_measuring)
    assert "expected" in window.sidebar.message.text()  # there are no molecules in its tables


def test_a_crop_is_a_window_of_its_own(
    app: QApplication, settings: ViewerSettings, growing_run: GrowingRun, until: Until
) -> None:
    growing_run.add(12)
    growing_run.writer.finalize()
    program = Program(settings)
    try:
        window = program.open_run(growing_run.path)
        window.outlines.choose("rectangle")
        window.outlines.set_rectangle(Rectangle(400.0, 800.0, 600.0, 900.0))
        QTest.mouseClick(window.sidebar.crop_button, Qt.MouseButton.LeftButton)
        assert len(program.windows) == 2
        view = program.windows[1].presenter.area.panels["sum"].view

        def centre() -> tuple[float, float]:
            return view.viewRect().center().x(), view.viewRect().center().y()

        until(lambda: view.viewRect().width() < 3000 and centre() == pytest.approx((1250.0, 700.0), abs=60))
    finally:
        program.close()
        app.processEvents()
