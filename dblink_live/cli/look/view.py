"""``dblink-live view``: start the viewer in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from dblink_live.cli.options import UsageError, Verbs, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.workflows.live.viewer_process import viewer_command, window_problem

JOURNAL = "journal.sqlite"
"""By this file a folder is known as a run, without importing the store."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "view",
        run=run,
        help="open the viewer on a run folder or a live run",
        example="dblink-live view microtubules.run",
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="RUN | tcp://HOST:PORT",
        help="a run folder, finished or live, or the address that a live run printed (default: the newest run here)",
    )
    parser.add_argument(
        "--keys",
        metavar="FOLDER",
        type=Path,
        help="keys for a run on another machine: client.key_secret and server.key",
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="save the window as a PNG and quit")


def run(options: argparse.Namespace) -> Outcome:
    problem = window_problem()
    if problem is not None and options.screenshot is None:
        raise UsageError(f"expected a screen that a window can be opened on: {problem}")
    # By its module name, never imported: on Windows torch and Qt cannot share a process, and this one may hold torch.
    command = viewer_command(_checked(options.target))
    if options.keys is not None:
        command += ["--keys", str(options.keys)]
    if options.screenshot is not None:
        command += ["--screenshot", str(options.screenshot)]
    viewer = subprocess.Popen(command)
    while True:
        try:
            return Outcome(status=min(abs(viewer.wait()), 1))
        except KeyboardInterrupt:
            continue  # the viewer got it as well and closes its window


def _checked(target: str | None) -> str:
    if target is None:
        return str(_newest_run(Path()))
    if "://" in target:
        if not target.startswith("tcp://"):
            raise UsageError(f"expected an address tcp://HOST:PORT, found {target}")
    elif not (Path(target) / JOURNAL).is_file():
        raise UsageError(f"expected a run folder or an address tcp://HOST:PORT, found no run at {target}")
    return target


def _newest_run(folder: Path) -> Path:
    """The run that was written to last, in ``folder`` or in its ``runs``."""
    journals = [*folder.glob(f"*/{JOURNAL}"), *folder.glob(f"runs/*/{JOURNAL}")]
    if not journals:
        raise UsageError(f"expected a run folder in {folder.resolve()}, found none; name one, or tcp://HOST:PORT")
    return max(journals, key=lambda journal: journal.stat().st_mtime).parent
