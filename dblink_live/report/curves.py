"""What changes over a run, as charts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dblink_live.report.charts import Series, line_chart
from dblink_live.report.facts import MainSegment
from dblink_live.report.trust import Trust

Chart = tuple[str, str, str]
"""Title, SVG, note."""


def curves_of(main: MainSegment, trust: Trust) -> list[Chart]:
    """The charts of the main segment; one whose figures are not known is left out, its gap stands with the figures."""
    axis = _Axis(main)
    charts = [_density(main, axis)]
    if any(row.latency_s for row in main.live):
        charts.append(_latency(main, axis))
    if any(row.n_frames_missing for row in main.counts):
        charts.append(_missing(main, axis))
    return charts + _trust_curves(trust, axis)


class _Axis:
    """Time along a run, in seconds where a window's duration is known and in windows where it is not."""

    def __init__(self, main: MainSegment) -> None:
        self._scale = main.window_s or 1.0
        self.label = "window" if main.window_s is None else "time [s]"

    def at(self, windows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(windows, np.float64) * self._scale


def _density(main: MainSegment, axis: _Axis) -> Chart:
    # A window of which no frame came has no localizations because nobody looked.
    found = [
        math.nan if row.n_localizations is None or row.n_frames_missing >= row.stop - row.start else row.n_localizations
        for row in main.counts
    ]
    line = Series("localizations", axis.at([row.window for row in main.counts]), np.array(found, np.float64))
    svg = line_chart([line], axis.label, "localizations a window")
    return "Localizations", svg, "a falling curve is bleaching or lost focus"


def _latency(main: MainSegment, axis: _Axis) -> Chart:
    latency = np.array([row.latency_s or math.nan for row in main.live], np.float64)
    line = Series("latency", axis.at([row.window for row in main.live]), latency)
    return "Latency", line_chart([line], axis.label, "latency [s]"), "from a window's last frame to its picture"


def _missing(main: MainSegment, axis: _Axis) -> Chart:
    share = np.array([row.n_frames_missing / main.window_frames for row in main.counts])
    line = Series("missing", axis.at([row.window for row in main.counts]), share)
    svg = line_chart([line], axis.label, "share of frames", y_limits=(0.0, 1.0))
    return "Missing frames", svg, "share of each window's frames that never came"


def _trust_curves(trust: Trust, axis: _Axis) -> list[Chart]:
    charts = []
    curves = (("localizations", trust.frc_localizations), ("reconstruction", trust.frc_reconstruction))
    lines = [Series(name, 1000 * curve.frequency_per_nm, curve.smoothed) for name, curve in curves if curve is not None]
    if lines:
        longest = max(lines, key=lambda line: float(line.x[-1])).x
        lines.append(Series("1/7", longest, np.full(len(longest), 1 / 7), is_faint=True))
        svg = line_chart(lines, "spatial frequency [1/µm]", "correlation", y_limits=(-0.2, 1.0))
        charts.append(("Fourier ring correlation", svg, "two halves of the frames each; smoothed"))
    for title, drift in (
        ("Drift by pictures", trust.drift_of_pictures),
        ("Drift by localizations", trust.drift_of_localizations),
    ):
        if drift is not None:
            time = axis.at(drift.time)
            lines = [Series("y", time, drift.y_nm), Series("x", time, drift.x_nm)]
            svg = line_chart(lines, axis.label, "drift [nm]")
            charts.append((title, svg, "against the first; of a moving sample it is motion as well"))
    return charts
