"""What is known of a run or a reconstruction, as figures that JSON can hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dblink_live.errors import AnalysisError, input_accepted
from dblink_live.workflows.drift_correction import check_corrected_path, write_corrected
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    from dblink_live.analysis.drift.drift import Drift
    from dblink_live.analysis.drift.fiducials import FiducialTracks
    from dblink_live.analysis.resolution.frc import FrcCurve
    from dblink_live.analysis.resolution.regions import RegionFrc
    from dblink_live.analysis.summary import Figures
    from dblink_live.store import Product, Run
    from dblink_live.workflows.inputs.analysis_input import AnalysisSettings, Chosen

NOTES = (
    "a network's prior makes its pictures agree with each other, and draws sharp lines: judge by the FRC of the raw "
    "localizations, whatever that of the reconstruction says",
    "on a moving sample, drift absorbs motion; consistency is counted after it is undone",
)

QUICK_NOTE = (
    "measured quickly, on some of the pictures and without running the network again; --full measures everything"
)


class Analysis(NamedTuple):
    """What was analysed, and what was found."""

    chosen: Chosen
    found: Figures


def analyze(
    run: Run | str | Path,
    *,
    product: Product | None = None,
    segment: int | None = None,
    full: bool = False,
    model: str | None = None,
    fiducials: bool = False,
    reference: str | Path | None = None,
    undrift: str | Path | None = None,
    pitch_nm: float | None = None,
    progress: bool | Progress = False,
) -> dict[str, object]:
    """Measure resolution, drift, consistency and support of a run or a reconstruction.

    Parameters
    ----------
    run
        A run or its folder, or a reconstruction: ``.ome.zarr``, ``.npy``, ``.npz`` or ``.tif``.
    product, segment, full, model, fiducials, reference, undrift, pitch_nm
        See `dblink_live.workflows.inputs.analysis_input.AnalysisSettings`.
    progress
        True shows a bar.

    Returns
    -------
    The figures that ``dblink-live analyze --json`` prints; None where one is unknown, for the reason in ``"gaps"``.

    Raises
    ------
    ConfigError, ModelError
        The run has no such product or segment, or the model does not fit.
    StoreError, SourceError
        Nothing is there, or it is damaged or of another kind.
    FileHeldError
        Another program holds ``undrift``; what was made is kept beside it, under the name that the error states.

    Examples
    --------
    >>> pictures = np.zeros((9, 64, 64), np.float32)
    >>> pictures[:, 30:34, 8:56] = 1.0
    >>> path = getfixture("tmp_path") / "line.npy"
    >>> np.save(path, pictures)
    >>> round(analyze(path, pitch_nm=40)["drift_nm"], 3)
    0.0
    """
    from dblink_live.workflows.inputs.analysis_input import AnalysisSettings

    path = Path(run) if isinstance(run, str | Path) else run.path
    settings = AnalysisSettings(
        product=product,
        segment=segment,
        full=full,
        model=model,
        fiducials=fiducials,
        reference=None if reference is None else Path(reference),
        undrift=None if undrift is None else Path(undrift),
        pitch_nm=pitch_nm,
    )
    return figures_of(path, *measure(path, settings, progress))


def measure(path: Path, settings: AnalysisSettings, progress: bool | Progress = False) -> Analysis:
    """Measure what `analyze` returns, and write what ``settings.undrift`` asks for."""
    from dblink_live.analysis.summary import N_FIGURES, summarize
    from dblink_live.workflows.inputs.analysis_input import open_subject

    report = progress_of(progress)
    if settings.undrift is not None:
        check_corrected_path(settings.undrift)
    with open_subject(path, settings, report) as chosen:
        with input_accepted(), report.bar("measuring", N_FIGURES, "figures") as advance:
            found = summarize(chosen.subject, advance)
        if settings.undrift is not None:
            with input_accepted():
                source = write_corrected(
                    settings.undrift, chosen.subject, found, chosen.window_frames, chosen.first_frame
                )
            report.note(f"{settings.undrift}: corrected for the drift found by {source}")
    return Analysis(chosen, found)


def figures_of(path: Path, chosen: Chosen, found: Figures) -> dict[str, object]:
    """Return the figures as JSON can hold them."""
    from dblink_live.analysis.summary import STEPS

    drift, rolling = found.drift, found.frc_rolling
    return {
        "path": str(path),
        "product": chosen.product,
        "segment": chosen.segment,
        "windows": {"all": chosen.n_windows, "looked_at": found.n_pictures},
        "full": not found.is_quick,
        "pitch_nm": chosen.subject.pitch_nm,
        "frc_nm": {"localizations": found.frc_localizations_nm, "reconstruction": found.frc_reconstruction_nm},
        "frc_half_bit_nm": {
            "localizations": half_bit_nm(found.frc_localizations),
            "reconstruction": half_bit_nm(found.frc_reconstruction),
        },
        "frc_at_most_nm": {
            "localizations": found.at_most_nm("frc_nm.localizations"),
            "reconstruction": found.at_most_nm("frc_nm.reconstruction"),
        },
        "frc_reference_nm": found.frc_reference_nm,
        "frc_curves": {
            "reference": _curve(found.frc_reference),
            "localizations": _curve(found.frc_localizations),
            "reconstruction": _curve(found.frc_reconstruction),
        },
        "frc_rolling_nm": None
        if rolling is None
        else {
            "first_frame": rolling.frame.tolist(),
            "frames": rolling.span_frames,
            "localizations": _plain(rolling.resolution_nm),
        },
        "frc_regions_nm": _regions(found.frc_regions),
        "decorrelation_nm": found.decorrelation_nm,
        "drift_nm": max_drift_nm(drift),
        "drift_path_nm": None
        if drift is None
        else {"window": _plain(drift.time), "y": _plain(drift.y_nm), "x": _plain(drift.x_nm)},
        "drift_localizations_nm": max_drift_nm(found.drift_localizations),
        "fiducials": fiducials_of(found.fiducials),
        "consistency": found.consistency,
        "consistency_as_shown": found.consistency_as_shown,
        "supported_fraction": found.supported_fraction,
        "left_out_fraction": found.left_out_fraction,
        "revision": found.revision,
        "revisions": {f"{before}_to_{after}": found.median_revision(before, after) for before, after in STEPS},
        "revision_by_window": None
        if found.revised is None
        else {
            "window": found.revised.tolist(),
            **{f"{before}_to_{after}": _plain(shares) for (before, after), shares in found.revisions.items()},
        },
        "gaps": found.gaps,
        "notes": notes_of(found),
    }


def notes_of(found: Figures) -> list[str]:
    """Return what is to be said beside the figures."""
    return [*NOTES, QUICK_NOTE] if found.is_quick else [*NOTES]


def half_bit_nm(curve: FrcCurve | None) -> float | None:
    """Return the resolution by the half-bit threshold.

    The stricter threshold says "no resolution" of poor data more often: a gap of its own, beside that of 1/7.
    """
    if curve is None:
        return None
    try:
        return curve.resolution_nm("half-bit")
    except AnalysisError:
        return None


def _regions(regions: RegionFrc | None) -> dict[str, object] | None:
    if regions is None:
        return None
    return {
        "origin_nm": list(regions.origin_nm),
        "side_nm": regions.side_nm,
        "localizations": [_plain(row) for row in regions.resolution_nm()],
        "half_bit": [_plain(row) for row in regions.resolution_nm("half-bit")],
        "curves": [[_curve(curve) for curve in row] for row in regions.curves],
    }


def max_drift_nm(drift: Drift | None) -> float | None:
    """Return the largest shift; None where there is no drift curve."""
    return None if drift is None else drift.max_nm


def fiducials_of(tracks: FiducialTracks | None) -> dict[str, float | None] | None:
    """Return what beads tell of drift and rotation, as JSON holds it; None where there are none."""
    if tracks is None:
        return None
    turned = tracks.rotation_deg()
    known = turned[np.isfinite(turned)]
    return {
        "beads": tracks.position_nm.shape[1],
        "drift_nm": round(tracks.drift().max_nm, 3),
        "rotation_deg": round(float(known[-1]), 4) if len(known) else None,
    }


def _curve(curve: FrcCurve | None) -> dict[str, object] | None:
    if curve is None:
        return None
    return {"frequency_per_nm": _plain(curve.frequency_per_nm), "correlation": _plain(curve.correlation)}


def _plain(values: npt.NDArray[np.floating]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
