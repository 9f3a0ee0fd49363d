"""One picture with its caption and its contrast.

Everything is placed in nanometres from the outer corner of the camera's field: camera pixels and the grid lie over each
other as they are, and nothing is resampled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from dblink_live.display.colours import ColourMapName, colour_map
from dblink_live.display.contrast import ContrastPolicy, Limits, gamma_table, max_pool
from dblink_live.display.scale_bar import length_label, scale_bar_nm
from dblink_live.viewer.panels.contrast import Contrast
from dblink_live.viewer.panels.contrast_bar import ContrastBar
from dblink_live.viewer.panels.labels import Caption, label
from dblink_live.viewer.panels.layers import Layers
from dblink_live.viewer.panels.picture import Picture
from dblink_live.viewer.panels.pools import SharedPools
from dblink_live.viewer.panels.shaded import ShadedItem
from dblink_live.viewer.theme import PICTURE_GROUND, Tone, set_look

_MAX_POOL = 64


class Panel(QWidget):
    """A picture between a heading and a bar with the limits of its contrast.

    Parameters
    ----------
    title
        The heading.
    unit
        Of the values, for the one under the cursor.
    policy
        Of the automatic contrast.
    colours
        Name of the colour map.
    pools
        Where panels that show the same pixels share their coarser copies; None for a panel alone.
    """

    pointed = Signal(object)
    """(y, x) in nm under the pointer, or None when it has left."""
    contrast_changed = Signal()
    """The operator chose other limits, or automatic ones."""

    def __init__(
        self,
        title: str,
        unit: str,
        policy: ContrastPolicy,
        colours: ColourMapName,
        pools: SharedPools | None = None,
    ) -> None:
        super().__init__()
        self._pools = SharedPools() if pools is None else pools
        self.contrast = Contrast(policy)
        self.title = title
        self._unit = unit
        self._policy = policy
        self._picture: Picture | None = None
        self._pool = 1
        self._badge = label("", "badge", Tone.FAINT)
        self._badge.hide()
        self._caption = Caption("", "small", Tone.FAINT)
        self._caption.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

        self.view = pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self._graphics = pg.GraphicsView(background=PICTURE_GROUND)
        self._graphics.setCentralItem(self.view)
        self._graphics.setMinimumSize(80, 60)
        self._item = ShadedItem()
        self.view.addItem(self._item, ignoreBounds=True)
        self.layers = Layers(self.view)
        self._note = QLabel("", self._graphics)
        self._note.setStyleSheet("color: #9aa1ac; background: transparent; font-size: 12px;")
        self._note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._note.setWordWrap(True)
        self._value = QLabel("", self._graphics)
        self._value.setStyleSheet("color: white; background: rgba(0, 0, 0, 150); padding: 1px 5px; font-size: 12px;")
        self._value.hide()
        self._scale_bar = pg.ScaleBar(size=1.0, width=4, brush="w", pen=None)
        # White letters have to be read on bright structure too.
        self._scale_bar.text.fill = pg.mkBrush(0, 0, 0, 150)
        self._scale_bar.setParentItem(self.view)
        self._scale_bar.anchor((1, 1), (1, 1), offset=(-20, -16))
        self._scale_bar.hide()
        self._graphics.scene().sigMouseMoved.connect(self._on_mouse)
        self.view.sigRangeChanged.connect(self._on_range)
        self.view.sigResized.connect(self._place_labels)

        self.contrast_bar = ContrastBar()
        self.contrast_bar.dragged.connect(self._on_dragged)
        self.contrast_bar.reset.connect(self.follow_contrast)
        self._low, self._high = label("", "small", Tone.FAINT), label("", "small", Tone.FAINT)
        self.lock_button = QToolButton()
        self.lock_button.setText("Lock")
        self.lock_button.setCheckable(True)
        self.lock_button.setToolTip("keep the limits of this picture's contrast as they are")
        self.lock_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.lock_button.clicked.connect(lambda is_on: self.hold_contrast() if is_on else self.follow_contrast())
        self.set_colours(colours)
        self._lay_out()

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self._picture

    @property
    def caption(self) -> str:
        """Which frame or window the heading names."""
        return self._caption.text()

    @property
    def colours(self) -> ColourMapName:
        """Name of the colour map."""
        return self._colours

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
        return self._item.image

    @property
    def painted_rect_nm(self) -> QRectF:
        """Where they are painted."""
        return self._item.boundingRect()

    @property
    def pixels_per_point(self) -> float:
        return float(self._graphics.devicePixelRatioF())

    def show_picture(self, picture: Picture | None, note: str = "") -> None:
        """Show ``picture``, or nothing, with a ``note`` that says why."""
        self._picture = picture
        self._caption.setText(picture.caption if picture else "")
        self._note.setText("" if picture else note)
        self._note.setVisible(bool(self._note.text()))
        self._badge.setVisible(bool(picture and picture.badge))
        if picture and picture.badge:
            self._badge.setText(picture.badge)
            set_look(self._badge, "badge", picture.badge_tone)
        self.layers.set_marks(None if picture is None else picture.marks_nm)
        self.refresh()

    def refresh(self) -> None:
        """Paint again, after the contrast has changed."""
        self._scale_bar.setVisible(self._picture is not None)
        if self._picture is None:
            self._item.clear()
            self._write_limits(None)
            return
        self.contrast.update(self._picture.image)
        self._pool = self._wanted_pool()
        self._paint()

    def set_colours(self, name: ColourMapName) -> None:
        """Change the colour map."""
        self._colours: ColourMapName = name
        table = colour_map(name)[gamma_table(self._policy.gamma)]
        self._item.set_table(table)
        self.contrast_bar.set_table(table)

    def hold_contrast(self, limits: Limits | None = None) -> None:
        """Keep the limits of the contrast as they are, or at ``limits``."""
        if limits is None:
            self.contrast.lock()
        else:
            self.contrast.hold(limits)
        self.refresh()
        self.contrast_changed.emit()

    def follow_contrast(self) -> None:
        """Take the limits of the contrast from each picture."""
        self.contrast.unlock()
        self.refresh()
        self.contrast_changed.emit()

    def set_value_at(self, position_nm: tuple[float, float] | None) -> None:
        """Name the value at (y, x) in the picture's corner."""
        value = None
        if position_nm is not None and self._picture is not None:
            value = self._picture.value_at(*position_nm)
        self._value.setVisible(value is not None)
        if value is not None:
            self._value.setText(f"{value:.4g} {self._unit}")
            self._place_labels()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(2, 0, 2, 0)
        head.setSpacing(8)
        head.addWidget(label(self.title, "heading"))
        head.addWidget(self._badge)
        head.addWidget(self._caption, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(2, 0, 2, 0)
        foot.setSpacing(4)
        for widget in (self._low, self.contrast_bar, self._high, self.lock_button):
            foot.addWidget(widget, 1 if widget is self.contrast_bar else 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(head)
        layout.addWidget(self._graphics, 1)
        layout.addLayout(foot)

    def _paint(self) -> None:
        picture, limits = self._picture, self.contrast.limits
        if picture is None or limits is None:
            return
        image = self._pools.of(picture.image, self._pool)
        pitch = picture.pitch_nm * self._pool
        # Blocks at the edge may stand out: the rectangle follows the blocks, so that pixels stay in place.
        rect = QRectF(picture.origin_nm[1], picture.origin_nm[0], image.shape[1] * pitch, image.shape[0] * pitch)
        tint = None if picture.tint is None else max_pool(picture.tint, self._pool)
        self._item.show_pixels(image, limits, tint, rect)
        self._write_limits(image)

    def _write_limits(self, image: npt.NDArray[Any] | None) -> None:
        limits = self.contrast.limits if image is not None else None
        self.contrast_bar.show_values(image, limits)
        self._low.setText("" if limits is None else f"{limits.low:.3g}")
        self._high.setText("" if limits is None else f"{limits.high:.3g}")
        self.lock_button.setChecked(not self.contrast.is_auto)

    def _wanted_pool(self) -> int:
        """Picture pixels per block, so that a block is at least as large as a pixel of the screen and none is lost."""
        if self._picture is None:
            return 1
        nm_per_pixel = float(self.view.viewPixelSize()[0]) / self.pixels_per_point
        return min(_MAX_POOL, max(1, math.ceil(nm_per_pixel / self._picture.pitch_nm - 1e-6)))

    def _place_labels(self, *_: object) -> None:
        height, width = self._graphics.height(), self._graphics.width()
        self._value.adjustSize()
        self._value.move(6, height - self._value.height() - 6)
        self._note.setGeometry(12, 0, max(width - 24, 1), height)

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

    def _on_dragged(self, limits: Limits) -> None:
        self.hold_contrast(limits)

    def _on_mouse(self, at: QPointF) -> None:
        if not self.view.sceneBoundingRect().contains(at):
            self.pointed.emit(None)
            return
        point = self.view.mapSceneToView(at)
        self.pointed.emit((point.y(), point.x()))

    def leaveEvent(self, event: object) -> None:
        self.pointed.emit(None)
