"""``dblink-live analyze``: resolution, drift, consistency and support of a run or a reconstruction."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.table import Table

from dblink_live.cli.console import progress, say
from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive
from dblink_live.cli.outcome import Outcome, on_the_way
from dblink_live.errors import AnalysisError

if TYPE_CHECKING:
    from dblink_live.analysis.drift import Drift
    from dblink_live.analysis.fiducials import FiducialTracks
    from dblink_live.analysis.frc import FrcCurve
    from dblink_live.analysis.summary import Figures
    from dblink_live.cli.subject import Chosen

NOTES = (
    "a network's prior makes its pictures agree with each other, and draws sharp lines: judge by the FRC of the raw "
    "localizations, whatever that of the reconstruction says",
    "on a moving sample, drift absorbs motion; consistency is counted after it is undone",
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
        "--no-split",
        dest="split",
        action="store_false",
        help="do not reconstruct again from two halves of the frames; the FRC of the reconstruction is then unknown",
    )
    parser.add_argument(
        "--model", metavar="M", help="network for the two halves, by name or checkpoint (default: the run's own)"
    )
    parser.add_argument(
        "--fiducials",
        action="store_true",
        help="look for beads, seen in nearly every frame, and measure drift and rotation by them as well",
    )
    parser.add_argument(
        "--pitch-nm", metavar="NM", type=positive, help="side of a pixel of a reconstruction that does not state it"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.analysis.summary import N_FIGURES, summarize
    from dblink_live.cli.subject import open_subject

    with open_subject(options) as chosen, on_the_way(), progress("measuring", N_FIGURES, "figures") as advance:
        found = summarize(chosen.subject, advance)
    for name, reason in found.gaps.items():
        say(f"{name} is unknown: {reason}")
    return Outcome(text=_table(options.path, chosen, found), figures=_figures(options.path, chosen, found))


def _figures(path: Path, chosen: Chosen, found: Figures) -> dict[str, object]:
    drift, rolling = found.drift, found.frc_rolling
    looked_at = chosen.subject.pictures
    return {
        "path": str(path),
        "product": chosen.product,
        "segment": chosen.segment,
        "windows": {"all": chosen.n_windows, "looked_at": 0 if looked_at is None else len(looked_at)},
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
        "frc_curves": {
            "localizations": _curve(found.frc_localizations),
            "reconstruction": _curve(found.frc_reconstruction),
        },
        "frc_rolling_nm": None
        if rolling is None
        else {"first_frame": rolling.frame.tolist(), "localizations": _plain(rolling.resolution_nm)},
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
        "revision": found.revision,
        "gaps": found.gaps,
        "notes": list(NOTES),
    }


def _table(path: Path, chosen: Chosen, found: Figures) -> Table:
    where = path.name if chosen.product is None else f"{path.name}, {chosen.product}, segment {chosen.segment}"
    table = Table(title=where, title_justify="left", caption="\n".join(NOTES), caption_justify="left")
    for column in ("figure", "value"):
        table.add_column(column)
    rolling = found.frc_rolling
    over_time = "unknown" if rolling is None else " ".join(_text(value) for value in rolling.resolution_nm)
    rows = {
        "FRC (1/7) of the raw localizations [nm]": _bounded(
            found.frc_localizations_nm, found.at_most_nm("frc_nm.localizations")
        ),
        "    of five stretches of time, one by one [nm]": over_time,
        "FRC (1/7) of the reconstruction, from two halves of the frames [nm]": _bounded(
            found.frc_reconstruction_nm, found.at_most_nm("frc_nm.reconstruction")
        ),
        "decorrelation analysis of the pictures [nm]": _text(found.decorrelation_nm),
        "drift of the pictures, largest distance from the first [nm]": _text(_largest_nm(found.drift)),
        "drift of the localizations [nm]": _text(_largest_nm(found.drift_localizations)),
        "consistency between every two pictures, drift undone": _text(found.consistency, 3),
        "share of the predicted pixels that localizations support": _text(found.supported_fraction, 3),
        "share of a picture that the full pass revised": _text(found.revision, 3),
    }
    for name, value in rows.items():
        table.add_row(name, value)
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


def _largest_nm(drift: Drift | None) -> float | None:
    return None if drift is None else drift.largest_nm


def _fiducials(tracks: FiducialTracks | None) -> dict[str, float | None] | None:
    if tracks is None:
        return None
    turned = tracks.rotation_deg()
    known = turned[np.isfinite(turned)]
    return {
        "beads": tracks.position_nm.shape[1],
        "drift_nm": round(tracks.drift().largest_nm, 3),
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
