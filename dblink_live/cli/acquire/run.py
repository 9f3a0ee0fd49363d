"""``dblink-live run``: a live run from a camera, a recorded stack or a simulated specimen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli import format_help
from dblink_live.cli.options import (
    UsageError,
    Verbs,
    add_camera_options,
    add_json,
    add_settings,
    add_verb,
    positive,
    settings_of,
)
from dblink_live.cli.result import INTERRUPTED, Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.inputs.guess_source import guess_source
from dblink_live.workflows.live.viewer_process import has_display
from dblink_live.workflows.progress import CONSOLE

if TYPE_CHECKING:
    from dblink_live.pipeline.live_run import LiveRun


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "run",
        run=run,
        help="reconstruct live from a camera, a recorded stack or a simulated specimen",
        example='dblink-live run --source "stack.tif?fps=50" --out stack.run --pixel-size-nm 108',
        details=format_help.recordings,
    )
    parser.add_argument(
        "--source",
        metavar="SPEC|FILE",
        help="a recorded stack, a folder in which Micro-Manager saves, or a .cfg file, whose kind is then guessed; or "
        "mm:core?config=FILE, mm:acquisition?events=PLAN, mm:live, sim:filaments, sim:mitochondria, or one of the "
        "recordings below; with options after '?' (needed unless --config names one)",
    )
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run folder to make")
    add_camera_options(parser)
    parser.add_argument(
        "--record",
        dest="overrides",
        action="append_const",
        const="store.record=true",
        default=[],
        help="also keep the camera frames (mm:core and sim:; recordings are kept already)",
    )
    add_settings(parser, "settings of the run, as a file; or a run folder whose run is repeated")
    add_live(parser)
    parser.add_argument(
        "--wait-s",
        metavar="S",
        type=positive,
        help="how long to wait for a Micro-Manager (mm:live) that is not there, or for a dataset in a watched folder "
        "(default: no time for the first, any time for the second)",
    )
    add_viewer(parser)
    add_json(parser)


def add_live(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is shown while the run goes on."""
    parser.add_argument(
        "--live-region",
        metavar="REGION",
        help="part of the field that is shown live: x,y,width,height in camera pixels, centre, densest or auto "
        "(default: the largest that holds); all of it is counted, stored and refined",
    )
    parser.add_argument(
        "--latency-s",
        metavar="S",
        type=positive,
        help="show no picture that is older than this (default: what the network waits for, and 2 s)",
    )


def add_viewer(parser: argparse.ArgumentParser) -> None:
    """Options about who looks at the run, that `run` and `resume` share."""
    parser.add_argument(
        "--publish",
        metavar="ADDRESS",
        dest="overrides",
        action=_Setting,
        const="publish.address",
        default=[],
        help="where viewers connect, tcp://127.0.0.1:PORT; beyond this machine (tcp://0.0.0.0:PORT) only with --keys",
    )
    parser.add_argument(
        "--keys",
        metavar="FOLDER",
        dest="overrides",
        action=_Setting,
        const="publish.keys",
        default=[],
        help="let in only viewers whose keys are in this folder, made by `dblink-live keys`",
    )
    viewer = parser.add_mutually_exclusive_group()
    viewer.add_argument("--view", dest="view", action="store_true", default=None, help="open the viewer")
    viewer.add_argument(
        "--no-view", dest="view", action="store_false", help="open no viewer (default without a display)"
    )


class _Setting(argparse.Action):
    """An option that is a setting with a shorter name: it counts as ``--set`` of the setting ``const``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        # A JSON string is a TOML string: whatever is in a path, it stays text.
        namespace.overrides = [*namespace.overrides, f"{self.const}={json.dumps(values, ensure_ascii=False)}"]


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.run import run_live

    config = settings_of(options)
    named = options.source or config.source.spec
    if named is None:
        raise UsageError("expected --source, or a --config that names one; see dblink-live run --help")
    source = guess_source(named, options.exposure_ms, options.roi, options.wait_s)
    finished = run_live(source, options.out, config, view=wants_viewer(options), progress=CONSOLE)
    return outcome_of_run(finished, source)


def wants_viewer(options: argparse.Namespace) -> bool:
    """Return whether the viewer is to be opened: as asked, else where there is a display."""
    return has_display() if options.view is None else bool(options.view)


def outcome_of_run(finished: LiveRun, source: str) -> Outcome:
    """Return what `run` and `resume` answer."""
    from dblink_live.pipeline.scoring import figures_of_run, score_if_simulated, table_of_run

    with input_accepted():
        scores = score_if_simulated(source, finished)
    return Outcome(
        text=table_of_run(finished, scores),
        figures=figures_of_run(finished, scores),
        status=INTERRUPTED if finished.totals.stopped_early else 0,
    )
