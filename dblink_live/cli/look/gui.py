"""``dblink-live gui``: open the start page, in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from dblink_live.cli.options import Verbs, add_verb
from dblink_live.cli.result import Outcome

NAME = "gui"
"""The verb that the command means without any."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        NAME,
        run=run,
        help="open the start page: choose a source and a sample, start, look (also `dblink-live` alone)",
        example="dblink-live gui",
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="save the start page as a PNG and quit")


def run(options: argparse.Namespace) -> Outcome:
    # By its module name, never imported: on Windows torch and Qt cannot share a process, and this one may hold torch.
    command = [sys.executable, "-m", "dblink_live.viewer"]
    if options.screenshot is not None:
        command += ["--screenshot", str(options.screenshot)]
    page = subprocess.Popen(command)
    while True:
        try:
            return Outcome(status=min(abs(page.wait()), 2))
        except KeyboardInterrupt:
            continue  # the page got it as well and closes its windows
