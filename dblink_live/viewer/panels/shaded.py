"""The picture in a panel, in the screen's own pixel format: shades, colours and tints are one look-up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from dblink_live.display.contrast import Limits, to_bytes
from dblink_live.viewer.panels.picture import TINT_ERROR, TINT_UNSUPPORTED

TINTS = {TINT_UNSUPPORTED: (255, 60, 200, 190), TINT_ERROR: (255, 170, 40, 190)}
"""Red, green, blue and opacity in bytes of what is coloured over a picture."""
_N_SHADES = 256


class ShadedItem(QGraphicsItem):
    """Draws pixels [H, W] over a rectangle. Qt scales 32-bit pixels several times faster than any other format."""

    def __init__(self) -> None:
        super().__init__()
        self._table = np.zeros((1, _N_SHADES), np.uint32)
        self._pixels = np.zeros((0, 0), np.uint32)
        self._picture = QImage()
        self._rect = QRectF()
        self.image: npt.NDArray[Any] | None = None
        """What is drawn; None for nothing."""

    @property
    def table(self) -> npt.NDArray[np.uint32]:
        """The colours [tint, shade], as 0xFFRRGGBB."""
        return self._table

    def set_table(self, table: npt.NDArray[np.uint8]) -> None:
        """Take the colours ``table`` [256, 3] of the shades, from the next `show_pixels` on."""
        rows = [table.astype(np.float64)]
        for tint in range(1, max(TINTS) + 1):
            *colour, opacity = TINTS[tint]
            rows.append(rows[0] + (np.array(colour) - rows[0]) * (opacity / 255.0))
        red, green, blue = np.moveaxis(np.round(np.stack(rows)).astype(np.uint32), -1, 0)
        self._table = np.asarray(0xFF000000 | red << 16 | green << 8 | blue, np.uint32)

    def show_pixels(
        self, image: npt.NDArray[Any], limits: Limits, tint: npt.NDArray[np.uint8] | None, rect: QRectF
    ) -> None:
        """Draw ``image`` [H, W] over ``rect``, with a class of ``tint`` [H, W] per pixel or without any."""
        shades = to_bytes(image, limits)
        if tint is None or not tint.any():
            self._pixels = self._table[0].take(shades)
        else:
            self._pixels = self._table.take(shades + tint * np.uint16(_N_SHADES))
        height, width = self._pixels.shape
        # The picture lies in the array's memory, which the item holds on to.
        self._picture = QImage(self._pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        self.image = image
        if rect != self._rect:
            self.prepareGeometryChange()
            self._rect = rect
        self.update()

    def clear(self) -> None:
        """Draw nothing."""
        self.image, self._picture = None, QImage()
        self.update()

    def boundingRect(self) -> QRectF:
        return self._rect

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if self.image is not None:
            painter.drawImage(self._rect, self._picture)
