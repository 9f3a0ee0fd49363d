"""``dblink-live verify``: whether a run folder is whole, and what is wrong if not."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "verify",
        run=run,
        help="check that a run is whole: every frame accounted for, every picture as it was written",
        example="dblink-live verify microtubules.run --json",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.store import verify_run

    with CONSOLE.bar("verifying", None, "windows") as advance:
        report = verify_run(options.path, on_progress=lambda done, total: advance(done))
    is_empty = not any(report.windows.values())
    if is_empty and report.status == "interrupted":
        report.problems.append("no window was committed: the run failed or was stopped before its first one")
    windows = ", ".join(f"{n} of {product}" for product, n in report.windows.items())
    lines = [f"note: {note}" for note in report.notes]
    lines += [f"problem: {problem}" for problem in report.problems]
    verdict = "the run is NOT whole" if not report.ok else "the run is empty" if is_empty else "the run is whole"
    lines.append(f"{verdict}; committed windows: {windows}")
    return Outcome(text="\n".join(lines), figures=report.to_json_dict(), status=0 if report.ok else 1)
