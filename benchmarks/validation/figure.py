"""Figures of the experiments: rows of pictures with scale bars, and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from benchmarks.validation.acquisition import PITCH_NM
from dblink_live.display.colours import ColourMapName
from dblink_live.display.contrast import RECONSTRUCTION, SUM, ContrastPolicy, Limits, contrast_limits
from dblink_live.display.drawing import BACKGROUND, FAINT, TEXT, draw_scale_bar, shade, write_text

PANEL_PX = 250
_GAP, _HEAD, _SIDE = 6, 30, 88
_COLOURS = (TEXT, (240, 138, 93), (107, 176, 239))
Picture = npt.NDArray[np.generic]
Path2D = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""(y, x) in nm."""


def limits_of(image: Picture, is_sum: bool) -> Limits:
    """Black and white of a picture [H, W]: for a movie, whose contrast must not change on the way."""
    return contrast_limits(np.asarray(image, np.float32), SUM if is_sum else RECONSTRUCTION)


def panel(
    image: Picture,
    *,
    is_sum: bool = False,
    is_truth: bool = False,
    limits: Limits | None = None,
    caption: str = "",
) -> Image.Image:
    """A picture [H, W] on the experiments' lattice, with a scale bar, and a ``caption`` in its upper corner."""
    policy: ContrastPolicy = SUM if is_sum else RECONSTRUCTION
    colours: ColourMapName = "ice" if is_truth else "ember"
    height, width = image.shape
    nm_per_px = max(height, width) * PITCH_NM / PANEL_PX
    shape = (round(height * PITCH_NM / nm_per_px), round(width * PITCH_NM / nm_per_px))
    values = np.asarray(image, np.float32)
    limits = limits or limits_of(image, is_sum)
    painted = Image.fromarray(shade(values, PITCH_NM, nm_per_px, shape, policy, limits, colours))
    draw = ImageDraw.Draw(painted)
    draw_scale_bar(draw, 0, 0, shape[0], width * PITCH_NM, nm_per_px)
    write_text(draw, (shape[1] - 8, 14), caption, 13, "rm", edge=2)
    return painted


def paths(named: Mapping[str, Path2D]) -> Image.Image:
    """Paths in the plane at equal scale, the first of them the truth."""
    canvas = Image.new("RGB", (PANEL_PX, PANEL_PX), (8, 9, 11))
    draw = ImageDraw.Draw(canvas)
    every = np.concatenate([np.stack(path, axis=1) for path in named.values()])
    low, high = every.min(axis=0), every.max(axis=0)
    nm_per_px = max(float((high - low).max()), 1.0) / (PANEL_PX - 60)
    for index, (name, (y_nm, x_nm)) in enumerate(named.items()):
        at = [(30 + (x - low[1]) / nm_per_px, 30 + (y - low[0]) / nm_per_px) for y, x in zip(y_nm, x_nm, strict=True)]
        draw.line(at, fill=_COLOURS[index], width=3 if index == 0 else 2)
        write_text(draw, (PANEL_PX - 8, 12 + 16 * index), name, 12, "rm", _COLOURS[index])
    draw_scale_bar(draw, 0, 0, PANEL_PX, PANEL_PX * nm_per_px, nm_per_px)
    return canvas


def compose(columns: Sequence[str], rows: Sequence[Sequence[Image.Image]], labels: Sequence[str], path: Path) -> None:
    """Write a table of panels as a PNG, a title over each column and a label beside each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table_of_panels(columns, rows, labels).save(path, optimize=True)


def table_of_panels(
    columns: Sequence[str], rows: Sequence[Sequence[Image.Image]], labels: Sequence[str]
) -> Image.Image:
    """A title over each column and a label beside each row."""
    size = (_SIDE + len(columns) * (PANEL_PX + _GAP), _HEAD + len(rows) * (PANEL_PX + _GAP))
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, title in enumerate(columns):
        write_text(draw, (_SIDE + index * (PANEL_PX + _GAP) + 4, _HEAD / 2), title, 13, "lm")
    for index, (label, pictures) in enumerate(zip(labels, rows, strict=True)):
        top = _HEAD + index * (PANEL_PX + _GAP)
        write_text(draw, (8, top + PANEL_PX / 2), label, 13, "lm", FAINT)
        for column, picture in enumerate(pictures):
            canvas.paste(picture, (_SIDE + column * (PANEL_PX + _GAP), top))
    return canvas
