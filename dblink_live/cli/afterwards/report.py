"""``dblink-live report``: a self-contained HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli.afterwards import analyze
from dblink_live.cli.options import (
    Verbs,
    add_camera_options,
    add_json,
    add_settings,
    add_table,
    add_verb,
    positive_int,
    settings_of,
)
from dblink_live.cli.result import Outcome
from dblink_live.errors import ConfigError, DblinkError, ModelError, PluginError
from dblink_live.workflows.progress import CONSOLE
from dblink_live.workflows.run_recording import is_run, make_run

if TYPE_CHECKING:
    from dblink_live.analysis.summary import Figures


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
    from dblink_live.report import write_report
    from dblink_live.store import open_run

    if is_run(options.path):
        _refuse_recording_options(options)
        # What is no run is refused before anything is worked out.
        open_run(options.path).close()
    else:
        config = settings_of(options)
        options.path = make_run(options.path, options.out, config, CONSOLE, channel=options.channel, unit=options.unit)
    found, measured = _figures(options)
    with CONSOLE.bar("reporting", None, "windows read") as advance:
        half_width = None if options.compare is None else options.compare // 2
        summary = write_report(options.path, found, on_progress=advance, compare_half_width=half_width)
    text = str(summary.path)
    if summary.gaps:
        text += f"\nnot known: {'; '.join(summary.gaps)}"
    return Outcome(
        text=text,
        figures={
            "run": str(options.path),
            "report": str(summary.path),
            "windows": summary.n_windows,
            "movie": summary.has_movie,
            "gaps": list(summary.gaps),
            "figures": measured,
        },
    )


def _figures(options: argparse.Namespace) -> tuple[Figures | str, dict[str, object] | None]:
    """What `analyze` finds in the run and prints of it, or why it finds nothing: a page with gaps beats no page."""
    from dblink_live.analysis.summary import N_FIGURES, summarize
    from dblink_live.workflows.analysis_input import AnalysisSettings, open_subject

    settings = AnalysisSettings(full=options.full, fiducials=options.fiducials, model=options.model)

    try:
        with (
            open_subject(options.path, settings, CONSOLE) as chosen,
            CONSOLE.bar("measuring", N_FIGURES, "figures") as advance,
        ):
            found = summarize(chosen.subject, advance)
            return found, analyze.figures_of(options.path, chosen, found)
    except DblinkError as error:
        if options.model is not None and isinstance(error, ModelError | PluginError):
            raise
        return str(error), None
