"""``dblink-live train``: a network for a structure, from simulated videos, or one for localization."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.table import Table

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.progress import say


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "train",
        run=run,
        help="train a network on simulated videos and write a checkpoint",
        example="dblink-live train --config live --out filaments.safetensors\n\n"
        "The same command goes on with a training that was interrupted. --config localizer trains the network of\n"
        "the dense localizer instead, --config deepstorm that of Deep-STORM; see docs/explanation/localizers.md.",
    )
    parser.add_argument(
        "--config", metavar="F", help="a shipped recipe or a .toml file of settings; see docs/how-to/training.md"
    )
    parser.add_argument("--out", metavar="CKPT", type=Path, help="the .safetensors file to write")
    parser.add_argument("--list", action="store_true", help="list the shipped recipes and train nothing")
    parser.add_argument("--overwrite", action="store_true", help="train anew, whatever there is at CKPT")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.train import (
        DeepStormSettings,
        LocalizerSettings,
        TrainingProgress,
        list_recipes,
        read_settings,
        train_localizer_to_checkpoint,
        train_to_checkpoint,
    )

    if options.list:
        return _listed(list_recipes())
    if options.config is None or options.out is None:
        raise UsageError("expected --config F and --out CKPT, or --list for the recipes; see dblink-live train --help")
    settings = read_settings(options.config)

    def show(progress: TrainingProgress) -> None:
        validation = "" if math.isnan(progress.validation_loss) else f", validation {progress.validation_loss:.4f}"
        say(
            f"training {settings.name}: step {progress.step}, {100 * progress.fraction_done:.0f} %, "
            f"loss {progress.loss:.4f}{validation}, {progress.elapsed_s / 60:.1f} min"
        )

    with input_accepted():
        if isinstance(settings, LocalizerSettings | DeepStormSettings):
            sha256 = train_localizer_to_checkpoint(settings, options.out, show, overwrite=options.overwrite)
        else:
            sha256 = train_to_checkpoint(settings, options.out, show, overwrite=options.overwrite, on_notice=say)
    if not sha256:  # one of several processes, of which the first one answers
        options.json = False
        return Outcome()
    return Outcome(
        text=f"trained {settings.name}: {options.out}",
        figures={"checkpoint": str(options.out), "sha256": sha256, "name": settings.name},
    )


def _listed(recipes: dict[str, str]) -> Outcome:
    table = Table("recipe", "what it is")
    for name, description in recipes.items():
        table.add_row(name, description)
    return Outcome(text=table, figures={"recipes": recipes})
