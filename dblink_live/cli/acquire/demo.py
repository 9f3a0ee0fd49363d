"""``dblink-live demo``: the whole line on a living specimen whose truth is known."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from dblink_live.cli.options import Verbs, add_json, add_verb, positive_int
from dblink_live.cli.result import INTERRUPTED, Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.live.viewer_process import has_display
from dblink_live.workflows.progress import CONSOLE, say

DEFAULT_FRAMES = 1500
FPS = 50
SIDE_PX = 64
SEED = 7


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "demo",
        run=run,
        help="reconstruct moving, blinking filaments live, from a simulated camera behind a real Micro-Manager core",
        example="dblink-live demo --headless --frames 3000 --out demo.run",
    )
    parser.add_argument("--headless", action="store_true", help="open no window (so without a display anyway)")
    parser.add_argument(
        "--frames",
        metavar="N",
        type=positive_int,
        default=DEFAULT_FRAMES,
        help=f"camera frames at {FPS} a second (default {DEFAULT_FRAMES})",
    )
    parser.add_argument(
        "--out", metavar="RUN", type=Path, help="the run folder to make (default runs/demo-DATE-TIME.run)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.config import RunConfig
    from dblink_live.pipeline.scoring import figures_of_run, save_panels, score_if_simulated, table_of_run
    from dblink_live.workflows.run import run_live

    folder = options.out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}.run"
    source = f"sim:filaments?fps={FPS}&frames={options.frames}&size={SIDE_PX}&seed={SEED}"
    view = has_display() and not options.headless
    finished = run_live(source, folder, RunConfig(), view=view, progress=CONSOLE)
    with input_accepted():
        scores = score_if_simulated(source, finished)
        picture = save_panels(finished)
    if picture is not None:
        say(f"camera, plain sum and reconstruction side by side: {picture}")
    return Outcome(
        text=table_of_run(finished, scores),
        figures=figures_of_run(finished, scores),
        status=INTERRUPTED if finished.totals.stopped_early else 0,
    )
