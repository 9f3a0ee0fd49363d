"""Figures that say how far the pictures can be believed, and plainly what could not be found out.

They are those of `dblink-live analyze`, worked out by the same code, put into words for the page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dblink_live.analysis.drift import Drift
from dblink_live.analysis.frc import FrcCurve
from dblink_live.analysis.summary import Figures
from dblink_live.report.facts import MainSegment

Level = Literal["plain", "good", "warn", "gap"]

RCC_LEAST = 2000
"""Localizations below which redundant cross-correlation, of 20 stretches, is not shown: with fewer than about a hundred
each, chance decides which shift fits best."""


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


def gap(label: str, reason: str) -> Figure:
    """A figure that is not known, and why."""
    return Figure(label, "not known", reason, "gap")


def unjudged(reason: str) -> Trust:
    """Nothing could be worked out."""
    return Trust((gap("Trust figures", reason),))


def trust_of(found: Figures, main: MainSegment) -> Trust:
    """What ``found`` in the main segment says on the page."""
    by_localizations, why_not = _rcc(found, main)
    figures = (
        _resolution(
            found,
            "Resolution of the localizations (FRC)",
            "frc_nm.localizations",
            found.frc_localizations_nm,
            "two halves of the frames, at 1/7. Motion makes it worse, molecules seen in both make it look better",
        ),
        _resolution(
            found,
            "Resolution of the reconstruction (FRC)",
            "frc_nm.reconstruction",
            found.frc_reconstruction_nm,
            "two reconstructions from half of the frames each. They share the network's prior and agree too well: "
            "believe the figure of the localizations first",
        ),
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
            "share of the predicted pixels with two localizations or more nearby, within 8 windows",
        ),
        _consistency(found),
        _share(
            found,
            "Revised by the full pass",
            "revision",
            found.revision,
            "median share of a live picture that changed once all later data had been seen",
        ),
        _drift(found.drift, "Drift by pictures", found.gaps.get("drift_nm", "")),
        _drift(by_localizations, "Drift by localizations (RCC)", why_not),
    )
    return Trust(figures, found.frc_localizations, found.frc_reconstruction, found.drift, by_localizations)


def _resolution(found: Figures, label: str, name: str, value: float | None, note: str) -> Figure:
    at_most = found.at_most_nm(name)
    if at_most is not None:
        return Figure(label, f"below {at_most:.0f} nm", f"finer than two pixels can tell; {note}")
    return _nm(found, label, name, value, note)


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
    note = "mean correlation of every two pictures after drift is undone; 1 for a still sample, less where it changes"
    return Figure(label, f"{found.consistency:.2f}", note)


def _drift(drift: Drift | None, label: str, why_not: str) -> Figure:
    if drift is None:
        return gap(label, why_not)
    note = "largest distance from the start. On a moving sample this is motion as well: it cannot tell the two apart"
    return Figure(label, f"{drift.largest_nm:.0f} nm", note)


def _rcc(found: Figures, main: MainSegment) -> tuple[Drift | None, str]:
    """Drift of the localizations in windows, or why it is not known."""
    if found.drift_localizations is None:
        return None, found.gaps.get("drift_localizations_nm", "")
    n_localizations = sum(row.n_localizations or 0 for row in main.counts)
    if n_localizations < RCC_LEAST:
        return None, f"expected {RCC_LEAST} localizations or more, found {n_localizations}: chance would decide"
    first = main.counts[0]
    frames = found.drift_localizations.time
    return replace(found.drift_localizations, time=(frames - first.start) / main.window_frames + first.window), ""
