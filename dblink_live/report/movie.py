"""The movie of a report: plain sum and reconstruction side by side, over the whole run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from dblink_live.display.contrast import RECONSTRUCTION, SUM, Limits, contrast_limits
from dblink_live.display.drawing import BACKGROUND, write_text
from dblink_live.report.facts import MainSegment
from dblink_live.report.mp4 import Mp4Encoder
from dblink_live.report.pictures import Moment, MomentReader, painted
from dblink_live.store.journal import CommittedWindow
from dblink_live.types import Grid

MAX_PICTURES = 240
PICTURES_PER_S = 20
PANEL_PX = 440
MIN_COLUMN_PX = 220
"""Room for the words below a panel, however narrow the field."""
_GAP, _FOOTER = 8, 28


@dataclass(frozen=True)
class Movie:
    """A movie file and what is in it."""

    mp4: bytes
    n_pictures: int
    every: int
    """One window in so many is shown."""
    speed: float | None
    """Times faster than life; None where the duration of a window is unknown."""
    size: tuple[int, int]
    """Width and height."""


def _rows_of_movie(main: MainSegment) -> tuple[Sequence[CommittedWindow], int]:
    """The pictures that are shown and their stride: at most `MAX_PICTURES`."""
    every = max(1, -(-len(main.pictures) // MAX_PICTURES))
    return main.pictures[::every], every


def make_movie(reader: MomentReader, main: MainSegment, on_picture: Callable[[], None]) -> Movie:
    """Plain sum and reconstruction side by side, over the whole main segment, which has at least one picture.

    The picture in its middle fixes the contrast of the whole movie, which thus flickers only where the data do.
    """
    rows, every = _rows_of_movie(main)
    middle = reader.read(rows[len(rows) // 2])
    limits = (contrast_limits(middle.plain_sum, SUM), contrast_limits(middle.probability, RECONSTRUCTION))
    pictures = (_panels(reader.read(row), reader.grid, limits, main.window_s) for row in rows)
    first = next(pictures)
    encoder = Mp4Encoder(first.size, PICTURES_PER_S)
    for picture in itertools.chain([first], pictures):
        encoder.add(np.asarray(picture))
        on_picture()
    speed = None if main.window_s is None else every * main.window_s * PICTURES_PER_S
    return Movie(encoder.finish(), len(rows), every, speed, first.size)


def _panels(moment: Moment, grid: Grid, limits: tuple[Limits, Limits], window_s: float | None) -> Image.Image:
    plain_sum = painted(moment.plain_sum, grid, SUM, limits[0], PANEL_PX, even=True)
    reconstruction = painted(moment.probability, grid, RECONSTRUCTION, limits[1], PANEL_PX, even=True)
    width, height = plain_sum.size
    # Beside each other, and far enough apart for the words below them.
    column = max(width, MIN_COLUMN_PX)
    canvas = Image.new("RGB", (2 * column + _GAP, height + _FOOTER), BACKGROUND)
    canvas.paste(plain_sum, ((column - width) // 2, 0))
    canvas.paste(reconstruction, (column + _GAP + (column - width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    window = moment.row.window
    when = f"window {window}" if window_s is None else f"{window * window_s:.1f} s"
    write_text(draw, (6, height + _FOOTER / 2), f"plain sum of {moment.n_summed} windows", 13, "lm")
    write_text(draw, (column + _GAP + 6, height + _FOOTER / 2), "reconstruction", 13, "lm")
    write_text(draw, (2 * column + _GAP - 6, height + _FOOTER / 2), when, 13, "rm")
    return canvas
