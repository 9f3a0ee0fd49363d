"""``dblink-live analyze``: resolution, drift, consistency and support of a run or a reconstruction."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.table import Table

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive
from dblink_live.cli.result import Outcome
from dblink_live.errors import AnalysisError, input_accepted
from dblink_live.workflows.drift_correction import check_undrifted, write_undrifted
from dblink_live.workflows.progress import CONSOLE, say

if TYPE_CHECKING:
    from dblink_live.analysis.drift.drift import Drift
    from dblink_live.analysis.drift.fiducials import FiducialTracks
    from dblink_live.analysis.resolution.frc import FrcCurve
    from dblink_live.analysis.resolution.regions import RegionFrc
    from dblink_live.analysis.summary import Figures
    from dblink_live.workflows.analysis_input import Chosen

NOTES = (
    "a network's prior makes its pictures agree with each other, and draws sharp lines: judge by the FRC of the raw "
    "localizations, whatever that of the reconstruction says",
    "on a moving sample, drift absorbs motion; consistency is counted after it is undone",
)

QUICK_NOTE = (
    "measured quickly, on some of the pictures and without running the network again; --full measures everything"
)


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "analyze",
        run=run,
        help="measure resolution (FRC, decorrelation), drift, consistency and support of a run or a reconstruction",
        example="dblink-live analyze cell1.run --json",
    )
    parser.add_argument(
        "path", metavar="RUN|R", type=Path, help="a run folder, or a reconstruction: .ome.zarr, .npy, .npz or .tif"
    )
    parser.add_argument(
        "--product", choices=("live", "full"), help="pictures of a run (default: the full pass where there is one)"
    )
    parser.add_argument(
        "--segment", metavar="N", type=not_negative_int, help="segment of a run (default: the longest one)"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="measure what takes long, too: run the network again, over two halves of the frames and for provisional "
        "pictures, and look at every window",
    )
    parser.add_argument("--no-split", action="store_true", help=argparse.SUPPRESS)  # now the default
    parser.add_argument(
        "--model", metavar="M", help="network to run again, by name or checkpoint (default: the run's own)"
    )
    parser.add_argument(
        "--fiducials",
        action="store_true",
        help="look for beads, seen in nearly every frame, and measure drift and rotation by them as well",
    )
    parser.add_argument(
        "--reference",
        metavar="F",
        type=Path,
        help="a picture, or a video of as many windows, on the same pixels, for instance of conventional STORM: the "
        "FRC of the reconstruction against it is measured as well",
    )
    parser.add_argument(
        "--undrift",
        metavar="OUT",
        type=Path,
        help="write the run's localizations (.csv, .hdf5, ...) or maps (.npy) with the drift taken away, as beads tell "
        "it (--fiducials) or redundant cross-correlation",
    )
    parser.add_argument(
        "--pitch-nm", metavar="NM", type=positive, help="side of a pixel of a reconstruction that does not state it"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.analysis.summary import N_FIGURES, summarize
    from dblink_live.workflows.analysis_input import AnalysisSettings, open_subject

    if options.undrift is not None:
        check_undrifted(options.undrift)
    settings = AnalysisSettings(
        product=options.product,
        segment=options.segment,
        full=options.full,
        model=options.model,
        fiducials=options.fiducials,
        reference=options.reference,
        undrift=options.undrift,
        pitch_nm=options.pitch_nm,
    )
    with open_subject(options.path, settings, CONSOLE) as chosen:
        with input_accepted(), CONSOLE.bar("measuring", N_FIGURES, "figures") as advance:
            found = summarize(chosen.subject, advance)
        if options.undrift is not None:
            with input_accepted():
                source = write_undrifted(
                    options.undrift, chosen.subject, found, chosen.window_frames, chosen.first_frame
                )
            say(f"{options.undrift}: without the drift that {source} tells")
    for name, reason in found.gaps.items():
        say(f"{name} is unknown: {reason}")
    return Outcome(text=_table(options.path, chosen, found), figures=figures_of(options.path, chosen, found))


def figures_of(path: Path, chosen: Chosen, found: Figures) -> dict[str, object]:
    """What ``--json`` prints."""
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
            "localizations": _half_bit_nm(found.frc_localizations),
            "reconstruction": _half_bit_nm(found.frc_reconstruction),
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
        "drift_nm": _largest_nm(drift),
        "drift_path_nm": None
        if drift is None
        else {"window": _plain(drift.time), "y": _plain(drift.y_nm), "x": _plain(drift.x_nm)},
        "drift_localizations_nm": _largest_nm(found.drift_localizations),
        "fiducials": _fiducials(found.fiducials),
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
        "notes": _notes(found),
    }


def _notes(found: Figures) -> list[str]:
    return [*NOTES, QUICK_NOTE] if found.is_quick else [*NOTES]


def _table(path: Path, chosen: Chosen, found: Figures) -> Table:
    where = path.name if chosen.product is None else f"{path.name}, {chosen.product}, segment {chosen.segment}"
    table = Table(title=where, title_justify="left", caption="\n".join(_notes(found)), caption_justify="left")
    for column in ("figure", "value"):
        table.add_column(column)
    rolling = found.frc_rolling
    over_time = "unknown" if rolling is None else " ".join(_text(value) for value in rolling.resolution_nm)
    rows = {
        "FRC (1/7) of the raw localizations [nm]": _bounded(
            found.frc_localizations_nm, found.at_most_nm("frc_nm.localizations")
        ),
        "    with the half-bit threshold [nm]": _text(_half_bit_nm(found.frc_localizations)),
        "    of stretches of time, each a fifth of the recording [nm]": over_time,
        "    of the regions, best / median / worst [nm]": _extremes(found.frc_regions),
        "FRC (1/7) of the reconstruction, from two halves of the frames [nm]": _bounded(
            found.frc_reconstruction_nm, found.at_most_nm("frc_nm.reconstruction")
        ),
        "decorrelation analysis of the pictures [nm]": _text(found.decorrelation_nm),
        "drift of the pictures, largest distance from the first [nm]": _text(_largest_nm(found.drift)),
        "drift of the localizations [nm]": _text(_largest_nm(found.drift_localizations)),
        "consistency between every two pictures, drift undone": _text(found.consistency, 3),
        "share of the predicted pixels that localizations support": _text(found.supported_fraction, 3),
        "share of the localizations where nothing is predicted": _text(found.left_out_fraction, 3),
        "share of a picture that was revised: provisional to bounded": _text(
            found.median_revision("provisional", "bounded"), 3
        ),
        "    bounded to full": _text(found.revision, 3),
        "    provisional to full": _text(found.median_revision("provisional", "full"), 3),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    if chosen.subject.reference is not None:
        against = _bounded(found.frc_reference_nm, found.at_most_nm("frc_nm.reference"))
        table.add_row("FRC (1/7) of the reconstruction against the reference [nm]", against)
    if found.fiducials is not None:
        beads = _fiducials(found.fiducials) or {}
        table.add_row("beads / their drift [nm] / turn at the end [degree]", " / ".join(map(str, beads.values())))
    return table


def _half_bit_nm(curve: FrcCurve | None) -> float | None:
    """The stricter threshold says "no resolution" of poor data more often: a gap of its own, beside that of 1/7."""
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


def _extremes(regions: RegionFrc | None) -> str:
    if regions is None:
        return "unknown"
    found = regions.resolution_nm()
    known = found[np.isfinite(found)]
    if not len(known):
        return "unknown"
    return " / ".join(_text(float(value)) for value in (known.min(), np.median(known), known.max()))


def _largest_nm(drift: Drift | None) -> float | None:
    return None if drift is None else drift.max_nm


def _fiducials(tracks: FiducialTracks | None) -> dict[str, float | None] | None:
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


def _bounded(value: float | None, at_most_nm: float | None) -> str:
    return _text(value) if at_most_nm is None else f"below {at_most_nm:.1f}, the size of two pixels"


def _text(value: float | None, digits: int = 1) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.{digits}f}"
