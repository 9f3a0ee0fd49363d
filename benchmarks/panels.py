"""Pictures side by side on one sheet: rows with names, columns with titles, and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dblink_live.display.colours import ColourMapName, colour_map
from dblink_live.display.scale_bar import length_label, scale_bar_nm

PANEL_PX = 256
GAP_PX = 6
HEAD_PX = 30
MARGIN_PX = 150
BACKGROUND = (18, 18, 20)
INK = (225, 225, 225)


def picture(values: npt.NDArray[np.generic], colours: ColourMapName, white_quantile: float) -> Image.Image:
    """One panel; white is the ``white_quantile`` of the values, black their tenth percentile."""
    numbers = values.astype(np.float64)
    return limited(numbers, colours, float(np.quantile(numbers, 0.1)), float(np.quantile(numbers, white_quantile)))


def limited(values: npt.NDArray[np.generic], colours: ColourMapName, low: float, high: float) -> Image.Image:
    """One panel, black from ``low`` down and white from ``high`` up."""
    scaled = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0.0, 1.0)
    rgb = colour_map(colours)[np.rint(255 * scaled).astype(np.int64)]
    return Image.fromarray(rgb).resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)


def sheet(columns: Sequence[str], rows: Mapping[str, Sequence[Image.Image]], field_nm: float) -> Image.Image:
    """All ``rows`` below each other; ``field_nm`` is the width of each panel's field."""
    step = PANEL_PX + GAP_PX
    paper = Image.new("RGB", (MARGIN_PX + len(columns) * step, HEAD_PX + len(rows) * step), BACKGROUND)
    draw = ImageDraw.Draw(paper)
    font = ImageFont.load_default(size=16)
    for column, title in enumerate(columns):
        draw.text((MARGIN_PX + column * step, 6), title, INK, font)
    for row, (name, panels) in enumerate(rows.items()):
        top = HEAD_PX + row * step
        draw.text((8, top + PANEL_PX // 2 - 10), name, INK, font)
        for column, panel in enumerate(panels):
            paper.paste(panel, (MARGIN_PX + column * step, top))
    bar_nm = scale_bar_nm(field_nm)
    left, bottom = 8, HEAD_PX + PANEL_PX - 14
    draw.rectangle((left, bottom, left + round(bar_nm / field_nm * PANEL_PX), bottom + 5), INK)
    # The font that Pillow brings has no micro sign.
    draw.text((left, bottom - 24), length_label(bar_nm).replace("µ", "u"), INK, font)
    return paper


def below_each_other(papers: Sequence[Image.Image]) -> Image.Image:
    """Sheets of the same width on one."""
    paper = Image.new("RGB", (papers[0].width, sum(part.height for part in papers)), BACKGROUND)
    top = 0
    for part in papers:
        paper.paste(part, (0, top))
        top += part.height
    return paper
