"""What runs, models and tables show of themselves in a notebook: a picture and a table of facts."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

MAX_SIDE_PX = 256
"""Longer side of a picture; larger ones are thinned out."""
BRIGHTEST = 0.995
"""Share of the pixels that are not white."""


def show_facts(title: str, facts: Mapping[str, object], picture: npt.NDArray[np.generic] | None = None) -> str:
    """Return HTML of a title, a picture [H, W] in grey beside it, and a table of facts."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    image = "" if picture is None or not picture.size else f"<img src='{_png(picture)}' style='margin-right:1em'/>"
    return (
        f"<div><b>{html.escape(title)}</b><div style='display:flex;align-items:flex-start'>{image}"
        f"<table>{rows}</table></div></div>"
    )


def _png(picture: npt.NDArray[np.generic]) -> str:
    """A picture as a data address, black at 0."""
    from PIL import Image

    step = -(-max(picture.shape) // MAX_SIDE_PX)
    values = np.nan_to_num(np.asarray(picture, np.float32)[::step, ::step])
    lit = values[values > 0]
    white = float(np.quantile(lit, BRIGHTEST)) if lit.size else 1.0
    grey = (255 * np.clip(values / white, 0, 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
