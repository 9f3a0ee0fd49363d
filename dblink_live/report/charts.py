"""Line charts as SVG: they stay sharp at any size and need no library in the browser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 40
MAX_POINTS = 500
"""Longer series are drawn as the mean of stretches, within the band of their extremes."""


@dataclass(frozen=True)
class Series:
    """One line. NaN breaks it: nothing is drawn where nothing is known."""

    label: str
    x: npt.NDArray[np.floating]
    y: npt.NDArray[np.floating]
    is_faint: bool = False
    """A threshold or another guide for the eye: thin and dashed."""


def line_chart(
    series: list[Series], x_label: str, y_label: str, y_from_zero: bool = True, y_limits: tuple[float, float] = (0, 0)
) -> str:
    """An SVG element with axes, grid, lines, and a legend where there are several lines.

    ``y_limits`` are fixed ones; (0, 0) follows the values. Without a finite point the chart says so.
    """
    points = [(line.x[known], line.y[known]) for line in series if (known := _known(line)).any()]
    if not points:
        return '<p class="gap">no finite value to draw</p>'
    x_low, x_high = _extent(np.concatenate([x for x, _ in points]))
    low, high = _extent(np.concatenate([y for _, y in points]))
    if y_limits != (0, 0):
        y_low, y_high = y_limits
        y_ticks = [tick for tick in _ticks(y_low, y_high) if y_low <= tick <= y_high]
    else:
        y_ticks = _ticks(min(low, 0.0) if y_from_zero else low, max(high, 0.0) if y_from_zero else high)
        y_low, y_high = y_ticks[0], y_ticks[-1]
    x_ticks = [tick for tick in _ticks(x_low, x_high) if x_low <= tick <= x_high]

    def at_x(value: float) -> float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def at_y(value: float) -> float:
        # Fixed limits may cut a line off; it then runs along the frame.
        value = min(max(value, y_low), y_high)
        return HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label, quote=True)}">'
    ]
    for tick in y_ticks:
        y = at_y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_ticks:
        parts.append(
            f'<text class="tick" x="{at_x(tick):.1f}" y="{HEIGHT - _BOTTOM + 17}" '
            f'text-anchor="middle">{_number(tick)}</text>'
        )
    colour = 0
    for line in series:
        if line.is_faint:
            name = "guide"
        else:
            name, colour = f"line{colour % 3}", colour + 1
        x, mean, lowest, highest = _thinned(line)
        if len(x) < len(line.x):
            parts += [
                f'<polygon class="band {name}" points="{_coordinates(x[run], highest[run], at_x, at_y)} '
                f'{_coordinates(x[run][::-1], lowest[run][::-1], at_x, at_y)}"/>'
                for run in _runs(mean)
            ]
        for run in _runs(mean):
            parts.append(f'<polyline class="{name}" points="{_coordinates(x[run], mean[run], at_x, at_y)}"/>')
            if run.stop - run.start == 1:
                parts.append(f'<circle class="{name}" cx="{at_x(x[run][0]):.1f}" cy="{at_y(mean[run][0]):.1f}" r="2"/>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x_label)}</text>')
    upright = f'transform="translate(13 {(HEIGHT - _BOTTOM + _TOP) / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="axis" {upright}>{escape(y_label)}</text></svg>')
    return _legend(series) + "".join(parts)


def _legend(series: list[Series]) -> str:
    if len(series) < 2:
        return ""
    keys, colour = [], 0
    for line in series:
        name = "guide" if line.is_faint else f"line{colour % 3}"
        colour += not line.is_faint
        keys.append(f'<span class="key {name}">{escape(line.label)}</span>')
    return f'<div class="legend">{"".join(keys)}</div>'


def _known(line: Series) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = np.isfinite(line.x) & np.isfinite(line.y)
    return known


def _extent(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about five of them."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    decade = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade * 4.0001 >= high - low)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * index for index in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def _thinned(line: Series) -> tuple[npt.NDArray[np.float64], ...]:
    """x, mean, lowest and highest y of at most `MAX_POINTS` stretches; NaN where a stretch has nothing known."""
    stretches = np.array_split(np.arange(len(line.x)), min(len(line.x), MAX_POINTS))
    rows = []
    for stretch in stretches:
        y = line.y[stretch]
        y = y[np.isfinite(y)]
        x = float(line.x[stretch].mean())
        rows.append((x, y.mean(), y.min(), y.max()) if len(y) else (x, math.nan, math.nan, math.nan))
    return tuple(np.array(rows, np.float64).reshape(-1, 4).T)


def _runs(values: npt.NDArray[np.float64]) -> list[slice]:
    """Stretches without NaN."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [slice(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _coordinates(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    at_x: Callable[[float], float],
    at_y: Callable[[float], float],
) -> str:
    return " ".join(f"{at_x(a):.1f},{at_y(b):.1f}" for a, b in zip(x, y, strict=True))
