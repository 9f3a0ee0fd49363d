"""The curve of a training: losses and learning rate over its steps, and a picture of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

RECORD_EVERY_STEPS = 10
TRAINING_COLOUR, VALIDATION_COLOUR, RATE_COLOUR = (31, 105, 180), (220, 95, 10), (90, 90, 90)
_SIZE_INCH, _DPI = (9.0, 6.0), 100


class CurvePoint(NamedTuple):
    """What is remembered of a step."""

    step: float
    loss: float
    validation_loss: float
    """NaN where it was not measured."""
    learning_rate: float
    elapsed_s: float


def draw_curve(curve: Sequence[CurvePoint]) -> Image.Image:
    """Return a picture of the losses above the learning rate, over the steps.

    Raises
    ------
    ImportError
        matplotlib, of the extra ``train``, is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(_SIZE_INCH, _DPI, layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
    values = np.array(curve, np.float64).reshape(-1, len(CurvePoint._fields))
    lines = (
        (losses, "loss", "training", TRAINING_COLOUR),
        (losses, "validation_loss", "validation", VALIDATION_COLOUR),
        (rate, "learning_rate", "learning rate", RATE_COLOUR),
    )
    for axes, field, label, colour in lines:
        value = values[:, CurvePoint._fields.index(field)]
        # A logarithmic axis has no place for anything else.
        known = np.isfinite(value) & (value > 0)
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        if not known.any():
            continue
        marker = "." if field == "validation_loss" or np.count_nonzero(known) == 1 else ""
        axes.plot(values[known, 0], value[known], marker=marker, color=np.array(colour) / 255, label=label)
    losses.set_ylabel("loss")
    if losses.has_data():
        losses.legend(frameon=False)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return Image.open(drawn).convert("RGB")
