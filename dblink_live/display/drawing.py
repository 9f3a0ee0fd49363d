"""Pictures on paper: shades at any size, text, and scale bars."""

from __future__ import annotations

import contextlib
import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw, ImageFont

from dblink_live.display.colours import ColourMapName, colour_map
from dblink_live.display.contrast import ContrastPolicy, Limits, gamma_table, max_pool, to_bytes
from dblink_live.display.scale_bar import length_label, scale_bar_nm

Colour = tuple[int, int, int]
BACKGROUND: Colour = (18, 20, 24)
TEXT: Colour = (226, 229, 234)
FAINT: Colour = (140, 147, 158)
_FONTS = ("DejaVuSans.ttf", "segoeui.ttf", "arial.ttf", "Helvetica.ttc", "LiberationSans-Regular.ttf")
"""Sans serifs of Linux, Windows and macOS, all of which have a micro sign."""
_ASCII = str.maketrans({"\N{MICRO SIGN}": "u", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-"})


def shade(
    image: npt.NDArray[Any],
    pitch_nm: float,
    nm_per_px: float,
    shape: tuple[int, int],
    policy: ContrastPolicy,
    limits: Limits,
    colours: ColourMapName,
) -> npt.NDArray[np.uint8]:
    """Colours [height, width, 3] of ``image`` [H, W] at another pixel size; each takes the value under its centre.

    Parameters
    ----------
    pitch_nm
        Side of a pixel of ``image``.
    nm_per_px
        Side of a pixel on paper.
    shape
        Height and width on paper.
    """
    # Blocks at least as large as a pixel on paper: a lone bright pixel is never between two of them.
    factor = max(1, math.ceil(nm_per_px / pitch_nm - 1e-6))
    pooled = max_pool(image, factor)
    step = nm_per_px / (pitch_nm * factor)
    rows, cols = (np.floor((np.arange(side) + 0.5) * step).astype(np.intp) for side in shape)
    shades = gamma_table(policy.gamma)[to_bytes(pooled, limits)]
    inside = shades[np.minimum(rows, pooled.shape[0] - 1)][:, np.minimum(cols, pooled.shape[1] - 1)]
    shaded: npt.NDArray[np.uint8] = colour_map(colours)[inside]
    return shaded


def draw_scale_bar(
    draw: ImageDraw.ImageDraw, left: int, top: int, height: int, field_nm: float, nm_per_px: float
) -> None:
    """A bar with its length into the lower left corner of a picture ``height`` px high and ``field_nm`` wide."""
    length_nm = scale_bar_nm(field_nm)
    length = length_nm / nm_per_px
    x, y = left + 16, top + height - 18
    # A dark edge keeps it readable on bright structure.
    draw.rectangle((x - 1, y - 1, x + length + 1, y + 5), fill=(0, 0, 0))
    draw.rectangle((x, y, x + length, y + 4), fill=(255, 255, 255))
    write_text(draw, (x + length / 2, y - 6), length_label(length_nm), 14, "mb", (255, 255, 255), edge=2)


def write_text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    anchor: str,
    fill: Colour = TEXT,
    edge: int = 0,
) -> None:
    """One line of ``text``; ``anchor`` is Pillow's, ``edge`` the width of a black outline."""
    font, is_complete = _font(size)
    if not is_complete:
        text = text.translate(_ASCII)
    draw.text(at, text, fill=fill, font=font, anchor=anchor, stroke_width=edge, stroke_fill=(0, 0, 0))


@cache
def _font(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """A sans serif of the system and True; Pillow's own, which has no micro sign, and False where there is none."""
    for name in _FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size), True
    return ImageFont.load_default(size), False
