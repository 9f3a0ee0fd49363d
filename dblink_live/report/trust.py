"""Figures of trust for the page: those of `dblink-live analyze`, from the same code, with an explanation each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.drift.drift import Drift
from dblink_live.analysis.drift.fiducials import FiducialTracks
from dblink_live.analysis.resolution.frc import FrcCurve, RollingFrc
from dblink_live.analysis.resolution.regions import RegionFrc
from dblink_live.analysis.summary import Figures, revision_name
from dblink_live.analysis.trust.support import HALF_WIDTH, MIN_LOCALIZATIONS, RADIUS_PX
from dblink_live.errors import AnalysisError
from dblink_live.report.facts import MainSegment

Level = Literal["plain", "good", "warn", "gap"]


@dataclass(frozen=True)
class Figure:
    """One figure of the page. A gap has no value: its note says why."""

    label: str
    value: str
    note: str = ""
    level: Level = "plain"


@dataclass(frozen=True)
class Trust:
    """Figures, and the curves behind them."""

    figures: tuple[Figure, ...]
    frc_localizations: FrcCurve | None = None
    frc_reconstruction: FrcCurve | None = None
    drift_of_pictures: Drift | None = None
    """In windows of the segment."""
    drift_of_localizations: Drift | None = None
    """In windows of the segment as well."""
    resolution_over_time: RollingFrc | None = None
    """In frames."""
    resolution_of_regions: RegionFrc | None = None
    fiducials: FiducialTracks | None = None
    """In frames."""
    revisions: tuple[Revisions, ...] = ()
    scope: str = ""
    """What was left out of a quick analysis, and how to measure it; empty where nothing was."""


@dataclass(frozen=True)
class Revisions:
    """How much the pictures of some windows changed from one stage to the next."""

    label: str
    window: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]


def gap(label: str, reason: str) -> Figure:
    """Return a figure that is not known, and why."""
    return Figure(label, "not known", reason, "gap")


def unjudged(reason: str) -> Trust:
    """Return the trust figures of a run that could not be measured."""
    return Trust((gap("Trust figures", reason),))


def trust_of(found: Figures, main: MainSegment) -> Trust:
    """Return the trust figures of the main segment."""
    by_localizations = _in_windows(found.drift_localizations, main)
    figures = (
        _resolution(
            found,
            "Resolution of the localizations (FRC)",
            "frc_nm.localizations",
            found.frc_localizations_nm,
            found.frc_localizations,
            "Two halves of the frames, at 1/7. Motion makes it worse, molecules seen in both make it look better",
        ),
        _resolution(
            found,
            "Resolution of the reconstruction (FRC)",
            "frc_nm.reconstruction",
            found.frc_reconstruction_nm,
            found.frc_reconstruction,
            "Two reconstructions from half of the frames each. They share the network's prior and agree too well: "
            "believe the figure of the localizations first",
        ),
        _regions(found),
        _nm(
            found,
            "Decorrelation",
            "decorrelation_nm",
            found.decorrelation_nm,
            "the smallest detail with contrast in the pictures; no proof that it is real",
        ),
        _share(
            found,
            "Supported by localizations",
            "supported_fraction",
            found.supported_fraction,
            f"share of the predicted pixels with {MIN_LOCALIZATIONS} localizations or more within {RADIUS_PX} px and "
            f"{HALF_WIDTH} windows before and after",
        ),
        _share(
            found,
            "Localizations left out",
            "left_out_fraction",
            found.left_out_fraction,
            f"share of the localizations farther than {RADIUS_PX} px from all that their picture predicts: noise, and "
            "structure that the network does not know",
        ),
        _consistency(found),
        *_revised(found),
        _drift(found.drift, "Drift by pictures", found.gaps.get("drift_nm", "")),
        _drift(by_localizations, "Drift by localizations (RCC)", found.gaps.get("drift_localizations_nm", "")),
        *_fiducials(found),
    )
    return Trust(
        figures,
        found.frc_localizations,
        found.frc_reconstruction,
        found.drift,
        by_localizations,
        found.frc_rolling,
        found.frc_regions,
        found.fiducials,
        _revisions(found),
        _scope(found, main),
    )


def _scope(found: Figures, main: MainSegment) -> str:
    if not found.is_quick:
        return ""
    return (
        f"Measured quickly, on {found.n_pictures} of {len(main.pictures)} pictures and without running the network "
        "again. `dblink-live report --full` measures everything, which may take minutes."
    )


def _resolution(
    found: Figures, label: str, name: str, value: float | None, curve: FrcCurve | None, note: str
) -> Figure:
    at_most = found.at_most_nm(name)
    if at_most is not None:
        return Figure(label, f"below {at_most:.0f} nm", f"Finer than two pixels. {note}")
    strict = half_bit_nm(curve)
    if strict is not None:
        note = f"{strict:.0f} nm with the half-bit threshold. {note}"
    return _nm(found, label, name, value, note)


def half_bit_nm(curve: FrcCurve | None) -> float | None:
    """Return the resolution at the stricter threshold; None if the curve has none."""
    if curve is None:
        return None
    try:
        return curve.resolution_nm("half-bit")
    except AnalysisError:
        return None


def _regions(found: Figures) -> Figure:
    label = "Resolution by region, median (FRC)"
    if found.frc_regions is None:
        return gap(label, found.gaps.get("frc_regions_nm", ""))
    values = found.frc_regions.resolution_nm()
    known = values[np.isfinite(values)]
    if not len(known):
        return gap(label, "no region holds enough localizations to tell")
    side = found.frc_regions.side_nm / 1000
    note = (
        f"of the localizations, in {len(known)} of {values.size} squares of {side:.2g} µm: "
        f"{known.min():.0f} nm at best, {known.max():.0f} nm at worst"
    )
    return Figure(label, f"{np.median(known):.0f} nm", note)


def _revised(found: Figures) -> list[Figure]:
    """One figure a step from one stage to the next; the sum of both steps is in the curve."""
    labels = {
        ("provisional", "bounded"): (
            "Revised by the lookahead",
            "median share of a provisional picture, shown at once, that the windows after it changed",
        ),
        ("bounded", "full"): (
            "Revised by the full pass",
            "median share of a live picture that changed once all later data had been seen",
        ),
    }
    figures = []
    for step, (label, note) in labels.items():
        value = found.median_revision(*step)
        name = revision_name(*step)
        figures.append(gap(label, found.gaps.get(name, "")) if value is None else Figure(label, f"{value:.0%}", note))
    return figures


def _revisions(found: Figures) -> tuple[Revisions, ...]:
    if found.revised is None:
        return ()
    return tuple(
        Revisions(f"{before} to {after}", found.revised, shares)
        for (before, after), shares in found.revisions.items()
        if (before, after) != ("provisional", "full")
    )


def _fiducials(found: Figures) -> list[Figure]:
    """What beads tell, where they were looked for."""
    if found.fiducials is None:
        return [gap("Drift by beads", found.gaps["fiducials"])] if "fiducials" in found.gaps else []
    beads = found.fiducials
    n_beads = beads.position_nm.shape[1]
    turned = beads.rotation_deg()
    known = turned[np.isfinite(turned)]
    note = f"{n_beads} bead{'s' if n_beads > 1 else ''}: markers that move with the stage, whatever the sample does"
    if len(known):
        note += f"; rotated by {known[-1]:.2f} degrees at the end"
    return [Figure("Drift by beads", f"{beads.drift().max_nm:.0f} nm", note)]


def _nm(found: Figures, label: str, name: str, value: float | None, note: str) -> Figure:
    if value is None:
        return gap(label, found.gaps.get(name, ""))
    return Figure(label, f"{value:.0f} nm", note)


def _share(found: Figures, label: str, name: str, value: float | None, note: str) -> Figure:
    if value is None:
        return gap(label, found.gaps.get(name, ""))
    return Figure(label, f"{value:.0%}", note)


def _consistency(found: Figures) -> Figure:
    label = "Consistency"
    if found.consistency is None:
        return gap(label, found.gaps.get("consistency", ""))
    note = "mean correlation of every two pictures after drift correction; 1 for a still sample, less where it changes"
    return Figure(label, f"{found.consistency:.2f}", note)


def _drift(drift: Drift | None, label: str, why_not: str) -> Figure:
    if drift is None:
        return gap(label, why_not)
    note = "largest distance from the start. On a moving sample this is motion as well: the two cannot be told apart"
    return Figure(label, f"{drift.max_nm:.0f} nm", note)


def _in_windows(drift: Drift | None, main: MainSegment) -> Drift | None:
    """A path over frames as one over windows of the segment."""
    if drift is None:
        return None
    first = main.counts[0]
    return replace(drift, time=(drift.time - first.start) / main.window_frames + first.window)
