"""One picture with its caption, and the three of them moving as one.

Everything is placed in nanometres from the outer corner of the camera's field: camera pixels and the grid lie over each
other as they are, and nothing is resampled.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from dblink_live.display.colours import ColourMapName, colour_map
from dblink_live.display.contrast import ContrastPolicy, gamma_table, max_pool
from dblink_live.display.scale_bar import length_label, scale_bar_nm
from dblink_live.viewer.contrast import Contrast
from dblink_live.viewer.picture import Picture
from dblink_live.viewer.theme import SURFACE, Tone, badge_style, text_style

_MAX_POOL = 64


class Panel(QWidget):
    """A picture between a heading and a line with the value under the cursor and the limits of the contrast.

    Parameters
    ----------
    title
        The heading.
    unit
        Of the values, for the line below.
    policy
        Of the automatic contrast.
    colours
        Name of the colour map.
    """

    pointed = Signal(object)
    """(y, x) in nm under the pointer, or None when it has left."""

    def __init__(self, title: str, unit: str, policy: ContrastPolicy, colours: ColourMapName) -> None:
        super().__init__()
        self.contrast = Contrast(policy)
        self._unit = unit
        self._policy = policy
        self._picture: Picture | None = None
        self._pool = 1
        self._title = _label(title, text_style(Tone.NORMAL, 14, 600))
        self._badge = _label("", badge_style(Tone.FAINT))
        self._badge.hide()
        self._caption = _label("", text_style(Tone.FAINT))
        self._value = _label("", text_style(Tone.NORMAL, 12))
        self._limits = _label("", text_style(Tone.FAINT, 12))

        self.view = pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self._graphics = pg.GraphicsView(background=SURFACE)
        self._graphics.setCentralItem(self.view)
        self._graphics.setMinimumSize(160, 160)
        self._item = pg.ImageItem(axisOrder="row-major")
        self.view.addItem(self._item)
        self.set_colours(colours)
        self._scale_bar = pg.ScaleBar(size=1.0, width=4, brush="w", pen=None)
        # White letters have to be read on bright structure too.
        self._scale_bar.text.fill = pg.mkBrush(0, 0, 0, 150)
        self._scale_bar.setParentItem(self.view)
        self._scale_bar.anchor((1, 1), (1, 1), offset=(-20, -16))
        self._scale_bar.hide()
        cross = pg.mkPen(Tone.FAINT.value, width=1, style=Qt.PenStyle.DashLine)
        self._cross = [pg.InfiniteLine(angle=angle, pen=cross) for angle in (0, 90)]
        for line in self._cross:
            line.hide()
            self.view.addItem(line, ignoreBounds=True)
        self._graphics.scene().sigMouseMoved.connect(self._on_mouse)
        self.view.sigRangeChanged.connect(self._on_range)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(_row(self._title, self._badge, None, self._caption))
        layout.addWidget(self._graphics, 1)
        layout.addLayout(_row(self._value, None, self._limits))

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self._picture

    @property
    def field_nm(self) -> QRectF:
        """The field that the picture covers; empty without one."""
        if self._picture is None:
            return QRectF()
        height, width = self._picture.extent_nm
        return QRectF(self._picture.origin_nm[1], self._picture.origin_nm[0], width, height)

    @property
    def painted(self) -> npt.NDArray[Any] | None:
        """What the screen is given: the picture, or the brightest of each block where it is finer than the screen."""
        image: npt.NDArray[Any] | None = self._item.image
        return image

    @property
    def painted_rect_nm(self) -> QRectF:
        """Where they are painted."""
        return QRectF(self._item.mapRectToParent(self._item.boundingRect()))

    @property
    def pixels_per_point(self) -> float:
        return float(self._graphics.devicePixelRatioF())

    def show_picture(self, picture: Picture | None, note: str = "") -> None:
        """Show ``picture``, or nothing, with a ``note`` that says why."""
        if picture is not None and picture.image.dtype.kind == "f" and not np.isfinite(picture.image).all():
            # NaNs slow painting down many times, and mean nothing to the eye.
            picture = replace(picture, image=np.nan_to_num(picture.image))
        self._picture = picture
        self._caption.setText(picture.caption if picture else note)
        self._badge.setVisible(bool(picture and picture.badge))
        if picture and picture.badge:
            self._badge.setText(picture.badge)
            self._badge.setStyleSheet(badge_style(picture.badge_tone))
        self.refresh()

    def refresh(self) -> None:
        """Paint again, after the contrast has changed."""
        self._scale_bar.setVisible(self._picture is not None)
        if self._picture is None:
            self._item.clear()
            self._limits.setText("")
            return
        self.contrast.update(self._picture.image)
        self._pool = self._wanted_pool()
        self._paint()

    def set_colours(self, name: ColourMapName) -> None:
        """Change the colour map."""
        self._item.setLookupTable(colour_map(name)[gamma_table(self._policy.gamma)])

    def set_cross(self, position_nm: tuple[float, float] | None) -> None:
        """Draw the cross at (y, x), or take it away; the value there is shown either way."""
        for line, at in zip(self._cross, position_nm or (0.0, 0.0), strict=True):
            line.setVisible(position_nm is not None)
            line.setPos(at)

    def set_value_at(self, position_nm: tuple[float, float] | None) -> None:
        """Name the value at (y, x) below the picture."""
        value = None
        if position_nm is not None and self._picture is not None:
            value = self._picture.value_at(*position_nm)
        self._value.setText("" if value is None else f"{value:.4g} {self._unit}")

    def _paint(self) -> None:
        picture, limits = self._picture, self.contrast.limits
        if picture is None or limits is None:
            return
        image = max_pool(picture.image, self._pool)
        self._item.setImage(image, autoLevels=False, levels=(limits.low, limits.high))
        pitch = picture.pitch_nm * self._pool
        # Blocks at the edge may stand out: the rectangle follows the blocks, so that pixels stay in place.
        self._item.setRect(
            QRectF(picture.origin_nm[1], picture.origin_nm[0], image.shape[1] * pitch, image.shape[0] * pitch)
        )
        scale = "" if self._policy.gamma == 1.0 else f"  power {self._policy.gamma:g}"
        mode = "auto" if self.contrast.is_auto else "locked"
        self._limits.setText(f"{limits.low:.3g} to {limits.high:.3g}{scale}  {mode}")

    def _wanted_pool(self) -> int:
        """Picture pixels a block, so that a block is at least as large as a pixel of the screen and none is skipped."""
        if self._picture is None:
            return 1
        nm_per_pixel = float(self.view.viewPixelSize()[0]) / self.pixels_per_point
        return min(_MAX_POOL, max(1, math.ceil(nm_per_pixel / self._picture.pitch_nm - 1e-6)))

    def _on_range(self, *_: object) -> None:
        width_nm = self.view.viewRect().width()
        if width_nm > 0:
            length_nm = scale_bar_nm(width_nm)
            self._scale_bar.size = length_nm
            self._scale_bar.text.setText(length_label(length_nm), color="w")
            self._scale_bar.updateBar()
        pool = self._wanted_pool()
        if pool != self._pool:
            self._pool = pool
            self._paint()

    def _on_mouse(self, at: QPointF) -> None:
        if not self.view.sceneBoundingRect().contains(at):
            self.pointed.emit(None)
            return
        point = self.view.mapSceneToView(at)
        self.pointed.emit((point.y(), point.x()))

    def leaveEvent(self, event: object) -> None:
        self.pointed.emit(None)


class Linked(QObject):
    """Keeps views at the same place and the same scale, whatever their sizes."""

    moved_by_hand = Signal()
    resized = Signal()

    def __init__(self, views: list[pg.ViewBox]) -> None:
        super().__init__()
        self._views = views
        self._is_moving = False
        for view in views:
            view.sigRangeChanged.connect(self._follow)
            view.sigRangeChangedManually.connect(lambda *_: self.moved_by_hand.emit())
            view.sigResized.connect(lambda *_: self.resized.emit())

    def fit(self, rect_nm: QRectF) -> None:
        """Show a whole field in every view."""
        self._is_moving = True
        for view in self._views:
            view.setLimits(
                minXRange=rect_nm.width() / 500, maxXRange=rect_nm.width() * 20, maxYRange=rect_nm.height() * 20
            )
            view.setRange(rect_nm, padding=0.01)
        self._is_moving = False

    def _follow(self, source: pg.ViewBox, *_: object) -> None:
        if self._is_moving or not _is_on_screen(source):
            return
        self._is_moving = True
        rect = source.viewRect()
        nm_per_point = rect.width() / source.width()
        for view in self._views:
            if view is not source and _is_on_screen(view):
                field = QRectF(0, 0, view.width() * nm_per_point, view.height() * nm_per_point)
                field.moveCenter(rect.center())
                view.setRange(field, padding=0)
        self._is_moving = False


def _is_on_screen(view: pg.ViewBox) -> bool:
    """A view in a hidden panel has a size and a range all the same, of no meaning to the others."""
    widget = view.getViewWidget()
    return widget is not None and widget.isVisible() and view.width() >= 1


def _label(text: str, style: str) -> QLabel:
    label = QLabel(text)
    label.setStyleSheet(style)
    return label


def _row(*widgets: QLabel | None) -> QHBoxLayout:
    """Labels in a line; None is where the room goes."""
    row = QHBoxLayout()
    row.setContentsMargins(2, 0, 2, 0)
    row.setSpacing(8)
    for widget in widgets:
        if widget is None:
            row.addStretch(1)
        else:
            row.addWidget(widget)
    return row
