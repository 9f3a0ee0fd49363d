"""The page itself: facts, trust figures and pictures in the order in which a reader asks for them.

``page.html`` is the template. It escapes every value, so that no text of the run can become markup.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dblink_live.analysis.trust.verdict import Verdict
from dblink_live.report.charts import can_draw_charts
from dblink_live.report.curves import curves_of
from dblink_live.report.facts import MainSegment, RunReport
from dblink_live.report.movie import Movie
from dblink_live.report.pictures import Still
from dblink_live.report.trust import Figure, Level, Trust, gap

MAX_ROWS = 60
"""Of a table of gaps or events; what is left out is counted."""


@dataclass(frozen=True)
class Visuals:
    """What there is to see; a part that could not be made is None and has its reason."""

    moments: Sequence[tuple[Still, ...]]
    """Plain sum, reconstruction, and what else there is of each moment."""
    whole: Sequence[Still]
    """Of the whole segment."""
    movie: Movie | None
    movie_gap: str = ""


class Badge(NamedTuple):
    """A word at the head of the page."""

    text: str
    level: Level = "plain"


@dataclass(frozen=True)
class Listed:
    """A table of the page."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    warnings: Container[int] = ()
    """Indices of the rows that stand out."""
    n_left_out: int = 0
    """Rows that there are besides."""


def page_of(
    report: RunReport, verdict: Verdict, visuals: Visuals, trust: Trust, made_utc: datetime, program: str
) -> str:
    """Return the whole HTML document."""
    environment = Environment(loader=PackageLoader("dblink_live", "report"), autoescape=True, undefined=StrictUndefined)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    charts = [] if report.main is None or not can_draw_charts() else curves_of(report.main, trust)
    return environment.get_template("page.html").render(
        report=report,
        verdict=verdict,
        visuals=visuals,
        trust=trust,
        style=Markup(files("dblink_live.report").joinpath("style.css").read_text(encoding="utf-8")),
        lead=_lead(report),
        badges=_badges(report),
        done=_done(report),
        movie_caption="" if visuals.movie is None else _movie_caption(visuals.movie),
        charts=charts,
        charts_gap=_charts_gap(report),
        ledger=_ledger(report),
        gaps=_gaps(report),
        gaps_summary=_gaps_summary(report),
        provenance=_provenance(report),
        config=json.dumps(report.info.config, indent=2, ensure_ascii=False, default=str),
        events=_events(report),
        made=made_utc.isoformat(timespec="seconds"),
        program=program,
    )


def _lead(report: RunReport) -> str:
    source = report.info.config.get("source")
    spec = source.get("spec") if isinstance(source, dict) else None
    return f"{spec or 'source not known'}, begun {report.info.created_utc}, network {report.info.model}"


def _badges(report: RunReport) -> list[Badge]:
    badges = [Badge(report.status, "good" if report.status == "complete" else "warn")]
    if report.status in ("running", "finalizing"):
        badges.append(Badge("still being written: this is its state so far", "warn"))
    if report.main is not None and report.main.is_estimated:
        badges.append(Badge("ESTIMATED camera: offset and gain come from the frames themselves", "warn"))
    if report.main is not None and report.main.is_calibrated is False:
        badges.append(Badge("UNCALIBRATED camera: photon numbers and precisions are relative", "warn"))
    if report.main is not None and report.main.is_calibrated is None:
        badges.append(Badge("calibration of the camera not known", "warn"))
    if report.full is None:
        badges.append(Badge("live pictures only: no full pass"))
    return badges


def _done(report: RunReport) -> list[Figure]:
    """What was done, in numbers."""
    main = report.main
    if main is None:
        return [gap("Windows", "no window was committed: there is nothing to show")]
    n_localizations = sum(row.n_localizations or 0 for row in main.counts)
    per_window = f"{n_localizations / len(main.counts):.1f} per window"
    return [
        _field(main),
        Figure("Windows", f"{len(main.counts)}", f"of {report.window_frames} frames; {_elsewhere(report, main)}"),
        Figure("Localizations", f"{n_localizations:,}", per_window),
        _recorded(report, main),
        _lost(report),
        _latency(main),
    ]


def _field(main: MainSegment) -> Figure:
    shape, grid, pixel_nm = main.stored.segment.shape, main.stored.grid, main.stored.pixel_size_nm
    height_um, width_um = (side * grid.pitch_nm / 1000 for side in grid.shape)
    camera = f"{shape.height} x {shape.width} camera pixels" + ("" if pixel_nm is None else f" of {pixel_nm:g} nm")
    return Figure("Field", f"{height_um:.3g} x {width_um:.3g} µm", f"{camera}; pictures on {grid.pitch_nm:g} nm")


def _elsewhere(report: RunReport, main: MainSegment) -> str:
    others = report.windows["counts"] - len(main.counts)
    return f"the longest segment; {others} more in others" if others else "all that the run has"


