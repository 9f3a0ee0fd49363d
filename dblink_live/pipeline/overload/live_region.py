"""The live region: the part of the field whose pictures are made while the run goes on.

The whole field is counted and stored whatever the region is, and `refine` makes the pictures of all of it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.types import Grid, Shape

Kind = Literal["box", "centre", "densest", "auto"]
SIDE_STEP_PX = 8
"""Sides that the machine chooses are multiples of this..."""
MIN_SIDE_PX = 32
"""...and no less than this, however slow the machine is."""


class Box(NamedTuple):
    """A part of the field in camera pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def whole(cls, shape: Shape) -> Box:
        """The field as a whole."""
        return cls(0, 0, shape.width, shape.height)

    @property
    def n_pixels(self) -> int:
        return self.width * self.height

    def halved(self, times: int) -> Box:
        """The box about the same centre whose sides are halved so many times.

        Examples
        --------
        >>> Box(0, 0, 64, 48).halved(1)
        Box(x=16, y=12, width=32, height=24)
        """
        width, height = max(1, self.width >> times), max(1, self.height >> times)
        return Box(self.x + (self.width - width) // 2, self.y + (self.height - height) // 2, width, height)

    def on_grid(self, grid: Grid, pixel_size_nm: float) -> tuple[slice, slice]:
        """Rows and columns of ``grid`` that cover the box."""
        rows = _span(self.y, self.height, pixel_size_nm / grid.pitch_nm, grid.shape.height)
        cols = _span(self.x, self.width, pixel_size_nm / grid.pitch_nm, grid.shape.width)
        return rows, cols

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


@dataclass(frozen=True)
class RegionRequest:
    """Which live region is wanted."""

    kind: Kind
    box: Box | None = None
    """Of kind "box"."""

    @classmethod
    def parse(cls, text: str) -> RegionRequest:
        """Read ``x,y,w,h`` (camera pixels), ``centre``, ``densest`` or ``auto``.

        Raises
        ------
        ConfigError
            The text is none of these.

        Examples
        --------
        >>> RegionRequest.parse("16,0,64,32").box
        Box(x=16, y=0, width=64, height=32)
        """
        if text in ("centre", "densest", "auto"):
            return cls(text)  # type: ignore[arg-type]  # checked in the line above
        if re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text):
            box = Box(*map(int, text.split(",")))
            if box.width and box.height:
                return cls("box", box)
        raise ConfigError(
            f"expected a live region x,y,width,height in camera pixels, centre, densest or auto, found {text!r}"
        )

    def check(self, shape: Shape) -> None:
        """Raise `ConfigError` where the region does not lie in a field of ``shape``."""
        box = self.box
        if box is not None and (box.x + box.width > shape.width or box.y + box.height > shape.height):
            raise ConfigError(
                f"expected a live region within the field of {shape.width} x {shape.height} pixels, found {box} "
                f"(x,y,width,height), which ends at {box.x + box.width}, {box.y + box.height}"
            )

    def resolve(self, shape: Shape, n_pixels_held: float = math.inf) -> Box:
        """The region in a field of ``shape``, where the machine holds ``n_pixels_held`` camera pixels live.

        ``densest`` begins with the centre, until there are counts to choose by.
        """
        return self.box or centre(shape, n_pixels_held)


def centre(shape: Shape, n_pixels: float) -> Box:
    """The region of about ``n_pixels`` in the middle of a field, as square as the field allows.

    Examples
    --------
    >>> centre(Shape(512, 512), 9500)
    Box(x=208, y=208, width=96, height=96)
    """
    if n_pixels >= shape.height * shape.width:
        return Box.whole(shape)
    side = _stepped(math.sqrt(n_pixels), max(shape))
    height = side if side <= shape.height and side <= shape.width else _stepped(n_pixels / shape.width, shape.height)
    width = side if height == side else _stepped(n_pixels / height, shape.width)
    return Box((shape.width - width) // 2, (shape.height - height) // 2, width, height)


def densest(total: npt.NDArray[np.generic], shape: Shape, size: Box) -> Box:
    """The box of the size of ``size`` with most molecules.

    Parameters
    ----------
    total
        [H, W] counts on the fine grid, over several windows.
    shape
        Of the field in camera pixels.
    size
        Its width and height count.
    """
    height, width = total.shape
    rows = max(1, round(size.height * height / shape.height))
    cols = max(1, round(size.width * width / shape.width))
    corners = np.zeros((height + 1, width + 1))
    corners[1:, 1:] = total.cumsum(0, dtype=np.float64).cumsum(1)
    sums = corners[rows:, cols:] - corners[:-rows, cols:] - corners[rows:, :-cols] + corners[:-rows, :-cols]
    row, col = np.unravel_index(int(sums.argmax()), sums.shape)
    x = min(round(int(col) * shape.width / width), shape.width - size.width)
    y = min(round(int(row) * shape.height / height), shape.height - size.height)
    return Box(x, y, size.width, size.height)


def _stepped(length: float, longest: int) -> int:
    return min(longest, max(MIN_SIDE_PX, int(length) // SIDE_STEP_PX * SIDE_STEP_PX))


def _span(start: int, length: int, scale: float, limit: int) -> slice:
    # As in `Grid.covering`: 64 px x 160 nm are 256 grid pixels of 40 nm, not 257 after a rounding error.
    first = math.floor(start * scale + 1e-6)
    return slice(first, min(limit, max(first + 1, math.ceil((start + length) * scale - 1e-6))))
