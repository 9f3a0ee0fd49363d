"""One panel: nothing bright is dropped, nothing is moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from dblink_live.display.contrast import RECONSTRUCTION, SUM, Limits
from dblink_live.viewer.panels.contrast import Contrast
from dblink_live.viewer.panels.labels import Caption
from dblink_live.viewer.panels.panel import Panel
from dblink_live.viewer.panels.picture import Picture


@pytest.fixture
def panel(app: QApplication) -> Iterator[Panel]:
    made = Panel("Sum", "localizations", SUM, "grey")
    made.resize(400, 460)
    made.show()
    app.processEvents()
    yield made
    made.close()
    made.deleteLater()
    app.processEvents()


def grab(panel: Panel, app: QApplication) -> Any:
    """Brightness [H, W] of what is on the screen where the picture is."""
    app.processEvents()
    image = panel.view.getViewWidget().grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return pixels[:, : image.width()].copy()


def test_no_dot_is_dropped_where_the_screen_is_coarser(panel: Panel, app: QApplication) -> None:
    counts = np.zeros((2048, 2048), np.uint16)
    rng = np.random.default_rng(3)
    dots = rng.integers(50, 1950, (60, 2))
    counts[dots[:, 0], dots[:, 1]] = 9
    panel.view.setRange(QRectF(0, 0, 2048 * 40, 2048 * 40), padding=0)
    panel.show_picture(Picture(counts, 40.0))
    assert panel.painted is not None
    assert panel.painted.shape[0] < 1024
    screen = grab(panel, app)
    for row, col in dots:
        at = panel.view.mapViewToScene(_point(col, row))
        y, x = int(at.y()), int(at.x())
        # The dot's block covers up to 4 x 4 picture pixels: within 2 screen pixels of the dot's own place.
        assert screen[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max() > 200


def _point(col: int, row: int) -> Any:
    return QPointF((col + 0.5) * 40.0, (row + 0.5) * 40.0)


def test_zooming_in_shows_the_pixels_themselves(panel: Panel, app: QApplication) -> None:
    image = np.random.default_rng(0).integers(0, 50, (1501, 1203)).astype(np.uint16)
    panel.view.setRange(QRectF(0, 0, 1203 * 40, 1501 * 40), padding=0)
    panel.show_picture(Picture(image, 40.0, origin_nm=(-13.0, 7.0)))
    assert panel.painted is not None
    assert panel.painted.shape != image.shape
    # Blocks of the power of two that were pooled, from the same corner.
    assert panel.painted_rect_nm.topLeft().toTuple() == (7.0, -13.0)
    assert panel.painted_rect_nm.width() >= 1203 * 40
    panel.view.setRange(QRectF(0, 0, 2000, 2000), padding=0)
    np.testing.assert_array_equal(panel.painted, image)
    assert panel.painted_rect_nm == QRectF(7.0, -13.0, 1203 * 40, 1501 * 40)


def test_a_camera_pixel_and_its_grid_pixels_lie_over_each_other(panel: Panel, app: QApplication) -> None:
    # One bright camera pixel (2, 3) of 108 nm covers 324 to 432 nm across: its centre is grid pixel 9 of 40 nm.
    camera, grid = np.zeros((8, 8), np.uint16), np.zeros((22, 22), np.uint16)
    camera[2, 3] = 9
    grid[6, 9] = 9
    panel.view.setRange(QRectF(0, 0, 8 * 108, 8 * 108), padding=0)
    places = []
    for image, pitch in ((camera, 108.0), (grid, 40.0)):
        panel.show_picture(Picture(image, pitch))
        screen = grab(panel, app)
        inside = panel.view.sceneBoundingRect().adjusted(2, 2, -60, -40).toRect()  # away from the scale bar
        screen = screen[inside.top() : inside.bottom(), inside.left() : inside.right()]
        rows, cols = np.nonzero(screen > 200)
        places.append((rows.mean(), cols.mean()))
    nm_per_pixel = panel.view.viewPixelSize()[0]
    # Centres: camera (270, 378) nm, grid (260, 380) nm. One screen pixel of tolerance for rounding.
    assert (places[0][0] - places[1][0]) * nm_per_pixel == pytest.approx(10.0, abs=nm_per_pixel)
    assert (places[0][1] - places[1][1]) * nm_per_pixel == pytest.approx(-2.0, abs=nm_per_pixel)


def test_what_is_not_finite_is_shown_as_nothing(panel: Panel, app: QApplication) -> None:
    image = np.full((10, 10), np.nan, np.float32)
    image[5, 5] = 4.0
    panel.show_picture(Picture(image, 40.0, caption="window 3", badge="PROVISIONAL"))
    assert panel.painted is not None
    assert panel.painted.max() == 4.0
    assert np.count_nonzero(panel.painted) == 1
    assert panel.picture is not None
    assert panel.picture.badge == "PROVISIONAL"
    grab(panel, app)


def test_where_the_room_ends_a_caption_keeps_its_number(panel: Panel, app: QApplication) -> None:
    panel.show_picture(Picture(np.zeros((8, 8)), 40.0, caption="25 windows to 1\u2009234"))
    caption = panel.findChild(Caption)
    assert caption is not None
    for width, text in ((400, "25 windows to 1\u2009234"), (60, "1\u2009234")):
        caption.resize(width, 20)
        assert caption.fitting_text == text
    assert caption.toolTip() == "25 windows to 1\u2009234"


def test_a_panel_can_be_emptied(panel: Panel) -> None:
    panel.show_picture(Picture(np.ones((4, 4), np.uint8), 40.0))
    panel.show_picture(None, "not recorded")
    assert panel.picture is None
    assert panel.painted is None
    panel.set_value_at((10.0, 10.0))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_dtype_of_the_wire_is_painted(panel: Panel, app: QApplication, dtype: str) -> None:
    image = np.zeros((16, 16), dtype)
    image[:8] = 1
    image.flags.writeable = False  # as it comes from the wire
    panel.view.setRange(QRectF(0, 0, 640, 640), padding=0)
    panel.contrast.update(np.ones((4, 4), np.float32) * 2)
    panel.show_picture(Picture(image, 40.0))
    screen = grab(panel, app)
    height, width = screen.shape
    assert screen[height // 4, width // 2] > 100
    assert screen[3 * height // 4 - 40, width // 2] < 10


def make(high: float) -> Any:
    image = np.zeros((20, 20), np.float32)
    image[::4, ::4] = high
    return image


def test_automatic_contrast_moves_without_jumping() -> None:
    contrast = Contrast(RECONSTRUCTION)
    assert contrast.limits is None
    assert contrast.update(make(0.5)) == Limits(0.0, 0.5)
    after_one = contrast.update(make(1.0)).high
    assert 0.5 < after_one < 1.0
    for _ in range(40):
        last = contrast.update(make(1.0))
    assert last.high == pytest.approx(1.0, abs=1e-3)


def test_brightening_locks_and_unlocking_forgets() -> None:
    contrast = Contrast(RECONSTRUCTION)
    contrast.brighten(1)  # nothing to brighten yet
    assert contrast.is_auto
    contrast.update(make(1.0))
    contrast.brighten(2)
    assert not contrast.is_auto
    assert contrast.update(make(0.3)).high == pytest.approx(1.0 / 1.25**2)
    contrast.brighten(-2)
    assert contrast.update(make(0.3)).high == pytest.approx(1.0)
    contrast.unlock()
    assert contrast.update(make(0.3)).high == pytest.approx(0.3)
