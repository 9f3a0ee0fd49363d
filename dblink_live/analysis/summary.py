"""The figures of `dblink-live analyze`: all that is known of a reconstruction, and a reason for each gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.drift.cross_correlation import redundant_cross_correlation
from dblink_live.analysis.drift.drift import Drift, drift_of_video
from dblink_live.analysis.drift.fiducials import FiducialTracks, find_fiducials, track_fiducials
from dblink_live.analysis.resolution.decorrelation import decorrelation_analysis
from dblink_live.analysis.resolution.frc import (
    FinerThanPixelsError,
    FrcCurve,
    RollingFrc,
    fourier_ring_correlation,
    frc_of_localizations,
    rolling_frc,
)
from dblink_live.analysis.resolution.regions import RegionFrc, frc_of_regions
from dblink_live.analysis.trust.consistency import consistency, revision, undo_motion
from dblink_live.analysis.trust.sample import N_WINDOWS as SAMPLE_WINDOWS
from dblink_live.analysis.trust.sample import Sample, sample_of
from dblink_live.analysis.trust.support import Maps, left_out_fraction, supported_fraction
from dblink_live.errors import AnalysisError, CalibrationError
from dblink_live.types import FloatImage, Localizations

N_DECORRELATED = 9
"""Pictures for decorrelation analysis; the median is taken."""
N_FIGURES = 15
"""Figures that are measured of a subject with all data; progress counts them."""
N_STRETCHES = 5
"""A stretch for the resolution over time is so large a part of the recording; each begins in the middle of the last, or
at the end of it in a quick analysis."""
QUICK_PICTURES = 100
"""Pictures at equal distances that a quick analysis looks at."""
QUICK_SEGMENTS = 10
"""Segments of redundant cross-correlation in a quick analysis: a quarter of the pairs."""
MIN_FOR_RCC = 2000
"""Localizations below which redundant cross-correlation, of 20 stretches, is not believed: with fewer than about a
hundred each, chance decides which shift fits best."""
STEPS = (("provisional", "bounded"), ("bounded", "full"), ("provisional", "full"))
"""Revisions that are measured."""

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Subject:
    """What is analysed. Unknown parts are None, and ``missing`` holds the reason under the same name."""

    pictures: FloatImage | None = None
    """[K, H, W], probability of structure, of windows evenly spread over the video."""
    windows: npt.NDArray[np.int64] | None = None
    """[K], the windows that ``pictures`` show."""
    pitch_nm: float | None = None
    """Side of a pixel of the pictures."""
    provisional: FloatImage | None = None
    """[M, H, W], the windows ``revised`` as they can be shown at once, without any later window."""
    bounded: FloatImage | None = None
    """[M, H, W], the same windows as they were committed live."""
    full: FloatImage | None = None
    """[M, H, W], and as the full pass says."""
    revised: npt.NDArray[np.int64] | None = None
    """[M], windows of these three."""
    all_pictures: Maps | None = None
    """[T, H, W], every window's picture; read window by window."""
    counts: Maps | None = None
    """[T, H, W], localizations a pixel of every window."""
    threshold: float = 0.5
    """Above which a pixel is predicted."""
    trained_density: tuple[float, float] | None = None
    """Localizations per square micrometre and frame that the network was trained on."""
    localizations: Localizations | None = None
    pixel_size_nm: float | None = None
    """Side of the camera pixels that positions are given in."""
    halves: tuple[FloatImage, FloatImage] | None = None
    """[T', H', W'] each: reconstructions by the same network from independent halves of the localizations."""
    reference: FloatImage | None = None
    """[H, W], or [K, H, W] of the same windows as ``pictures``: what these are compared with."""
    is_quick: bool = False
    """Whether fewer samples are taken where that saves much time: of pictures, stretches of time, and segments."""
    has_fiducials: bool = False
    """Whether to look for beads."""
    missing: dict[str, str] = field(default_factory=dict)


