"""How much of a score is the seed, and what the loss is worth: the same recipes trained from several seeds.

    python -m benchmarks.seeds --folder FOLDER [--recipes live mse_control] [--seeds 1 2] [--steps 1000] [--processes 2]
        [--videos 4] [--windows 100] [--docs docs] [--json FILE]

Each recipe is trained anew from each seed, for the same number of steps, one thread a training; checkpoints go to
``FOLDER/RECIPE_SEED.safetensors``. Trainings that are finished there are taken as they are, interrupted ones go on. All
are then scored on the same videos, with seeds that neither training nor calibration has seen, at the threshold that
each calibrated for itself. So short a training is no measure of what a recipe reaches in the end; it is a fair one of
how far seeds and losses lie apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.quality import videos_with_structure
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.metrics import Scores, evaluate
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.video import PRESETS
from dblink_live.train import TrainingSettings, read_settings, train_to_checkpoint
from dblink_live.train.reconstruction.resume import side_file

FIRST_SEED = 960_000
SEEDS_A_PRESET = 1000
LOOKAHEADS: tuple[int | str, ...] = (8, "full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the checkpoints")
    parser.add_argument("--recipes", nargs="+", default=["live", "mse_control"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time")
    parser.add_argument("--videos", type=int, default=4, help="videos a preset")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument(
        "--presets", nargs="+", choices=list(PRESETS), default=["default", "half density", "3x speed", "8x speed"]
    )
    parser.add_argument("--docs", type=Path, help="write the tables into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    wanted = [(recipe, seed) for recipe in options.recipes for seed in options.seeds]
    options.folder.mkdir(parents=True, exist_ok=True)
    paths = {(recipe, seed): options.folder / f"{recipe}_{seed}.safetensors" for recipe, seed in wanted}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawn) as pool:
        trainings = [pool.submit(train_one, *key, options.steps, paths[key]) for key in wanted]
        for training in trainings:
            training.result()
    f1: dict[tuple[str, int | str], list[list[float]]] = {}
    mean_square: dict[str, list[list[float]]] = {}
    for preset in options.presets:
        videos = videos_with_structure(
            replace(PRESETS[preset], n_windows=options.windows),
            FIRST_SEED + SEEDS_A_PRESET * list(PRESETS).index(preset),
            options.videos,
        )
        for recipe in options.recipes:
            models = [load_model(paths[recipe, seed]) for seed in options.seeds]
            for lookahead in LOOKAHEADS:
                scored: list[list[Scores]] = [
                    [evaluate(reconstruct(v.counts, model, lookahead), v.truth, model.threshold) for v in videos]
                    for model in models
                ]
                f1.setdefault((recipe, lookahead), []).append(
                    [float(np.mean([scores.f1_1px for scores in each])) for each in scored]
                )
                if lookahead == "full":
                    # The error that the control minimizes, from its logarithm in dB.
                    mean_square.setdefault(recipe, []).append(
                        [float(np.mean([10 ** (-scores.psnr_db / 10) for scores in each])) for each in scored]
                    )
    n_seeds = len(options.seeds)
    first = f"F1 at 1 px, mean over {options.videos} videos; of {n_seeds} seeds the mean (lowest to highest)"
    rows = [[f"{recipe}, lookahead {sight}", *map(_spread, values)] for (recipe, sight), values in f1.items()]
    text = markdown_table([first, *options.presets], rows) + "\n\n"
    rows = [[f"{recipe}, full pass", *map(_spread, values)] for recipe, values in mean_square.items()]
    text += markdown_table(["mean square error", *options.presets], rows)
    print(text)
    if options.docs is not None:
        head = f"{options.steps} steps each; {measured_with([])}"
        write_block(find_page(options.docs, "quality"), "seeds", f"{head}\n\n{text}")
    report = Report("seeds", {key: str(value) for key, value in vars(options).items()})
    report.add("f1_1px", {f"{recipe}, lookahead {sight}": values for (recipe, sight), values in f1.items()})
    report.add("mean_square_error", mean_square)
    report.finish(options.json)


def train_one(recipe: str, seed: int, steps: int, path: Path) -> None:
    """Train ``recipe`` from ``seed``, unless that is done; an interrupted training goes on."""
    settings = read_settings(recipe)
    if not isinstance(settings, TrainingSettings):
        raise SystemExit(f"expected a recipe of a reconstruction network, found {recipe!r}")
    if path.exists() and not side_file(path).exists():
        return
    settings = msgspec.structs.replace(settings, seed=seed, steps=steps, max_minutes=0.0, threads=1)
    train_to_checkpoint(settings, path)
    print(f"trained {path}", flush=True)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
