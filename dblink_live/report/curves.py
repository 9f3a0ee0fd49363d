"""What changes over a run, as charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from dblink_live.analysis.drift.drift import Drift
from dblink_live.analysis.drift.fiducials import FiducialTracks
from dblink_live.analysis.resolution.frc import FrcCurve, RollingFrc
from dblink_live.analysis.resolution.regions import RegionFrc
from dblink_live.report.charts import Line, draw_lines
from dblink_live.report.facts import MainSegment
from dblink_live.report.trust import Trust


class Chart(NamedTuple):
    """A chart of the page."""

    title: str
    svg: Markup | None
    """None where there is no finite value to draw."""
    note: str


def curves_of(main: MainSegment, trust: Trust) -> list[Chart]:
    """Return the charts of the main segment; one whose figures are not known is left out, as a card says why."""
    axis = _Axis(main)
    charts = [_density(main, axis)]
    if any(row.latency_s for row in main.live):
        charts.append(_latency(main, axis))
    if any(row.n_frames_missing for row in main.counts):
        charts.append(_missing(main, axis))
    return charts + _trust_curves(trust, main, axis)


class _Axis:
    """Time along a run, in seconds where a window's duration is known and in windows where it is not."""

    def __init__(self, main: MainSegment) -> None:
        self._scale = main.window_s or 1.0
        self.label = "window" if main.window_s is None else "time [s]"

    def at(self, windows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(windows, np.float64) * self._scale


def _density(main: MainSegment, axis: _Axis) -> Chart:
    # A window of which no frame came has an unknown number of localizations, not zero.
    found = [
        math.nan if row.n_localizations is None or row.n_frames_missing >= row.stop - row.start else row.n_localizations
        for row in main.counts
    ]
    line = Line("localizations", axis.at([row.window for row in main.counts]), np.array(found, np.float64))
    svg = draw_lines([line], axis.label, "localizations per window")
    return Chart("Localizations", svg, "a falling curve is bleaching or lost focus")


def _latency(main: MainSegment, axis: _Axis) -> Chart:
    latency = np.array([row.latency_s or math.nan for row in main.live], np.float64)
    line = Line("latency", axis.at([row.window for row in main.live]), latency)
    return Chart("Latency", draw_lines([line], axis.label, "latency [s]"), "from a window's last frame to its picture")


def _missing(main: MainSegment, axis: _Axis) -> Chart:
    share = np.array([row.n_frames_missing / main.window_frames for row in main.counts])
    line = Line("missing", axis.at([row.window for row in main.counts]), share)
    svg = draw_lines([line], axis.label, "share of frames", y_limits=(0.0, 1.0))
    return Chart("Missing frames", svg, "share of each window's frames that never came")


def _trust_curves(trust: Trust, main: MainSegment, axis: _Axis) -> list[Chart]:
    charts = []
    curves = {"localizations": trust.frc_localizations, "reconstruction": trust.frc_reconstruction}
    known = {name: curve for name, curve in curves.items() if curve is not None}
    if known:
        charts.append(Chart("Fourier ring correlation", _frc(known), "two halves of the frames each; smoothed"))
    if trust.resolution_over_time is not None and np.isfinite(trust.resolution_over_time.resolution_nm).any():
        charts.append(_resolution_over_time(trust.resolution_over_time, main, axis))
    if trust.resolution_of_regions is not None:
        charts += _regions(trust.resolution_of_regions)
    for title, drift in (
        ("Drift by pictures", trust.drift_of_pictures),
        ("Drift by localizations", trust.drift_of_localizations),
    ):
        if drift is not None:
            note = "against the first; motion of the sample counts as drift"
            charts.append(Chart(title, _path(drift, axis.at(drift.time), axis), note))
    if trust.fiducials is not None:
        charts += _fiducials(trust.fiducials, main, axis)
    if trust.revisions:
        lines = [Line(one.label, axis.at(one.window), one.share) for one in trust.revisions]
        svg = draw_lines(lines, axis.label, "share that changed", y_limits=(0.0, 1.0))
        charts.append(Chart("Revision", svg, "how much of a picture changed when later windows were seen"))
    return charts


def _frc(curves: Mapping[str, FrcCurve]) -> Markup | None:
    """Smoothed curves with both thresholds, the half-bit one of the first curve."""
    lines = [Line(name, 1000 * curve.frequency_per_nm, curve.smoothed) for name, curve in curves.items()]
    longest = max(lines, key=lambda line: float(line.x[-1])).x
    first = next(iter(curves.values()))
    lines.append(Line("1/7", longest, np.full(len(longest), 1 / 7), is_guide=True))
    lines.append(Line("half-bit", 1000 * first.frequency_per_nm[1:], first.threshold("half-bit")[1:], is_guide=True))
    return draw_lines(lines, "spatial frequency [1/µm]", "correlation", y_limits=(-0.2, 1.0))


def _resolution_over_time(rolling: RollingFrc, main: MainSegment, axis: _Axis) -> Chart:
    middle = rolling.frame + rolling.span_frames / 2
    line = Line("resolution", axis.at(_windows(middle, main)), rolling.resolution_nm)
    svg = draw_lines([line], axis.label, "resolution [nm]")
    note = f"FRC of the localizations of {rolling.span_frames} frames around each point"
    return Chart("Resolution over time", svg, note)


def _regions(regions: RegionFrc) -> list[Chart]:
    """The curves of the best, the middle and the worst region."""
    resolution = regions.resolution_nm()
    known = np.argwhere(np.isfinite(resolution))
    if not len(known):
        return []
    order = known[np.argsort([resolution[row, col] for row, col in known])]
    chosen: dict[str, FrcCurve] = {}
    for index in sorted({0, len(order) // 2, len(order) - 1}):
        row, col = order[index]
        curve = regions.curves[row][col]
        if curve is not None:
            chosen[f"row {row + 1}, column {col + 1}: {resolution[row, col]:.0f} nm"] = curve
    note = "the best, the middle and the worst square; all are on the map"
    return [Chart("Resolution by region", _frc(chosen), note)]


def _fiducials(tracks: FiducialTracks, main: MainSegment, axis: _Axis) -> list[Chart]:
    drift = tracks.drift()
    note = "markers that move with the stage"
    charts = [Chart("Drift by beads", _path(drift, axis.at(_windows(drift.time, main)), axis), note)]
    turned = tracks.rotation_deg()
    if np.isfinite(turned).any():
        line = Line("rotation", axis.at(_windows(tracks.frame, main)), turned)
        charts.append(Chart("Rotation by beads", draw_lines([line], axis.label, "angle [degree]"), note))
    return charts


def _path(drift: Drift, time: npt.NDArray[np.float64], axis: _Axis) -> Markup | None:
    return draw_lines([Line("y", time, drift.y_nm), Line("x", time, drift.x_nm)], axis.label, "drift [nm]")


def _windows(frames: npt.NDArray[np.floating], main: MainSegment) -> npt.NDArray[np.float64]:
    """Times in frames as times in windows of the segment."""
    first = main.counts[0]
    return np.asarray((frames - first.start) / main.window_frames + first.window, np.float64)
