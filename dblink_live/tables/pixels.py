"""Camera pixels as files state them, which need not be square, and the square ones of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dblink_live.errors import CalibrationError
from dblink_live.pixel_sizes import check_pixel_size, is_plausible
from dblink_live.tables.columns import Column
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM

_SAME_PIXEL_SIZE = 0.005
"""Relative difference up to which two pixel sizes are one, rounded differently."""


def agreed_pixel_size(stated_nm: object, given_nm: float | None, origin: str) -> float:
    """The pixel size that a file states, or the one that the user gave where it states none.

    Raises
    ------
    CalibrationError
        There is neither, the two contradict each other, or the stated one is implausible and none was given.
    """
    if not (isinstance(stated_nm, (int, float)) and math.isfinite(stated_nm) and stated_nm > 0):
        if given_nm is None:
            raise CalibrationError(f"expected a pixel size in {origin}, found {stated_nm!r}; give --pixel-size-nm")
        return given_nm
    if not is_plausible(stated_nm):
        if given_nm is not None:
            return given_nm
        return check_pixel_size(stated_nm, origin)
    if given_nm is not None and abs(given_nm - stated_nm) > _SAME_PIXEL_SIZE * stated_nm:
        raise CalibrationError(
            f"expected the pixel size of {origin}, {stated_nm:g} nm, found {given_nm:g} nm; leave "
            "--pixel-size-nm out, or correct the description"
        )
    return float(stated_nm)


@dataclass(frozen=True)
class CameraPixels:
    """Sides of the camera's pixels, and of the square ones in which a table is expressed."""

    x_nm: float
    y_nm: float
    table_nm: float
    is_table_size_known: bool = True
    """False when the last is nominal."""

    @classmethod
    def agreed(cls, stated_nm: tuple[float, float] | None, given_nm: float | None, origin: str) -> CameraPixels:
        """From the (x, y) that ``origin`` states and what the user gave.

        Pixels that are not square have no size that positions could be given in: then the table is expressed in
        ``given_nm``, or in `NOMINAL_PIXEL_SIZE_NM`, as tables in nanometres are.
        """
        x_nm, y_nm = stated_nm or (math.nan, math.nan)
        if stated_nm is None or abs(x_nm - y_nm) <= _SAME_PIXEL_SIZE * y_nm or not (x_nm > 0 and y_nm > 0):
            side_nm = agreed_pixel_size(x_nm if stated_nm else None, given_nm, origin)
            return cls(side_nm, side_nm, side_nm)
        for side_nm in (x_nm, y_nm):
            check_pixel_size(side_nm, origin)
        if given_nm is None:
            return cls(x_nm, y_nm, NOMINAL_PIXEL_SIZE_NM, is_table_size_known=False)
        return cls(x_nm, y_nm, given_nm)

    @property
    def are_square(self) -> bool:
        return self.x_nm == self.y_nm

    def x(self, x_px: Column) -> Column:
        """Positions in camera pixels, in those of the table; both count from the centre of their first."""
        return x_px if self.are_square else (x_px + 0.5) * (self.x_nm / self.table_nm) - 0.5

    def y(self, y_px: Column) -> Column:
        return y_px if self.are_square else (y_px + 0.5) * (self.y_nm / self.table_nm) - 0.5
