"""Classical methods for the same moments: a plain sum and blind sparse inpainting of the windows around each.

The page's own sum uses earlier windows only, as a live one must. Here both methods also use later ones, like the full
pass.
"""

from __future__ import annotations

import numpy as np

from dblink_live.analysis.comparison.inpainting import BlindInpainter
from dblink_live.display.contrast import RECONSTRUCTION, SUM
from dblink_live.report.pictures import MomentReader, Still, still
from dblink_live.store.journal import CommittedWindow

HALF_WIDTH = 3
"""Windows to either side that are inpainted together: the length that did best on simulated filaments."""
MAX_PIXELS = 512**2
"""Inpainting transforms some fifty pictures of the field's size, sixty times."""


def comparison(reader: MomentReader, row: CommittedWindow, sum_half_width: int) -> tuple[Still, ...]:
    """A sum over +-``sum_half_width`` windows, and the inpainted sum of +-`HALF_WIDTH` where the field allows it."""
    total, n_summed = reader.sum_around(row, sum_half_width)
    centred = still(
        total, reader.grid, SUM, f"Windowed STORM: plain sum of {n_summed} windows around window {row.window}"
    )
    height, width = reader.grid.shape
    if height * width > MAX_PIXELS:
        return (centred,)
    few, n_few = reader.sum_around(row, HALF_WIDTH)
    image = BlindInpainter(reader.grid.shape).inpaint(np.asarray(few, np.float32)).image
    caption = f"Blind sparse inpainting of {n_few} windows around window {row.window}"
    return centred, still(image, reader.grid, RECONSTRUCTION, caption)
