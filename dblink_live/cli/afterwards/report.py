"""``dblink-live report``: a self-contained HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import (
    Verbs,
    add_camera_options,
    add_json,
    add_settings,
    add_table,
    add_verb,
    input_of,
    positive_int,
    settings_of,
)
from dblink_live.cli.result import Outcome
from dblink_live.errors import ConfigError
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "report",
        run=run,
        help="write a self-contained HTML page about a run: what was done, why to believe it, pictures, a movie",
        example="dblink-live report cell1.run",
    )
    parser.add_argument(
        "path",
        metavar="RUN|TABLE|STACK",
        type=Path,
        help="a run folder, into whose report/ the page is written; or a localization table or stack, of which a run "
        "is made first",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="measure what takes long, too: run the network again, over two halves of the frames and for provisional "
        "pictures, and look at every window",
    )
    parser.add_argument("--no-split", action="store_true", help=argparse.SUPPRESS)  # now the default
    parser.add_argument("--fiducials", action="store_true", help="look for beads, and measure drift by them as well")
    parser.add_argument(
        "--compare",
        metavar="N",
        type=positive_int,
        help="also show windowed STORM, a plain sum of N windows around each moment, and blind inpainting of 7",
    )
    _add_recording(parser)
    add_json(parser)


def _add_recording(parser: argparse.ArgumentParser) -> None:
    """Options that only a table or a stack needs."""
    parser.add_argument(
        "--out", metavar="RUN", type=Path, help="of a table or stack: the run folder to make (default: NAME.run here)"
    )
    add_camera_options(parser, "of a table or stack: ")
    add_table(parser)
    add_settings(parser, "of a table or stack: settings, as `run` takes them")


def _refuse_recording_options(options: argparse.Namespace) -> None:
    """Raise `ConfigError` where an option is given that a run folder has no use for."""
    given = {
        "--out": options.out,
        "--pixel-size-nm": options.pixel_size_nm,
        "--channel": options.channel,
        "--unit": options.unit,
        "--exposure-ms": options.exposure_ms,
        "--roi": options.roi,
        "--window": options.window,
        "--config": options.config,
        "--set": options.overrides or None,
    }
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"expected no {name} beside the run folder {options.path}, which has its own settings")


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.live.run_recording import is_run, make_run
    from dblink_live.workflows.report import write_run_report

    if is_run(options.path):
        _refuse_recording_options(options)
        folder = options.path
    else:
        source = input_of(options, str(options.path))
        config = settings_of(options)
        folder = make_run(
            options.path, source, options.out, config, CONSOLE, channel=options.channel, unit=options.unit
        )
    written = write_run_report(
        folder,
        full=options.full,
        fiducials=options.fiducials,
        compare=options.compare,
        model=options.model,
        progress=CONSOLE,
    )
    summary = written.summary
    text = f"{summary.path}\n{summary.verdict.light.value}: {summary.verdict.text}"
    if summary.gaps:
        text += f"\nnot known: {'; '.join(summary.gaps)}"
    return Outcome(
        text=text,
        figures={
            "run": str(folder),
            "report": str(summary.path),
            "windows": summary.n_windows,
            "movie": summary.has_movie,
            "gaps": list(summary.gaps),
            "verdict": {
                "light": summary.verdict.light.value,
                "reasons": [f"{reason.text}: {reason.advice}" for reason in summary.verdict.reasons],
            },
            "figures": written.figures,
        },
    )
