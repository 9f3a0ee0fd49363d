"""The viewer's three panels as one PNG, for machines without a display."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dblink_live.analysis.colours import ColourMapName, colour_map
from dblink_live.analysis.contrast import (
    CAMERA,
    RECONSTRUCTION,
    SUM,
    ContrastPolicy,
    Limits,
    contrast_limits,
    gamma_table,
    max_pool,
    to_bytes,
)
from dblink_live.analysis.scale_bar import length_label, scale_bar_nm
from dblink_live.errors import ConfigError

PANEL_PX = 560
"""Longer side of a panel on paper, in pixels."""
_MARGIN, _HEADER, _FOOTER, _GAP = 24, 52, 40, 16
_FONTS = ("DejaVuSans.ttf", "segoeui.ttf", "arial.ttf", "Helvetica.ttc", "LiberationSans-Regular.ttf")
"""Sans serifs of Linux, Windows and macOS, all of which have a micro sign."""
_ASCII = str.maketrans({"\N{MICRO SIGN}": "u", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-"})
_BACKGROUND, _TEXT, _FAINT = (18, 20, 24), (226, 229, 234), (140, 147, 158)


@dataclass(frozen=True)
class _Panel:
    label: str
    image: npt.NDArray[Any]
    pitch_nm: float
    policy: ContrastPolicy
    colours: ColourMapName


def render_panels(
    camera: npt.NDArray[Any] | None,
    windowed_sum: npt.NDArray[Any],
    reconstruction: npt.NDArray[Any],
    pitch_nm: float,
    pixel_size_nm: float,
    path: str | Path,
    title: str = "",
) -> Path:
    """Write camera frame, windowed sum and reconstruction side by side, at equal field and equal size.

    Parameters
    ----------
    camera
        [H, W] camera counts, or None where there is no camera frame (a localization table): then two panels are drawn.
    windowed_sum, reconstruction
        [h, w] on the same grid, whose outer corner is that of the camera's field.
    pitch_nm
        Side of a pixel of the grid.
    pixel_size_nm
        Side of a camera pixel.
    path
        Where to write; the folder is created.
    title
        One line above the panels.

    Returns
    -------
    The path written.

    Raises
    ------
    ConfigError
        A picture is not two-dimensional, or sum and reconstruction differ in shape.
    """
    if windowed_sum.shape != reconstruction.shape:
        raise ConfigError(
            f"expected sum and reconstruction on one grid, found {windowed_sum.shape} and {reconstruction.shape}"
        )
    panels = [
        _Panel("Windowed sum", windowed_sum, pitch_nm, SUM, "ember"),
        _Panel("Reconstruction", reconstruction, pitch_nm, RECONSTRUCTION, "ember"),
    ]
    if camera is not None:
        panels.insert(0, _Panel("Camera", camera, pixel_size_nm, CAMERA, "grey"))
    for panel in panels:
        if panel.image.ndim != 2 or panel.image.size == 0:
            raise ConfigError(f"{panel.label}: expected a picture [height, width], found shape {panel.image.shape}")
    # The grid covers the camera's field and may stand out by a part of a pixel: the field is the camera's.
    field_nm = (panels[0].image.shape[0] * panels[0].pitch_nm, panels[0].image.shape[1] * panels[0].pitch_nm)
    nm_per_px = max(field_nm) / PANEL_PX
    height, width = (max(1, round(side / nm_per_px)) for side in field_nm)

    canvas = Image.new(
        "RGB",
        (2 * _MARGIN + len(panels) * width + (len(panels) - 1) * _GAP, _HEADER + _FOOTER + height + _MARGIN),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    _write(draw, (_MARGIN, _HEADER / 2), title, 18, "lm")
    for index, panel in enumerate(panels):
        left = _MARGIN + index * (width + _GAP)
        limits = contrast_limits(panel.image, panel.policy)
        canvas.paste(Image.fromarray(_shade(panel, limits, (height, width), nm_per_px)), (left, _HEADER))
        caption = _HEADER + height + _FOOTER / 2
        _write(draw, (left, caption), panel.label, 16, "lm")
        scale = "" if panel.policy.gamma == 1.0 else f" (power {panel.policy.gamma:g})"
        details = f"{limits.low:.3g} to {limits.high:.3g}{scale}   {panel.pitch_nm:g} nm pixels"
        _write(draw, (left + width, caption), details, 13, "rm", _FAINT)
        _draw_scale_bar(draw, left, _HEADER, height, field_nm[1], nm_per_px)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
    return path


def _shade(panel: _Panel, limits: Limits, shape: tuple[int, int], nm_per_px: float) -> npt.NDArray[np.uint8]:
    """Colours [height, width, 3] of a panel on paper; each takes the value of the pixel under its centre."""
    # Blocks at least as large as a pixel on paper: a lone bright pixel is never between two of them.
    factor = max(1, math.ceil(nm_per_px / panel.pitch_nm - 1e-6))
    pooled = max_pool(panel.image, factor)
    step = nm_per_px / (panel.pitch_nm * factor)
    rows, cols = (np.floor((np.arange(side) + 0.5) * step).astype(np.intp) for side in shape)
    inside = pooled[np.minimum(rows, pooled.shape[0] - 1)][:, np.minimum(cols, pooled.shape[1] - 1)]
    colours: npt.NDArray[np.uint8] = colour_map(panel.colours)[
        gamma_table(panel.policy.gamma)[to_bytes(inside, limits)]
    ]
    return colours


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw, left: int, top: int, height: int, field_nm: float, nm_per_px: float
) -> None:
    length_nm = scale_bar_nm(field_nm)
    length = length_nm / nm_per_px
    x, y = left + 16, top + height - 18
    # A dark edge keeps it readable on bright structure.
    draw.rectangle((x - 1, y - 1, x + length + 1, y + 5), fill=(0, 0, 0))
    draw.rectangle((x, y, x + length, y + 4), fill=(255, 255, 255))
    _write(draw, (x + length / 2, y - 6), length_label(length_nm), 14, "mb", (255, 255, 255), edge=2)


@cache
def _font(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """A sans serif of the system and True; Pillow's own, which has no micro sign, and False where there is none."""
    for name in _FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size), True
    return ImageFont.load_default(size), False


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    anchor: str,
    fill: tuple[int, int, int] = _TEXT,
    edge: int = 0,
) -> None:
    font, is_complete = _font(size)
    if not is_complete:
        text = text.translate(_ASCII)
    draw.text(at, text, fill=fill, font=font, anchor=anchor, stroke_width=edge, stroke_fill=(0, 0, 0))
