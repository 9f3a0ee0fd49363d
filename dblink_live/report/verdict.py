"""The verdict at the head of a report: how far the run can be trusted, and what to do."""

from __future__ import annotations

from dataclasses import replace

from dblink_live.analysis.summary import Figures
from dblink_live.analysis.trust.verdict import Conditions, Verdict, judge
from dblink_live.report.facts import MainSegment, RunReport


def verdict_of(report: RunReport, figures: Figures | None) -> Verdict:
    """Return the verdict on a run, from its ledger and from what `dblink_live.analysis.summary` found."""
    main = report.main
    if main is None:
        return judge(Conditions())
    found = figures or Figures()
    drift = found.drift_localizations or found.drift
    return judge(
        Conditions(
            frames_seen=sum(_number(ledger.get("seen")) for ledger in report.ledgers.values()),
            frames_lost=sum(count for cause, count in report.lost_frames.items() if cause != "deselected"),
            has_unknown_loss=report.n_unknown_losses > 0,
            is_preview=main.stored.segment.is_preview,
            is_calibrated=main.is_calibrated,
            is_estimated=main.is_estimated,
            density_per_um2_frame=_density(main),
            trained_density=found.trained_density,
            speed_nm_per_window=found.sample.speed_nm_per_window,
            window_frames=report.window_frames,
            advice=replace(found.sample, window_frames=report.window_frames).advice,
            left_out_share=found.left_out_fraction,
            unsupported_share=None if found.supported_fraction is None else 1.0 - found.supported_fraction,
            # A simulated specimen moves by design.
            drift_nm=None if drift is None or _is_simulated(report) else drift.max_nm,
        )
    )


def _density(main: MainSegment) -> float | None:
    """Localizations per square micrometre and frame."""
    n_frames = sum(row.stop - row.start - row.n_frames_missing for row in main.counts)
    height_um, width_um = (side * main.stored.grid.pitch_nm / 1000 for side in main.stored.grid.shape)
    if n_frames <= 0:
        return None
    return sum(row.n_localizations or 0 for row in main.counts) / (n_frames * height_um * width_um)


def _is_simulated(report: RunReport) -> bool:
    source = report.info.config.get("source")
    return isinstance(source, dict) and str(source.get("spec", "")).startswith("sim:")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
