"""``dblink-live report``: a self-contained HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli import analyze
from dblink_live.cli.console import progress
from dblink_live.cli.options import Parser, Verbs, add_json, add_verb
from dblink_live.cli.outcome import Outcome
from dblink_live.errors import DblinkError, ModelError, PluginError

if TYPE_CHECKING:
    from dblink_live.analysis.summary import Figures


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "report",
        run=run,
        help="write a self-contained HTML page about a run: what was done, why to believe it, pictures, a movie",
        example="dblink-live report cell1.run",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder; the page is written into its report/")
    parser.add_argument(
        "--no-split",
        dest="split",
        action="store_false",
        help="do not reconstruct again from two halves of the frames; the FRC of the reconstruction is then a gap",
    )
    parser.add_argument(
        "--model", metavar="M", help="network for the two halves, by name or checkpoint (default: the run's own)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.report import write_report
    from dblink_live.store import open_run

    # What is no run is refused before anything is worked out.
    open_run(options.path).close()
    found = _figures(options)
    with progress("reporting", None, "windows read") as advance:
        summary = write_report(options.path, found, on_progress=advance)
    text = str(summary.path)
    if summary.gaps:
        text += f"\nnot known: {'; '.join(summary.gaps)}"
    return Outcome(
        text=text,
        figures={
            "run": str(options.path),
            "report": str(summary.path),
            "windows": summary.n_windows,
            "movie": summary.has_movie,
            "gaps": list(summary.gaps),
        },
    )


def _figures(options: argparse.Namespace) -> Figures | str:
    """What `analyze` finds in the run, or why it finds nothing: a page with gaps is better than no page."""
    from dblink_live.analysis.summary import N_FIGURES, summarize
    from dblink_live.cli.subject import open_subject

    try:
        with open_subject(_for_analyze(options)) as chosen, progress("measuring", N_FIGURES, "figures") as advance:
            return summarize(chosen.subject, advance)
    except DblinkError as error:
        if options.model is not None and isinstance(error, ModelError | PluginError):
            raise
        return str(error)


def _for_analyze(options: argparse.Namespace) -> argparse.Namespace:
    """What `analyze` would be told, its own defaults included."""
    parser = Parser(prog="dblink-live")
    analyze.add_parser(parser.add_subparsers(dest="verb"))
    told = [] if options.split else ["--no-split"]
    if options.model is not None:
        told += ["--model", options.model]
    return parser.parse_args(["analyze", *told, "--", str(options.path)])
