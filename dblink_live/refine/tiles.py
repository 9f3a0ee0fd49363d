"""Cuts a field into tiles that are reconstructed one after another, so that a large field fits into memory.

A tile is computed with a halo: it sees so many pixels more on each side that what it would lose at its border has no
part in what is kept. How wide that must be is a property of the network (`BidirectionalNetwork.halo`).
"""

from __future__ import annotations

from dataclasses import dataclass

from dblink_live.types import Shape


@dataclass(frozen=True)
class Region:
    """Rows [top, bottom) and columns [left, right) of a field."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> Shape:
        return Shape(self.bottom - self.top, self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index a picture of the field."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Tile:
    """A part of a field, and the larger part that it is computed from."""

    core: Region
    """The part that is kept; the cores of all tiles cover the field once."""
    padded: Region
    """The core and its halo, as far as the field goes."""

    @property
    def core_in_padded(self) -> tuple[slice, slice]:
        """To index a picture of the padded region."""
        top, left = self.core.top - self.padded.top, self.core.left - self.padded.left
        return slice(top, top + self.core.shape.height), slice(left, left + self.core.shape.width)


def cut_into_tiles(field: Shape, side: int, halo: int, stride: int) -> list[Tile]:
    """Tiles of ``side`` pixels, those at the right and at the bottom smaller, row by row.

    Tiles and halos are rounded up to multiples of the network's ``stride``: within a tile, as in the whole field, its
    coarser grids then begin on the same pixels.

    Examples
    --------
    >>> [tile.core for tile in cut_into_tiles(Shape(10, 6), side=6, halo=4, stride=4)]
    [Region(top=0, bottom=8, left=0, right=6), Region(top=8, bottom=10, left=0, right=6)]
    >>> cut_into_tiles(Shape(10, 6), side=6, halo=3, stride=4)[1].padded
    Region(top=4, bottom=10, left=0, right=6)
    """
    side, halo = _round_up(side, stride), _round_up(halo, stride)
    tiles = []
    for top in range(0, field.height, side):
        for left in range(0, field.width, side):
            bottom, right = min(top + side, field.height), min(left + side, field.width)
            padded = Region(
                max(top - halo, 0),
                min(bottom + halo, field.height),
                max(left - halo, 0),
                min(right + halo, field.width),
            )
            tiles.append(Tile(Region(top, bottom, left, right), padded))
    return tiles


def _round_up(size: int, stride: int) -> int:
    return -(-size // stride) * stride