@dataclass
class Figures:
    """What was found. Unknown figures are None, and ``gaps`` holds the reason under the same name."""

    gaps: dict[str, str] = field(default_factory=dict)
    frc_localizations: FrcCurve | None = None
    frc_localizations_nm: float | None = None
    frc_reconstruction: FrcCurve | None = None
    frc_reconstruction_nm: float | None = None
    frc_reference: FrcCurve | None = None
    """Of the pictures against a reference."""
    frc_reference_nm: float | None = None
    frc_rolling: RollingFrc | None = None
    frc_regions: RegionFrc | None = None
    decorrelation_nm: float | None = None
    drift: Drift | None = None
    """Of the pictures, in windows."""
    drift_localizations: Drift | None = None
    """By redundant cross-correlation, in frames."""
    fiducials: FiducialTracks | None = None
    consistency: float | None = None
    """After drift correction."""
    consistency_as_shown: float | None = None
    supported_fraction: float | None = None
    left_out_fraction: float | None = None
    sample: Sample = field(default_factory=Sample)
    """What the localizations say of motion and density; frames per window are for the caller to add."""
    revisions: dict[tuple[str, str], npt.NDArray[np.float64]] = field(default_factory=dict)
    """By (before, after): the share of each window's picture that changed; NaN where both are empty."""
    revised: npt.NDArray[np.int64] | None = None
    """The windows of these."""
    is_quick: bool = False
    """Whether fewer samples were taken; see `Subject.is_quick`."""
    trained_density: tuple[float, float] | None = None
    """As `Subject` has it."""
    n_pictures: int = 0
    """Pictures that drift, consistency and decorrelation were measured on."""
    _at_most_nm: dict[str, float] = field(default_factory=dict)
    _on_progress: Callable[[int], None] | None = None
    _n_asked: int = 0

    @property
    def revision(self) -> float | None:
        """Median share of a live picture that the full pass changed; None where it is not known."""
        return self.median_revision("bounded", "full")

    def median_revision(self, before: str, after: str) -> float | None:
        """Median share of a picture that changed between two stages; None where it is not known."""
        shares = self.revisions.get((before, after))
        return None if shares is None else float(np.nanmedian(shares))

    def at_most_nm(self, name: str) -> float | None:
        """Two pixels, where the resolution called ``name`` is finer than that; else None."""
        return self._at_most_nm.get(name)

    def resolution(self, name: str, curve: FrcCurve | None) -> float | None:
        """Of a curve, at 1/7; None and a gap where there is no curve, or where it does not tell."""
        try:
            return None if curve is None else curve.resolution_nm()
        except FinerThanPixelsError as error:
            self._at_most_nm[name] = 2 * curve.pitch_nm if curve is not None else math.nan
            self.gaps[name] = str(error)
        except AnalysisError as error:
            self.gaps[name] = str(error)
        return None

    def ask(self, name: str, subject: Subject, needs: tuple[str, ...], find: Callable[[], _Found]) -> _Found | None:
        """Return what ``find`` returns; None, and a gap, without what it ``needs`` or where the data do not suffice."""
        self._n_asked += 1
        if self._on_progress is not None:
            self._on_progress(self._n_asked)
        absent = next((need for need in needs if getattr(subject, need) is None), None)
        if absent is not None:
            self.gaps[name] = subject.missing.get(absent, f"there are no {absent.replace('_', ' ')}")
            return None
        try:
            return find()
        except (AnalysisError, CalibrationError) as error:
            self.gaps[name] = str(error)
            return None


def summarize(subject: Subject, on_progress: Callable[[int], None] | None = None) -> Figures:
    """Work out every figure that ``subject`` allows; ``on_progress`` hears how many of `N_FIGURES` were begun."""
    n_pictures = 0 if subject.pictures is None else len(subject.pictures)
    found = Figures(
        is_quick=subject.is_quick,
        trained_density=subject.trained_density,
        n_pictures=n_pictures,
        _on_progress=on_progress,
    )
    _resolution(found, subject)
    _motion(found, subject)
    for name, measure in (("supported_fraction", supported_fraction), ("left_out_fraction", left_out_fraction)):
        share = found.ask(name, subject, ("all_pictures", "counts"), partial(_of_all, subject, measure))
        setattr(found, name, share)
    _revise(found, subject)
    if subject.counts is not None and subject.pitch_nm is not None:
        found.sample = _sample(subject.counts, subject.pitch_nm)
    return found


