"""``dblink-live report``: a self-contained HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.console import progress
from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.outcome import Outcome


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "report",
        run=run,
        help="write a self-contained HTML page about a run: what was done, why to believe it, pictures, a movie",
        example="dblink-live report cell1.run",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder; the page is written into its report/")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.report import write_report

    with progress("reporting", None, "windows read") as advance:
        summary = write_report(options.path, on_progress=advance)
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
