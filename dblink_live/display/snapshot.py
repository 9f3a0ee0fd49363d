"""The viewer's three panels as one PNG, for machines without a display."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from PIL import Image, ImageDraw

from dblink_live.display.colours import ColourMapName
from dblink_live.display.contrast import CAMERA, RECONSTRUCTION, SUM, ContrastPolicy, contrast_limits
from dblink_live.display.drawing import BACKGROUND, FAINT, draw_scale_bar, shade, write_text
from dblink_live.errors import ConfigError

PANEL_PX = 560
"""Longer side of a panel on paper, in pixels."""
_MARGIN, _HEADER, _FOOTER, _GAP = 24, 52, 40, 16


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
        BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    write_text(draw, (_MARGIN, _HEADER / 2), title, 18, "lm")
    for index, panel in enumerate(panels):
        left = _MARGIN + index * (width + _GAP)
        limits = contrast_limits(panel.image, panel.policy)
        shaded = shade(panel.image, panel.pitch_nm, nm_per_px, (height, width), panel.policy, limits, panel.colours)
        canvas.paste(Image.fromarray(shaded), (left, _HEADER))
        caption = _HEADER + height + _FOOTER / 2
        write_text(draw, (left, caption), panel.label, 16, "lm")
        scale = "" if panel.policy.gamma == 1.0 else f" (power {panel.policy.gamma:g})"
        details = f"{limits.low:.3g} to {limits.high:.3g}{scale}   {panel.pitch_nm:g} nm pixels"
        write_text(draw, (left + width, caption), details, 13, "rm", FAINT)
        draw_scale_bar(draw, left, _HEADER, height, field_nm[1], nm_per_px)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
    return path
