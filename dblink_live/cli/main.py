"""The command ``dblink-live``: finds the verb, runs it, turns its outcome into output and an exit status.

Exit status: 0 on success, 2 for wrong usage or input (one line on standard error), 1 for a failure on the way (or
the answer "no" of `verify`), 130 on Ctrl-C after an orderly finish. Verbs import what is heavy inside their ``run``,
so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from rich.console import Console

from dblink_live.cli.acquire import demo, resume
from dblink_live.cli.acquire import run as run_verb
from dblink_live.cli.afterwards import analyze, convert, export, localize, reconstruct, refine, report
from dblink_live.cli.develop import evaluate, simulate, train
from dblink_live.cli.look import gui, inspect, verify, view
from dblink_live.cli.options import GroupedParser, Parser, UsageError
from dblink_live.cli.result import INTERRUPTED, Outcome
from dblink_live.cli.setup import calibrate, doctor, keys, models
from dblink_live.errors import DblinkError
from dblink_live.version import __version__

SUCCESS, FAILURE, WRONG_USE = 0, 1, 2
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a model's card or a path from elsewhere could steer a terminal with."""

GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "Acquire": (demo, run_verb, resume),
    "Look": (gui, view, inspect, verify),
    "Afterwards": (refine, report, analyze, export, localize, reconstruct, convert),
    "Set up": (doctor, calibrate, models, keys),
    "For developers": (simulate, train, evaluate),
}
"""Verbs in the groups and the order of ``--help``. Each module has ``add_parser(verbs)``."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line ``args`` (None: the process's own) and return the exit status.

    Without a word the start page is opened.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file or pipe on Windows takes cp1252: a letter that it lacks is written as its number.
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    words = sys.argv[1:] if args is None else list(args)
    try:
        namespace = parser.parse_args(words or [gui.NAME])
    except UsageError as error:
        return _fail(str(error), WRONG_USE)
    except SystemExit as asked:  # --help and --version have printed their text
        return int(asked.code or 0)

    name = f"{parser.prog} {namespace.verb}"
    try:
        # What a library prints must not mix with the JSON object.
        with contextlib.redirect_stdout(sys.stderr) if namespace.json else contextlib.nullcontext():
            outcome: Outcome = namespace.run(namespace)
        _print(outcome, as_json=namespace.json)
        return outcome.status
    except DblinkError as error:
        if not error.is_input_error:
            return _fail(f"{name}: failed: {error}", FAILURE)
        return _fail(f"{name}: error: {error}", WRONG_USE)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python flushes standard output once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as error:
        return _fail(f"{name}: failed: {error}", FAILURE)
    except KeyboardInterrupt:
        return _fail(f"{name}: interrupted", INTERRUPTED)


def build_parser() -> GroupedParser:
    """Return the parser of the whole command line."""
    parser = GroupedParser(
        prog="dblink-live", description="Live super-resolved video beside Micro-Manager.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"dblink-live {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for title, modules in GROUPS.items():
        known = set(verbs.choices)
        for module in modules:
            module.add_parser(verbs)
        parser.groups[title] = [verb for name, verb in verbs.choices.items() if name not in known]
    return parser


def _print(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome.figures, allow_nan=False), flush=True)
    elif outcome.text:
        text = outcome.text.translate(_CONTROLS) if isinstance(outcome.text, str) else outcome.text
        Console(soft_wrap=True, highlight=False, markup=False).print(text)


def _fail(message: str, status: int) -> int:
    print(" ".join(message.split()).translate(_CONTROLS), file=sys.stderr, flush=True)
    return status
