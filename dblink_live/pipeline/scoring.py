"""What a finished run is worth: its figures, and where the truth is known, its scores."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from dblink_live.analysis.metrics import Scores, best_threshold, evaluate, trailing_sum, windowed_sum
from dblink_live.analysis.trust.verdict import Conditions, judge
from dblink_live.display.snapshot import render_panels
from dblink_live.latency import Step, in_words
from dblink_live.pipeline.live_run import LiveRun
from dblink_live.pipeline.overload.forecast import Forecast
from dblink_live.pipeline.overload.live_region import Box
from dblink_live.pipeline.preview_publisher import SUM_WINDOWS
from dblink_live.sources import parse_source, simulator_of
from dblink_live.store import CommittedWindow, Run, open_run

SUM_HALF_WIDTHS = (5, 10, 20, 40)
"""Windows to either side that the plain sum is tried with..."""
SUM_BLURS_PX = (0.0, 0.7, 1.0, 1.5)
"""...and blurs of its rendering. The best of all, at its best threshold, is the most that a sum gives afterwards."""


@dataclass(frozen=True)
class TruthScores:
    """A reconstruction and two plain sums against the truth of a simulated specimen."""

    reconstruction: Scores
    shown_sum_f1_1px: float
    """Of the sum of the last `SUM_WINDOWS` windows, as the viewer shows it, at its best threshold."""
    best_sum_f1_1px: float
    """Of a centred sum at the best half-width, blur and threshold for this very run: it looks ahead as far as back."""
    sum_half_width: int
    sum_blur_px: float


def score_if_simulated(source_spec: str, finished: LiveRun) -> TruthScores | None:
    """Score a run of a ``sim:`` source against its specimen; None for all other sources and for empty runs."""
    spec = parse_source(source_spec)
    if spec.scheme != "sim":
        return None
    with open_run(finished.folder) as run:
        windows = run.windows("live")
        if not windows or run.live is None or run.counts is None:
            return None
        rows, cols = _live_everywhere(run, windows)
        probability = run.live[:].astype(np.float32)[:, rows, cols] * run.live.value_scale
        every = run.counts[:][:, rows, cols]
        place = {(row.segment, row.window): row.array_index for row in run.windows("counts")}
    specimen = simulator_of(spec).specimen
    truth = np.stack([specimen.mask_at(window.start)[rows, cols] for window in windows])
    # Sums are made of all windows, and compared where there is a picture.
    shown = [place[window.segment, window.window] for window in windows]
    best_f1, best_half, best_blur = -1.0, SUM_HALF_WIDTHS[0], SUM_BLURS_PX[0]
    for half in SUM_HALF_WIDTHS:
        for blur in SUM_BLURS_PX:
            _, f1 = best_threshold(windowed_sum(every, half, blur)[shown], truth, n_thresholds=30)
            if f1 > best_f1:
                best_f1, best_half, best_blur = f1, half, blur
    _, shown_f1 = best_threshold(trailing_sum(every, SUM_WINDOWS)[shown], truth, n_thresholds=30)
    scores = evaluate(probability, truth, finished.model.threshold)
    return TruthScores(scores, shown_f1, best_f1, best_half, best_blur)


def _live_everywhere(run: Run, windows: list[CommittedWindow]) -> tuple[slice, slice]:
    """Rows and columns of the grid that every live picture covers: the live region may have changed."""
    (stored,) = run.segments[:1]
    height, width = stored.grid.shape
    top, left, bottom, right = 0, 0, height, width
    made = {(row.segment, row.window) for row in windows}
    for step in run.live_steps():
        if step.region is not None and (step.segment, step.window) in made and stored.pixel_size_nm:
            rows, cols = Box(*step.region).on_grid(stored.grid, stored.pixel_size_nm)
            top, bottom = max(top, rows.start), min(bottom, rows.stop)
            left, right = max(left, cols.start), min(right, cols.stop)
    if top >= bottom or left >= right:
        return slice(0, height), slice(0, width)
    return slice(top, bottom), slice(left, right)


def figures_of_run(finished: LiveRun, scores: TruthScores | None) -> dict[str, object]:
    """The JSON object of ``run --json`` and ``demo --json``."""
    totals = finished.totals
    figures: dict[str, object] = {
        "run": str(finished.folder),
        "frames": {
            "seen": totals.frames_seen,
            "committed": totals.frames_committed,
            "lost": totals.lost,
            "tail": totals.frames_tail,
            "unknown_loss": totals.has_unknown_loss,
        },
        "windows": {"counts": totals.windows_counts, "live": totals.windows_live},
        "fps_asked": finished.fps_asked,
        "fps_held": totals.fps_held,
        "latency_s": {"p50": totals.latency.p50, "p99": totals.latency.p99, "budget": totals.budget_s},
        "live_region": None if totals.live_region is None else list(totals.live_region),
        "degraded": [
            {
                "segment": stretch.segment,
                "from_window": stretch.from_window,
                "to_window": stretch.to_window,
                "step": stretch.step.value,
            }
            for stretch in totals.degraded
        ],
        "verdict": _figures_of_verdict(finished),
        "stages": [asdict(stage) for stage in totals.stages],
        "forecast": None if finished.forecast is None else _figures_of_forecast(finished.forecast),
        "device": finished.device,
        "calibrated": totals.is_calibrated,
        "estimated": totals.is_estimated,
        "preview": totals.is_preview,
    }
    if finished.resumed is not None:
        figures["resumed"] = asdict(finished.resumed)
    if scores is not None:
        found = scores.reconstruction
        figures["truth"] = {
            "f1_1px": _number(found.f1_1px),
            "fidelity": _number(found.fidelity),
            "precision": _number(found.precision),
            "hallucination": _number(found.hallucination[1]),
            "false_positive_rate": _number(found.false_positive_rate),
            "threshold": found.threshold,
        }
        figures["windowed_sum"] = {
            "f1_1px": _number(scores.shown_sum_f1_1px),
            "windows": SUM_WINDOWS,
        }
        figures["best_sum_afterwards"] = {
            "f1_1px": _number(scores.best_sum_f1_1px),
            "half_width_windows": scores.sum_half_width,
            "blur_px": scores.sum_blur_px,
        }
    return figures


def table_of_run(finished: LiveRun, scores: TruthScores | None) -> Table:
    """The table that `demo` and `run` end with."""
    totals = finished.totals
    table = Table(title=f"run {finished.folder}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    lost = ", ".join(f"{count} ({cause})" for cause, count in totals.lost.items()) or "0"
    if finished.resumed is not None:
        kept, redone = finished.resumed.n_frames_kept, finished.resumed.n_redone
        table.add_row("kept from before / pictures redone", f"{kept} frames / {redone}")
    table.add_row("frames seen", str(totals.frames_seen))
    table.add_row("frames committed", str(totals.frames_committed))
    table.add_row("frames lost", lost + (" and an unknown number" if totals.has_unknown_loss else ""))
    table.add_row("frames after the last whole window", str(totals.frames_tail))
    table.add_row("windows reconstructed", str(totals.windows_live))
    table.add_row("frames per second asked / held", f"{_text(finished.fps_asked)} / {_text(totals.fps_held)}")
    table.add_row("latency p50 / p99", f"{_text(totals.latency.p50, 2)} s / {_text(totals.latency.p99, 2)} s")
    if totals.budget_s is not None:
        table.add_row("latency budget", f"{_text(totals.budget_s, 2)} s")
    if totals.live_region is not None and totals.degraded:
        n_windows = sum(stretch.to_window - stretch.from_window + 1 for stretch in totals.degraded)
        table.add_row("windows with less than the whole live picture", f"{n_windows}; `refine` makes them all")
    table.add_row("device", finished.device)
    if totals.is_preview:
        table.add_row("preview", "Micro-Manager acquired these frames; this run looked at them in passing")
    if totals.is_estimated:
        table.add_row("camera", "ESTIMATED from the frames: offset, gain, photon numbers and precisions")
    elif not totals.is_calibrated:
        table.add_row("camera", "UNCALIBRATED: photon numbers and precisions are relative")
    if scores is not None:
        found = scores.reconstruction
        table.add_section()
        table.add_row("F1 at 1 px: reconstruction", f"{found.f1_1px:.3f}")
        table.add_row(f"F1 at 1 px: plain sum of {SUM_WINDOWS} windows", f"{scores.shown_sum_f1_1px:.3f}")
        table.add_row("F1 at 1 px: best sum afterwards", f"{scores.best_sum_f1_1px:.3f}")
        table.add_row("precision at 1 px", f"{found.precision:.3f}")
        table.add_row("hallucination (share of the prediction)", f"{found.hallucination[1]:.3f}")
        table.add_row(
            "fidelity / false-positive rate (paper's)", f"{found.fidelity:.3f} / {found.false_positive_rate:.4f}"
        )
    return table


def save_panels(finished: LiveRun) -> Path | None:
    """Write the run's last camera frame, plain sum and reconstruction side by side into its report folder.

    Returns the PNG's path, or None when nothing was reconstructed.
    """
    with open_run(finished.folder) as run:
        if run.live is None or run.counts is None or not len(run.live):
            return None
        last = len(run.live) - 1
        # A picture that has had its lookahead: the very last ones of a run had none.
        shown = max(last // 2, last - finished.lookahead)
        row = run.windows("live")[shown]
        counted = next(one.array_index for one in run.windows("counts", row.segment) if one.window == row.window)
        recent = run.counts[max(0, counted - SUM_WINDOWS + 1) : counted + 1].sum(axis=0, dtype=np.uint32)
        reconstruction = run.live[shown].astype(np.float32) * run.live.value_scale
    return render_panels(
        finished.last_frame,
        np.minimum(recent, np.iinfo(np.uint16).max).astype(np.uint16),
        reconstruction,
        finished.model.pixel_size_nm,
        finished.pixel_size_nm,
        finished.folder / "report" / "panels.png",
        title=f"{finished.folder.name}, window {row.window}: camera, sum of {SUM_WINDOWS} windows, reconstruction",
    )


def _figures_of_verdict(finished: LiveRun) -> dict[str, object]:
    """How far the run can be trusted, from what is known of it without a look at its pictures."""
    totals = finished.totals
    steps = {stretch.step for stretch in totals.degraded}
    verdict = judge(
        Conditions(
            frames_seen=totals.frames_seen,
            frames_lost=sum(totals.lost.values()),
            has_unknown_loss=totals.has_unknown_loss,
            is_preview=totals.is_preview,
            is_calibrated=totals.is_calibrated,
            is_estimated=totals.is_estimated,
            density_per_um2_frame=totals.density_per_um2_frame,
            trained_density=finished.model.envelope.density,
            speed_nm_per_window=totals.sample.speed_nm_per_window,
            trained_speed=finished.model.envelope.speed,
            precision_nm=totals.sample.precision_nm,
            trained_precision=finished.model.envelope.precision,
            window_frames=totals.sample.window_frames,
            advice=totals.sample.advice,
            degraded=", ".join(in_words(step.value) for step in Step if step in steps and step is not Step.WHOLE),
        )
    )
    reasons = [f"{reason.text}: {reason.advice}" for reason in verdict.reasons]
    return {"light": verdict.light.value, "reasons": reasons}


def _figures_of_forecast(forecast: Forecast) -> dict[str, object]:
    return {
        "fps_held": forecast.fps_held,
        "load": forecast.load,
        "n_pixels_held": forecast.n_pixels_held,
        "line": forecast.line(),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None, digits: int = 1) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
