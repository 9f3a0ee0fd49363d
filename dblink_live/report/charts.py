"""Line charts as SVG elements, drawn by matplotlib in the colours of the page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

MAX_POINTS = 500
"""Longer lines are drawn as the means of stretches, within the band of their extremes."""
MAX_COLUMNS = 3
"""Of a legend; more lines take another row of it."""
_SIZE_INCH = (5.6, 2.35)
_INK, _RULE = "#0a0b0c", "#0d0e0f"
_LINES = ("#01020a", "#01020b", "#01020c")
_PAGE_COLOURS = {
    _INK: "var(--soft)",
    _RULE: "var(--rule)",
    **{colour: f"var(--line{index})" for index, colour in enumerate(_LINES)},
}
"""Each colour that is drawn with, and the variable of the page that takes its place: so charts follow its theme."""
_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dblink_live",
    # A dollar sign in a label is a dollar sign.
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.8,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "font.size": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Line:
    """One line of a chart. NaN breaks it: nothing is drawn where nothing is known."""

    label: str
    x: npt.NDArray[np.floating]
    y: npt.NDArray[np.floating]
    is_guide: bool = False
    """Whether it is a threshold or another guide for the eye, drawn thin and dashed."""


def can_draw_charts() -> bool:
    """Return whether matplotlib, of the extra ``report``, is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw_lines(
    lines: Sequence[Line], x_label: str, y_label: str, y_limits: tuple[float, float] | None = None
) -> Markup | None:
    """Return an SVG element with axes, grid, lines and, for several lines, a legend; None without a finite point.

    Parameters
    ----------
    y_limits
        Fixed limits; None takes those of the values, with 0 among them.
    """
    if not any((np.isfinite(line.x) & np.isfinite(line.y)).any() for line in lines):
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=_SIZE_INCH, layout="constrained")
        axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
        colours = iter(_LINES * len(lines))
        for line in lines:
            x, mean, lowest, highest = _thinned(line)
            if line.is_guide:
                axes.plot(x, mean, color=_INK, linewidth=0.9, linestyle=(0, (4, 4)), label=line.label)
                continue
            colour = next(colours)
            if len(x) < len(line.x):
                axes.fill_between(x, lowest, highest, color=colour, alpha=0.16, linewidth=0)
            # A marker shows the points that have no neighbour to draw a line to.
            lone = _lone(mean)
            axes.plot(x, mean, color=colour, linewidth=1.5, marker=".", markevery=lone.tolist(), label=line.label)
        axes.margins(x=0.01)
        axes.set_ylim(*y_limits or _limits(*axes.dataLim.intervaly))
        if len(lines) > 1:
            figure.legend(loc="outside upper left", ncols=min(len(lines), MAX_COLUMNS), markerscale=0.0)
        drawn = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    return _inline(drawn.getvalue())


def _limits(low: float, high: float) -> tuple[float, float]:
    """Limits of an axis that shows 0 and a little more than the values."""
    low, high = min(1.05 * low, 0.0), max(1.05 * high, 0.0)
    return low, high if high > low else 1.0


def _inline(document: str) -> Markup:
    """The SVG element of a document, in the colours of the page."""
    element = document[document.index("<svg") :]
    for drawn, shown in _PAGE_COLOURS.items():
        element = element.replace(drawn, shown)
    # matplotlib escapes every label that it writes.
    return Markup(element)


def _thinned(line: Line) -> tuple[npt.NDArray[np.float64], ...]:
    """x, mean, lowest and highest y of at most `MAX_POINTS` stretches; NaN where a stretch has nothing known."""
    stretches = np.array_split(np.arange(len(line.x)), min(len(line.x), MAX_POINTS))
    rows = []
    for stretch in stretches:
        y = line.y[stretch]
        y = y[np.isfinite(y)]
        x = float(line.x[stretch].mean())
        rows.append((x, y.mean(), y.min(), y.max()) if len(y) else (x, math.nan, math.nan, math.nan))
    return tuple(np.array(rows, np.float64).reshape(-1, 4).T)


def _lone(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Indices of finite values between two that are not."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
