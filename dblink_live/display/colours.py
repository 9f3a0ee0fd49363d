"""Colour maps of the pictures, from the catalogue of the `cmap` library.

Lightness rises from black in equal steps, so that equal differences of value look equally large and a map printed in
grey keeps its order. The coloured ones are those of CMasher (E. van der Velden, "CMasher: Scientific colormaps for
making accessible, informative and 'cmashing' plots", JOSS 5, 2004, 2020).
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from cmap import Colormap

ColourMapName = Literal["ember", "ice", "grey"]
COLOUR_MAPS: tuple[ColourMapName, ...] = get_args(ColourMapName)
"""ember: black, red, orange, yellow; ice: black, blue, white; grey."""
_CATALOGUE: dict[ColourMapName, str] = {"ember": "cmasher:ember", "ice": "cmasher:freeze", "grey": "matlab:gray"}


@cache
def colour_map(name: ColourMapName) -> npt.NDArray[np.uint8]:
    """Return the table [256, 3] of sRGB bytes, black first; read-only.

    Examples
    --------
    >>> colour_map("ember").shape, colour_map("ember")[0].tolist()
    ((256, 3), [0, 0, 0])
    """
    table = np.asarray(np.round(255.0 * Colormap(_CATALOGUE[name]).lut(256)[:, :3]), np.uint8)
    table.flags.writeable = False
    return table
