"""The curve of a training: losses and learning rate over its steps, and a picture of them.

Drawn with pillow alone: two panels with logarithmic axes do not earn a plotting library its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

RECORD_EVERY_STEPS = 10
WIDTH, LOSS_HEIGHT, RATE_HEIGHT = 900, 420, 180
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 30, 30
BACKGROUND, INK, GRID = (255, 255, 255), (40, 40, 40), (225, 225, 225)
TRAINING_COLOUR, VALIDATION_COLOUR, RATE_COLOUR = (31, 105, 180), (220, 95, 10), (90, 90, 90)

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]


class CurvePoint(NamedTuple):
    """What is remembered of a step."""

    step: float
    loss: float
    validation_loss: float
    """NaN where it was not measured."""
    learning_rate: float
    elapsed_s: float


def draw_curve(curve: Sequence[CurvePoint]) -> Image.Image:
    """Losses above, the learning rate below, over the steps."""
    image = Image.new("RGB", (WIDTH, LOSS_HEIGHT + RATE_HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    training: Points = [(point.step, point.loss) for point in curve]
    validation: Points = [(point.step, point.validation_loss) for point in curve]
    rates: Points = [(point.step, point.learning_rate) for point in curve]
    last = max((point.step for point in curve), default=1.0)
    losses = _Panel.around([*training, *validation], last, top=TOP, bottom=LOSS_HEIGHT - BOTTOM)
    losses.draw_axes(draw, "loss")
    losses.draw_line(draw, training, TRAINING_COLOUR, "training")
    losses.draw_line(draw, validation, VALIDATION_COLOUR, "validation", dots=True)
    rate = _Panel.around(rates, last, top=LOSS_HEIGHT + TOP, bottom=LOSS_HEIGHT + RATE_HEIGHT - BOTTOM)
    rate.draw_axes(draw, "learning rate, over steps")
    rate.draw_line(draw, rates, RATE_COLOUR)
    return image


@dataclass
class _Panel:
    """A plot of steps from 0 to ``last`` on a linear axis and values from ``low`` to ``high`` on a logarithmic one."""

    last: float
    low: float
    high: float
    top: int
    bottom: int
    n_named: int = 0

    @classmethod
    def around(cls, points: Points, last: float, top: int, bottom: int) -> _Panel:
        """A panel that holds all of the positive ``points``."""
        values = [value for _, value in points if math.isfinite(value) and value > 0]
        # A flat line needs room too.
        return cls(last, 0.9 * min(values, default=0.1), 1.1 * max(values, default=1.0), top, bottom)

    def place(self, step: float, value: float) -> tuple[float, float]:
        """(x, y) in the picture."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last, self.bottom - (self.bottom - self.top) * share

    def draw_axes(self, draw: ImageDraw.ImageDraw, title: str) -> None:
        for value in log_ticks(self.low, self.high):
            _, y = self.place(0.0, value)
            draw.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=GRID)
            draw.text((LEFT - 8, y), f"{value:g}", INK, _font(), anchor="rm")
        for step in linear_ticks(self.last):
            x, _ = self.place(step, self.low)
            draw.line([(x, self.top), (x, self.bottom)], fill=GRID)
            draw.text((x, self.bottom + 6), f"{step:,.0f}", INK, _font(), anchor="mt")
        draw.rectangle([(LEFT, self.top), (WIDTH - RIGHT, self.bottom)], outline=INK)
        draw.text((LEFT, self.top - 8), title, INK, _font(), anchor="ls")

    def draw_line(
        self, draw: ImageDraw.ImageDraw, points: Points, colour: Colour, name: str = "", dots: bool = False
    ) -> None:
        places = [self.place(step, value) for step, value in points if math.isfinite(value) and value > 0]
        draw.line(places, fill=colour, width=2)
        for x, y in places if dots else places[:1]:
            draw.ellipse([(x - 3, y - 3), (x + 3, y + 3)], fill=colour)
        if name:
            draw.text((WIDTH - RIGHT - 90 * self.n_named, self.top - 8), name, colour, _font(), anchor="rs")
            self.n_named += 1


def linear_ticks(last: float) -> list[int]:
    """Round numbers of steps from 0 to ``last``, nine at most.

    Examples
    --------
    >>> linear_ticks(1234)
    [0, 200, 400, 600, 800, 1000, 1200]
    """
    apart = max(last / 8, 1.0)
    decade = 10 ** math.floor(math.log10(apart))
    spacing = next(decade * digit for digit in (1, 2, 5, 10) if decade * digit >= apart)
    return list(range(0, int(last) + 1, spacing))


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between ``low`` and ``high``: the fewer of each decade, the more decades there are.

    Examples
    --------
    >>> log_ticks(0.03, 0.9)
    [0.05, 0.1, 0.2, 0.5]
    >>> log_ticks(0.5e-6, 2)
    [1e-06, 1e-05, 0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    decades_shown = math.log10(high / low)
    digits: tuple[float, ...] = (1,) if decades_shown > 3 else (1, 2, 5)
    if decades_shown < 0.7:
        digits = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=13)
