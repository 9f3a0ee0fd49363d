"""``dblink-live analyze``: resolution, drift, consistency and support of a run or a reconstruction."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import say

if TYPE_CHECKING:
    from dblink_live.analysis.resolution.regions import RegionFrc
    from dblink_live.analysis.summary import Figures
    from dblink_live.workflows.inputs.analysis_input import Chosen


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "analyze",
        run=run,
        help="measure resolution, drift and how far the pictures can be believed",
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
        "--pitch-nm", metavar="NM", type=positive, help="size of a pixel of a reconstruction that does not state it"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.analyze import figures_of, measure
    from dblink_live.workflows.inputs.analysis_input import AnalysisSettings

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
    chosen, found = measure(options.path, settings, progress=True)
    for name, reason in found.gaps.items():
        say(f"{name} is unknown: {reason}")
    return Outcome(text=_table(options.path, chosen, found), figures=figures_of(options.path, chosen, found))


def _table(path: Path, chosen: Chosen, found: Figures) -> Table:
    from dblink_live.workflows.analyze import fiducials_of, half_bit_nm, max_drift_nm, notes_of

    where = path.name if chosen.product is None else f"{path.name}, {chosen.product}, segment {chosen.segment}"
    table = Table(title=where, title_justify="left", caption="\n".join(notes_of(found)), caption_justify="left")
    for column in ("figure", "value"):
        table.add_column(column)
    rolling = found.frc_rolling
    over_time = "unknown" if rolling is None else " ".join(_text(value) for value in rolling.resolution_nm)
    rows = {
        "FRC (1/7) of the raw localizations [nm]": _bounded(
            found.frc_localizations_nm, found.at_most_nm("frc_nm.localizations")
        ),
        "    with the half-bit threshold [nm]": _text(half_bit_nm(found.frc_localizations)),
        "    of stretches of time, each a fifth of the recording [nm]": over_time,
        "    of the regions, best / median / worst [nm]": _extremes(found.frc_regions),
        "FRC (1/7) of the reconstruction, from two halves of the frames [nm]": _bounded(
            found.frc_reconstruction_nm, found.at_most_nm("frc_nm.reconstruction")
        ),
        "decorrelation analysis of the pictures [nm]": _text(found.decorrelation_nm),
        "drift of the pictures, largest distance from the first [nm]": _text(max_drift_nm(found.drift)),
        "drift of the localizations [nm]": _text(max_drift_nm(found.drift_localizations)),
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
        beads = fiducials_of(found.fiducials) or {}
        table.add_row("beads / their drift [nm] / turn at the end [degree]", " / ".join(map(str, beads.values())))
    return table


def _extremes(regions: RegionFrc | None) -> str:
    if regions is None:
        return "unknown"
    found = regions.resolution_nm()
    known = found[np.isfinite(found)]
    if not len(known):
        return "unknown"
    return " / ".join(_text(float(value)) for value in (known.min(), np.median(known), known.max()))


def _bounded(value: float | None, at_most_nm: float | None) -> str:
    return _text(value) if at_most_nm is None else f"below {at_most_nm:.1f}, the size of two pixels"


def _text(value: float | None, digits: int = 1) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.{digits}f}"
