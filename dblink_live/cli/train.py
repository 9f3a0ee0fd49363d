"""``dblink-live train``: a network for a structure, from simulated videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.console import say
from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb
from dblink_live.cli.outcome import Outcome, on_the_way


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "train",
        run=run,
        help="train a network on simulated videos and write a checkpoint",
        example="dblink-live train --config filaments.toml --out filaments.safetensors\n\n"
        "The same command goes on with a training that was interrupted.",
    )
    parser.add_argument("--config", metavar="F.toml", type=Path, required=True, help="settings; see docs/training.md")
    parser.add_argument("--out", metavar="CKPT", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--overwrite", action="store_true", help="train anew, whatever there is at CKPT")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.train import TrainingProgress, load_settings, train_to_checkpoint

    try:
        text = options.config.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the settings {options.config}: {error.strerror}") from error
    settings = load_settings(text, str(options.config))

    def show(progress: TrainingProgress) -> None:
        say(
            f"training {settings.name}: step {progress.step}, {100 * progress.fraction_done:.0f} %, "
            f"loss {progress.loss:.4f}, {progress.elapsed_s / 60:.1f} min"
        )

    with on_the_way():
        sha256 = train_to_checkpoint(settings, options.out, show, overwrite=options.overwrite, on_notice=say)
    return Outcome(
        text=f"trained {settings.name}: {options.out}",
        figures={"checkpoint": str(options.out), "sha256": sha256, "name": settings.name},
    )
