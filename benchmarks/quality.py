"""Scores of trained models on videos that neither training nor calibration has seen.

    python -m benchmarks.quality [--videos 4] [--windows 200] [--models M ...] [--presets P ...] [--json FILE]

The videos are those of `dblink_live.simulate.video.PRESETS`, drawn with seeds of their own; a seed whose video has no
structure in its field is passed over, because nothing can be found there. A column pools all videos of a preset, at
the threshold stored in the checkpoint. Beside the models stands the plain sum, given its best half-width, blur and
threshold *on these very videos*, an advantage that no network gets. Lookaheads other than 0 and "full" run with hop 4,
as the live line does. ``--models`` takes names of shipped models or paths of checkpoints.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.report import Report, markdown_table
from dblink_live.analysis.metrics import Scores, best_threshold, evaluate, windowed_sum
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate.video import PRESETS, Video, VideoParameters, simulate_video

FIRST_SEED = 900_000
SEEDS_A_PRESET = 1000
SUM_HALF_WIDTHS = (10, 20, 40, 80)
SUM_BLURS_PX = (0.7, 1.0, 1.5, 2.0)
MEASURES = {
    "F1 at 1 px": lambda scores: scores.f1_1px,
    "F1 at 0 px": lambda scores: scores.f1_0px,
    "hallucination at 1 px": lambda scores: scores.hallucination[1],
    "the paper's fidelity": lambda scores: scores.fidelity,
    "the paper's false-positive rate": lambda scores: scores.false_positive_rate,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=4, help="videos a preset")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=["filaments", "mitochondria"])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--lookaheads", nargs="+", type=_lookahead, default=[0, 8, 25, "full"])
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("quality", {"videos": options.videos, "windows": options.windows})
    models = [load_model(name) for name in options.models]
    sums: list[float] = []
    scored: dict[str, list[Scores]] = {}
    for preset in options.presets:
        index = list(PRESETS).index(preset)
        videos = videos_with_structure(
            replace(PRESETS[preset], n_windows=options.windows), FIRST_SEED + SEEDS_A_PRESET * index, options.videos
        )
        sums.append(best_sum_f1(videos))
        for model, lookahead in itertools.product(models, options.lookaheads):
            started = time.perf_counter()
            label = f"{model.name}, lookahead {lookahead}"
            scored.setdefault(label, []).append(score(model, videos, lookahead))
            took_s = time.perf_counter() - started
            print(f"{preset}: {label}: F1 {scored[label][-1].f1_1px:.3f} ({took_s:.0f} s)", file=sys.stderr, flush=True)
    for name, measure in MEASURES.items():
        rows = [[label, *map(measure, columns)] for label, columns in scored.items()]
        if name == "F1 at 1 px":
            rows.insert(0, ["plain sum, best settings", *sums])
        print(markdown_table([name, *options.presets], rows), end="\n\n")
    report.add("plain_sum_f1_1px", dict(zip(options.presets, sums, strict=True)))
    report.add(
        "scores",
        {
            label: {preset: scores.to_json_dict() for preset, scores in zip(options.presets, columns, strict=True)}
            for label, columns in scored.items()
        },
    )
    report.finish(options.json)


def videos_with_structure(parameters: VideoParameters, first_seed: int, n_videos: int) -> list[Video]:
    """The first ``n_videos`` from ``first_seed`` on that show structure in every window."""

    def candidates() -> Iterator[Video]:
        for seed in range(first_seed, first_seed + SEEDS_A_PRESET):
            video = simulate_video(parameters, seed)
            if video.truth.any(axis=(1, 2)).all():
                yield video

    return list(itertools.islice(candidates(), n_videos))


def score(model: Model, videos: list[Video], lookahead: int | str) -> Scores:
    """Scores over ``videos`` together, at the checkpoint's threshold."""
    probability = np.concatenate([reconstruct(video.counts, model, lookahead) for video in videos])
    return evaluate(probability, np.concatenate([video.truth for video in videos]), model.threshold)


def best_sum_f1(videos: list[Video]) -> float:
    """F1 at 1 px of the plain sum at its best settings on ``videos``."""
    truth = np.concatenate([video.truth for video in videos])
    return max(
        best_threshold(
            np.concatenate([windowed_sum(video.counts, half, blur) for video in videos]), truth, n_thresholds=40
        )[1]
        for half in SUM_HALF_WIDTHS
        for blur in SUM_BLURS_PX
    )


def _lookahead(text: str) -> int | str:
    return text if text == "full" else int(text)


if __name__ == "__main__":
    main()