def _recorded(report: RunReport, main: MainSegment) -> Figure:
    if main.window_s is None:
        return gap("Duration", "the source did not tell the time between frames")
    seconds = (main.counts[-1].stop - main.counts[0].start) * main.window_s / report.window_frames
    rate = 1000 / main.frame_interval_ms if main.frame_interval_ms else 0.0
    return Figure("Duration", _duration(seconds), f"{rate:.4g} frames per second")


def _lost(report: RunReport) -> Figure:
    lost = sum(report.lost_frames.values())
    if report.n_unknown_losses:
        note = f"and {report.n_unknown_losses} losses of unknown size"
        return Figure("Frames lost", f"{lost:,} or more", note, "warn")
    return Figure("Frames lost", f"{lost:,}", "by cause below" if lost else "", "warn" if lost else "good")


def _latency(main: MainSegment) -> Figure:
    latencies = sorted(row.latency_s for row in main.live if row.latency_s)
    if not latencies:
        return gap("Latency", "not a live run, or no picture")
    p50, p99 = (latencies[min(len(latencies) - 1, int(share * len(latencies)))] for share in (0.5, 0.99))
    return Figure("Latency, median", f"{p50:.2f} s", f"99 of 100 within {p99:.2f} s of their last frame")


def _movie_caption(movie: Movie) -> str:
    shown = "every window" if movie.every == 1 else f"one window in {movie.every}"
    pace = "at an unknown speed" if movie.speed is None else f"{movie.speed:.3g} times as fast as real time"
    return f"{movie.n_pictures} pictures, {shown}, {pace}. Left the plain sum, right the reconstruction."


def _charts_gap(report: RunReport) -> str:
    if report.main is None:
        return "no window was committed"
    return "no charts: matplotlib is not installed; `pip install dblink-live[report]` adds it"


def _ledger(report: RunReport) -> Listed:
    header = ["segment", "begun by", "seen", "committed", "lost", "deselected", "tail", "losses of unknown size"]
    rows: list[list[object]] = []
    for stored in report.segments:
        ledger = report.ledgers.get(stored.segment.index)
        begun = [stored.segment.index, stored.segment.reason]
        if ledger is None:
            rows.append([*begun, "no ledger: the segment has not ended in order", "", "", "", "", ""])
            continue
        lost = ledger.get("lost")
        lost_text = ", ".join(f"{count} ({cause})" for cause, count in lost.items()) if isinstance(lost, dict) else "?"
        rows.append([
            *begun, *(ledger.get(key, "?") for key in ("seen", "committed")), lost_text or "0",
            *(ledger.get(key, "?") for key in ("deselected", "tail")), ledger.get("unknown_losses", "?"),
        ])  # fmt: skip
    segments = [stored.segment.index for stored in report.segments]
    return Listed(header, rows, {segments.index(segment) for segment in report.segments_without_ledger})


def _gaps(report: RunReport) -> Listed:
    rows = [
        [gap.segment, gap.after, "unknown" if gap.count is None else gap.count, gap.cause.value]
        for gap in report.gaps[:MAX_ROWS]
    ]
    unknown = {index for index, row in enumerate(rows) if row[2] == "unknown"}
    return Listed(["segment", "after frame", "frames", "cause"], rows, unknown, _n_left_out(len(report.gaps)))


def _gaps_summary(report: RunReport) -> str:
    by_cause = Counter(gap.cause.value for gap in report.gaps)
    return f"{len(report.gaps)} gaps: " + ", ".join(f"{count} {cause}" for cause, count in sorted(by_cause.items()))


def _provenance(report: RunReport) -> Listed:
    info = report.info
    full = "none"
    if report.full is not None:
        ahead = "all" if report.full.lookahead is None else f"at least {report.full.lookahead}"
        full = f"{report.full.model} ({report.full.model_sha256[:16]}), {ahead} later windows seen"
    rows: list[list[str]] = [
        ["run", info.uuid],
        ["begun", info.created_utc],
        ["network", f"{info.model} (sha256 {info.model_sha256})"],
        ["full pass", full],
        ["program's revision", info.git_revision or "not known: an installed package"],
        *([f"host: {key}", value] for key, value in info.host.items()),
        *([f"version: {key}", value] for key, value in info.versions.items()),
    ]
    if report.main is not None and report.main.stored.camera is not None:
        rows += [[f"camera: {key}", str(value)] for key, value in report.main.stored.camera.items()]
    return Listed(["", ""], rows)


def _events(report: RunReport) -> Listed:
    rows = [[_time(event.t_ns), event.text] for event in report.events[:MAX_ROWS]]
    return Listed(["UTC", ""], rows, n_left_out=_n_left_out(len(report.events)))


def _n_left_out(n_rows: int) -> int:
    return max(0, n_rows - MAX_ROWS)


def _time(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds")[:19]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
