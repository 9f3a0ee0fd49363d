"""``dblink-live inspect``: what a file is, what it states, and what is missing or odd in it."""

from __future__ import annotations

import argparse

from dblink_live.cli import format_help
from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "inspect",
        run=run,
        help="say what a file is, what it states, what is missing or odd, and which command uses it",
        example="dblink-live inspect cell_1_MMStack_Pos0.ome.tif",
        details=format_help.recordings_and_tables,
    )
    parser.add_argument(
        "file", metavar="FILE", help="a recording, a localization table, a folder, or a source such as tiff:FOLDER"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.inspect import inspect

    found = inspect(options.file)
    return Outcome(text=found.text(), figures=found.to_plain(), status=0 if found.problem is None else 1)
