"""The page itself: facts, trust figures and pictures in the order in which a reader asks for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from dblink_live.report import html
from dblink_live.report.curves import curves_of
from dblink_live.report.facts import MainSegment, RunReport
from dblink_live.report.movie import Movie
from dblink_live.report.pictures import Still
from dblink_live.report.trust import Figure, Trust, gap

MAX_ROWS = 60
"""Of a table of gaps or events; what is left out is counted."""
# Nothing is loaded from anywhere and nothing runs, whatever a name or a note in the run may hold.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Visuals:
    """What there is to see; a part that could not be made is None and has its reason."""

    moments: Sequence[tuple[Still, ...]]
    """Plain sum, reconstruction, and what else there is of each moment."""
    whole: Sequence[Still]
    """Of the whole segment."""
    movie: Movie | None
    movie_gap: str = ""


def page_of(report: RunReport, visuals: Visuals, trust: Trust, made_utc: datetime, program: str) -> str:
    """The whole HTML document."""
    style = files("dblink_live.report").joinpath("style.css").read_text(encoding="utf-8")
    body = "".join((
        _head(report),
        _movie(visuals),
        _trust(trust),
        _pictures(visuals),
        _curves(report, trust),
        _accounts(report),
        _provenance(report),
    ))  # fmt: skip
    made = made_utc.isoformat(timespec="seconds")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.text(report.name)}: report</title><style>{style}</style></head>"
        f"<body><main>{body}<footer>Made {html.text(made)} by {html.text(program)}. This file is complete in itself: "
        "it loads nothing and runs nothing.</footer></main></body></html>\n"
    )


def _head(report: RunReport) -> str:
    badges = [html.badge(report.status, "good" if report.status == "complete" else "warn")]
    if report.status in ("running", "finalizing"):
        badges.append(html.badge("still being written: this is its state so far", "warn"))
    if report.main is not None and report.main.is_calibrated is False:
        badges.append(html.badge("UNCALIBRATED camera: photon numbers and precisions are relative", "warn"))
    if report.main is not None and report.main.is_calibrated is None:
        badges.append(html.badge("calibration of the camera not known", "warn"))
    if report.full is None:
        badges.append(html.badge("live pictures only: no full pass"))
    source = report.info.config.get("source")
    spec = source.get("spec", "not known") if isinstance(source, dict) else "not known"
    lead = f"{spec}, begun {report.info.created_utc}, network {report.info.model}"
    return (
        f'<h1>{html.text(report.name)}</h1><p class="lead">{html.text(lead)}</p>'
        f'<div class="badges">{"".join(badges)}</div>{html.cards(_done(report))}'
    )


def _done(report: RunReport) -> list[Figure]:
    """What was done, in numbers."""
    main = report.main
    if main is None:
        return [gap("Windows", "no window was committed: there is nothing to show")]
    shape, grid = main.stored.segment.shape, main.stored.grid
    pixel = main.stored.pixel_size_nm
    camera = f"{shape.height} x {shape.width} camera pixels" + ("" if pixel is None else f" of {pixel:g} nm")
    n_localizations = sum(row.n_localizations or 0 for row in main.counts)
    figures = [
        Figure(
            "Field",
            f"{grid.shape.height * grid.pitch_nm / 1000:.3g} x {grid.shape.width * grid.pitch_nm / 1000:.3g} µm",
            f"{camera}; pictures on {grid.pitch_nm:g} nm",
        ),
        Figure("Windows", f"{len(main.counts)}", f"of {report.window_frames} frames; {_elsewhere(report, main)}"),
        Figure("Localizations", f"{n_localizations:,}", f"{n_localizations / len(main.counts):.1f} a window"),
    ]
    if main.window_s is None:
        figures.append(gap("Duration", "the source did not tell the time between frames"))
    else:
        seconds = (main.counts[-1].stop - main.counts[0].start) * main.window_s / report.window_frames
        rate = 1000 / main.frame_interval_ms if main.frame_interval_ms else 0.0
        figures.append(Figure("Duration", _duration(seconds), f"{rate:.4g} frames a second"))
    lost = sum(report.lost_frames.values())
    if report.n_unknown_losses:
        note = f"and {report.n_unknown_losses} losses whose size nobody can know"
        figures.append(Figure("Frames lost", f"{lost:,} or more", note, "warn"))
    else:
        figures.append(Figure("Frames lost", f"{lost:,}", "by cause below" if lost else "", "warn" if lost else "good"))
    figures.append(_latency(main))
    return figures


def _elsewhere(report: RunReport, main: MainSegment) -> str:
    others = report.windows["counts"] - len(main.counts)
    return f"the longest segment; {others} more in others" if others else "all that the run has"


def _latency(main: MainSegment) -> Figure:
    latencies = sorted(row.latency_s for row in main.live if row.latency_s)
    if not latencies:
        return gap("Latency", "not a live run, or no picture")
    p50, p99 = (latencies[min(len(latencies) - 1, int(share * len(latencies)))] for share in (0.5, 0.99))
    return Figure("Latency, median", f"{p50:.2f} s", f"99 of 100 within {p99:.2f} s of their last frame")


def _movie(visuals: Visuals) -> str:
    title = "<h2>The run in motion</h2>"
    if visuals.movie is None:
        return title + html.missing(visuals.movie_gap)
    movie = visuals.movie
    shown = "every window" if movie.every == 1 else f"one window in {movie.every}"
    if movie.speed is None:
        pace = "at an unknown multiple of life's speed"
    else:
        pace = f"{movie.speed:.3g} times as fast as life"
    caption = f"{movie.n_pictures} pictures, {shown}, {pace}. Left the plain sum, right the reconstruction."
    return title + html.video(movie.mp4, movie.size, caption)


def _trust(trust: Trust) -> str:
    title = (
        "<h2>Why believe it</h2><p>A network that has learned what filaments look like can draw one where there is "
        "none. These figures, all of the longest segment, say what the data themselves support.</p>"
    )
    return title + html.cards(trust.figures)


def _pictures(visuals: Visuals) -> str:
    title = "<h2>Pictures</h2>"
    parts = [
        f'<div class="pictures">{"".join(html.picture(still.png, still.caption) for still in moment)}</div>'
        for moment in visuals.moments
    ]
    if not parts:
        parts.append(html.missing("no window has a reconstruction"))
    if visuals.whole:
        whole = "".join(html.picture(still.png, still.caption) for still in visuals.whole)
        parts.append(f'<div class="pictures{" single" if len(visuals.whole) == 1 else ""}">{whole}</div>')
    return title + "".join(parts)


def _curves(report: RunReport, trust: Trust) -> str:
    title = "<h2>Over time</h2>"
    if report.main is None:
        return title + html.missing("no window was committed")
    return title + html.charts(curves_of(report.main, trust))


def _accounts(report: RunReport) -> str:
    parts = ["<h2>What became of every frame</h2>"]
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
    warn = [stored.segment.index in report.segments_without_ledger for stored in report.segments]
    parts.append(html.table(header, rows, warn) if rows else html.missing("the run has no segment"))
    if len(report.segments) > 1 and report.main is not None:
        parts.append(f"<p>Pictures and figures above are of segment {report.main.index}, the longest.</p>")
    parts.append(_gaps(report))
    return "".join(parts)


def _gaps(report: RunReport) -> str:
    if not report.gaps:
        return "<p>No frame is known to be missing.</p>"
    by_cause = Counter(gap.cause.value for gap in report.gaps)
    summary = f"{len(report.gaps)} gaps: " + ", ".join(f"{count} {cause}" for cause, count in sorted(by_cause.items()))
    rows = [
        [gap.segment, gap.after, "unknown" if gap.count is None else gap.count, gap.cause.value]
        for gap in report.gaps[:MAX_ROWS]
    ]
    listed = html.table(["segment", "after frame", "frames", "cause"], rows, [row[2] == "unknown" for row in rows])
    return html.unfold(summary, listed + _left_out(len(report.gaps)))


def _provenance(report: RunReport) -> str:
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
    events = [[_time(event.t_ns), event.text] for event in report.events[:MAX_ROWS]]
    config = json.dumps(info.config, indent=2, ensure_ascii=False, default=str)
    return "".join((
        "<h2>Provenance</h2>",
        html.table(["", ""], rows),
        html.unfold("Configuration", html.preformatted(config)),
        html.unfold(f"Log ({len(report.events)})", html.table(["UTC", ""], events) + _left_out(len(report.events))),
    ))  # fmt: skip


def _left_out(n_rows: int) -> str:
    return html.missing(f"and {n_rows - MAX_ROWS} more") if n_rows > MAX_ROWS else ""


def _time(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds")[:19]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