def _sample(counts: Maps, pitch_nm: float) -> Sample:
    """Of the windows in the middle of the video."""
    first = max(0, (counts.shape[0] - SAMPLE_WINDOWS) // 2)
    return sample_of(np.asarray(counts[first : first + SAMPLE_WINDOWS]), pitch_nm, None)


def _of_all(subject: Subject, measure: Callable[..., float]) -> float:
    pictures = _known(subject.all_pictures)
    every = max(1, pictures.shape[0] // QUICK_PICTURES) if subject.is_quick else 1
    return measure(pictures, _known(subject.counts), subject.threshold, every=every)


def revision_name(before: str, after: str) -> str:
    """Return what a revision is called in ``gaps``; that by the full pass is the one most asked for."""
    return "revision" if (before, after) == ("bounded", "full") else f"revisions.{before}_to_{after}"


def _revise(found: Figures, subject: Subject) -> None:
    found.revised = subject.revised
    for step in STEPS:
        shares = found.ask(revision_name(*step), subject, step, partial(_revision, subject, *step))
        if shares is not None:
            found.revisions[step] = shares


def _resolution(found: Figures, subject: Subject) -> None:
    table, pixel_nm = subject.localizations, subject.pixel_size_nm
    needs = ("localizations", "pixel_size_nm")
    curve = found.ask(
        "frc_nm.localizations", subject, needs, lambda: frc_of_localizations(_known(table), _known(pixel_nm))
    )
    found.frc_localizations = curve
    found.frc_localizations_nm = found.resolution("frc_nm.localizations", curve)
    found.frc_rolling = found.ask(
        "frc_rolling_nm", subject, needs, lambda: _rolling(_known(table), _known(pixel_nm), subject.is_quick)
    )
    found.frc_regions = found.ask(
        "frc_regions_nm", subject, needs, lambda: frc_of_regions(_known(table), _known(pixel_nm))
    )
    halves, pitch_nm = subject.halves, subject.pitch_nm
    curve = found.ask(
        "frc_nm.reconstruction",
        subject,
        ("halves", "pitch_nm"),
        lambda: fourier_ring_correlation(*_known(halves), _known(pitch_nm)),
    )
    found.frc_reconstruction = curve
    found.frc_reconstruction_nm = found.resolution("frc_nm.reconstruction", curve)
    if subject.reference is not None:
        found.frc_reference = found.ask(
            "frc_nm.reference", subject, ("pictures", "pitch_nm", "reference"), lambda: _against_reference(subject)
        )
        found.frc_reference_nm = found.resolution("frc_nm.reference", found.frc_reference)
    found.decorrelation_nm = found.ask(
        "decorrelation_nm", subject, ("pictures", "pitch_nm"), lambda: _decorrelation(subject)
    )


def _motion(found: Figures, subject: Subject) -> None:
    """Drift, and consistency after its correction."""
    # Consistency needs the shifts in pixels alone.
    in_pixels = found.ask("drift_nm", subject, ("pictures",), lambda: drift_of_video(_known(subject.pictures), 1.0))
    if in_pixels is not None:
        found.drift = found.ask("drift_nm", subject, ("pitch_nm", "windows"), lambda: _in_nm(in_pixels, subject))
    found.drift_localizations = found.ask(
        "drift_localizations_nm",
        subject,
        ("localizations", "pixel_size_nm"),
        lambda: _rcc(_known(subject.localizations), _known(subject.pixel_size_nm), subject.is_quick),
    )
    if subject.has_fiducials:
        found.fiducials = found.ask("fiducials", subject, ("localizations", "pixel_size_nm"), lambda: _beads(subject))
    found.consistency_as_shown = found.ask(
        "consistency_as_shown", subject, ("pictures",), lambda: consistency(_known(subject.pictures))
    )
    found.consistency = found.ask(
        "consistency", subject, ("pictures",), lambda: _consistency(_known(subject.pictures), in_pixels)
    )


def _rcc(table: Localizations, pixel_size_nm: float, is_quick: bool) -> Drift:
    if len(table) < MIN_FOR_RCC:
        raise AnalysisError(
            f"expected {MIN_FOR_RCC} localizations or more, found {len(table)}: chance would decide the drift"
        )
    n_frames = int(table["frame"].max()) - int(table["frame"].min()) + 1
    return redundant_cross_correlation(table, pixel_size_nm, -(-n_frames // QUICK_SEGMENTS) if is_quick else None)


def _beads(subject: Subject) -> FiducialTracks:
    table, pixel_size_nm = _known(subject.localizations), _known(subject.pixel_size_nm)
    start = find_fiducials(table, pixel_size_nm)
    if not len(start):
        raise AnalysisError("expected a bead that is seen in four of five frames from the first one on, found none")
    return track_fiducials(table, pixel_size_nm, start)


def _against_reference(subject: Subject) -> FrcCurve:
    """Of the middle picture against a reference picture, or of all against those of a reference video."""
    pictures, reference = _known(subject.pictures), _known(subject.reference)
    if reference.ndim == 2:
        pictures = pictures[len(pictures) // 2]
    return fourier_ring_correlation(pictures, reference, _known(subject.pitch_nm))


def _rolling(table: Localizations, pixel_size_nm: float, is_quick: bool) -> RollingFrc:
    n_frames = int(table["frame"].max()) - int(table["frame"].min()) + 1 if len(table) else 0
    if n_frames < 2 * N_STRETCHES:
        raise AnalysisError(f"expected {2 * N_STRETCHES} frames or more for a resolution over time, found {n_frames}")
    span = n_frames // N_STRETCHES
    return rolling_frc(table, pixel_size_nm, span, span if is_quick else None)


def _decorrelation(subject: Subject) -> float:
    pictures, pitch_nm = _known(subject.pictures), _known(subject.pitch_nm)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), N_DECORRELATED)).round().astype(int))
    resolution_nm, reason = [], "there are no pictures"
    for picture in pictures[chosen]:
        try:
            resolution_nm.append(decorrelation_analysis(picture, pitch_nm).resolution_nm)
        except AnalysisError as error:
            reason = str(error)
    if not resolution_nm:
        raise AnalysisError(reason)
    return float(np.median(resolution_nm))


def _in_nm(in_pixels: Drift, subject: Subject) -> Drift:
    """A path over the pictures, in pixels, as one over their windows in nm."""
    pitch_nm, windows = _known(subject.pitch_nm), _known(subject.windows)
    time = windows[in_pixels.time.astype(np.int64)].astype(np.float64)
    return Drift(time, in_pixels.y_nm * pitch_nm, in_pixels.x_nm * pitch_nm)


def _consistency(pictures: FloatImage, drift_px: Drift | None) -> float:
    if drift_px is None:
        return consistency(pictures)  # which says why there is none
    shifts = np.stack(drift_px.at(np.arange(len(pictures))), axis=1)
    still, inside = undo_motion(pictures, shifts)
    return consistency(still, inside)


def _revision(subject: Subject, before: str, after: str) -> npt.NDArray[np.float64]:
    changed = revision(_known(getattr(subject, before)), _known(getattr(subject, after)))
    if not np.isfinite(changed).any():
        raise AnalysisError("expected pictures that show something, found none")
    return changed


def _known(value: _Found | None) -> _Found:
    """Return ``value``, which `Figures.ask` has checked."""
    if value is None:
        raise AnalysisError("expected a value, found none")
    return value
