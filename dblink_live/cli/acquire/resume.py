"""``dblink-live resume``: go on with a run that was interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.acquire.run import (
    add_settings_and_viewer,
    give_way_to,
    has_display,
    outcome_of_run,
    read_config,
    run_session,
)
from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "resume",
        run=run,
        help="go on with a run that was interrupted: redo what was in flight, then take further frames from its source",
        example="dblink-live resume cell1.run",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument(
        "--config", metavar="F.toml", type=Path, help="settings to compare: those that changed are refused by name"
    )
    add_settings_and_viewer(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.pipeline.live_run import LiveSession
    from dblink_live.pipeline.resume import open_resumed_run
    from dblink_live.store import open_run

    # The run first: what is wrong with its folder is told better by the store than by the reader of settings.
    with open_run(options.path) as stored:
        source = read_config(options.path, []).source.spec or ""
        n_windows = stored.committed_count("counts")
    config = read_config(options.config or options.path, options.overrides)

    def open_session() -> LiveSession:
        with CONSOLE.bar("replaying what was stored", n_windows, "windows") as advance:
            return open_resumed_run(options.path, config, on_progress=lambda done, _: advance(done))

    if source:
        give_way_to(source)
    view = has_display() if options.view is None else options.view
    return outcome_of_run(run_session(open_session, view=view), source)
