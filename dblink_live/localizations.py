"""Localizations as `dblink_live.localize` returns them: an array that shows itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dblink_live.maps.binning import count_per_pixel
from dblink_live.text.html import show_facts
from dblink_live.types import Localizations as LocalizationRows
from dblink_live.types import Shape

MAP_SIDE_PX = 256


class Localizations(np.ndarray[tuple[int, ...], np.dtype[np.void]]):
    """A structured array of `dblink_live.types.LOCALIZATION_DTYPE` that shows itself in a terminal and a notebook.

    Everything that an array can do stays: ``found["x"]``, ``found[found["photons"] > 500]``, ``len(found)``.

    Examples
    --------
    >>> from dblink_live.types import LOCALIZATION_DTYPE
    >>> found = np.zeros(3, LOCALIZATION_DTYPE).view(Localizations)
    >>> found["photons"] = 200, 700, 900
    >>> len(found[found["photons"] > 500])
    2
    """

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in facts_of(self).items()) if self.dtype.names else ""
        return f"Localizations({facts})" if facts else super().__repr__()

    def _repr_html_(self) -> str:
        if not self.dtype.names or self.ndim != 1:
            return f"<pre>{np.asarray(self)!r}</pre>"
        return show_facts("Localizations", facts_of(self), map_of(self))


def facts_of(rows: LocalizationRows) -> Mapping[str, str]:
    """Return number, frames and medians of the columns that are known."""
    facts = {"localizations": f"{len(rows):,}"}
    names = rows.dtype.names or ()
    if len(rows) and "frame" in names:
        facts["frames"] = f"{int(rows['frame'].min())} to {int(rows['frame'].max())}"
        units = {"photons": "", "lpx": " px", "sx": " px"}
        for name, unit in units.items():
            known = rows[name][np.isfinite(rows[name])] if name in names else rows[:0]
            if len(known):
                facts[f"median {name}"] = f"{float(np.median(np.asarray(known))):.3g}{unit}"
    return facts


def map_of(rows: LocalizationRows) -> npt.NDArray[np.int64] | None:
    """Return how many localizations lie in each pixel of a picture of the whole field; None where there are none."""
    if not len(rows) or not {"x", "y"} <= set(rows.dtype.names or ()):
        return None
    y, x = (np.asarray(rows[axis], np.float64) for axis in ("y", "x"))
    is_known = np.isfinite(y) & np.isfinite(x)
    if not is_known.any():
        return None
    y, x = y[is_known] + 0.5, x[is_known] + 0.5
    height, width = (max(1, int(np.ceil(values.max()))) for values in (y, x))
    scale = MAP_SIDE_PX / max(height, width)
    shape = Shape(max(1, round(height * scale)), max(1, round(width * scale)))
    return count_per_pixel((y * scale).astype(np.int64), (x * scale).astype(np.int64), shape)
