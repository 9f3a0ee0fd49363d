"""``dblink-live resume``: go on with a run that was interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.acquire.run import add_viewer, outcome_of_run, wants_viewer
from dblink_live.cli.options import Verbs, add_json, add_settings, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import CONSOLE
from dblink_live.workflows.settings import read_settings


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "resume",
        run=run,
        help="go on with a run that was interrupted",
        example="dblink-live resume cell1.run",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder")
    add_settings(parser, "settings to compare: those that changed are refused by name")
    add_viewer(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.store import open_run
    from dblink_live.workflows.run import resume

    # The run first: what is wrong with its folder is told better by the store than by the reader of settings.
    with open_run(options.path) as stored:
        source = read_settings(stored.config).source.spec or ""
    config = read_settings(options.config or options.path, options.overrides)
    finished = resume(options.path, config, view=wants_viewer(options), progress=CONSOLE)
    return outcome_of_run(finished, source)
