"""Scores of the shipped models on videos that neither training nor calibration has seen.

    python -m benchmarks.quality [--videos 4] [--models M ...] [--presets P ...] [--json FILE]

Each preset of `dblink_live.simulate.video.PRESETS` is drawn with seeds of its own; a column is the F1 at 1 px over
all its
videos together, at the threshold stored in the checkpoint. The plain sum is given its best half-width, blur and
threshold *on these very videos*, an advantage that no network gets.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.report import Report, markdown_table
from dblink_live.analysis.metrics import best_threshold, evaluate, windowed_sum
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.video import PRESETS, Video, simulate_video

FIRST_SEED = 900_000
LOOKAHEADS: tuple[int | str, ...] = (0, 8, "full")
SUM_HALF_WIDTHS = (10, 20, 40, 80)
SUM_BLURS_PX = (0.7, 1.0, 1.5, 2.0)


def best_sum_f1(videos: list[Video]) -> float:
    """F1 at 1 px of the plain sum at its best settings on ``videos``."""
    truth = np.concatenate([video.truth for video in videos])
    scores = []
    for half in SUM_HALF_WIDTHS:
        for blur in SUM_BLURS_PX:
            summed = np.concatenate([windowed_sum(video.counts, half, blur) for video in videos])
            scores.append(best_threshold(summed, truth, n_thresholds=40)[1])
    return max(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=["filaments", "mitochondria"])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("quality", {"videos": options.videos, "windows": options.windows})
    rows: dict[str, list[float]] = {}
    details: list[dict[str, object]] = []
    for p, (preset, parameters) in enumerate(PRESETS.items()):
        if preset not in options.presets:
            continue
        videos = [
            simulate_video(replace(parameters, n_windows=options.windows), FIRST_SEED + 100 * p + v)
            for v in range(options.videos)
        ]
        truth = np.concatenate([video.truth for video in videos])
        rows.setdefault("plain sum, best settings", []).append(best_sum_f1(videos))
        for name in options.models:
            model = load_model(name)
            for lookahead in LOOKAHEADS:
                probability = np.concatenate([reconstruct(video.counts, model, lookahead) for video in videos])
                scores = evaluate(probability, truth, model.threshold)
                rows.setdefault(f"{name}, lookahead {lookahead}", []).append(scores.f1_1px)
                details.append({"preset": preset, "model": name, "lookahead": lookahead, **scores.to_json_dict()})
    print(markdown_table(["F1 at 1 px", *options.presets], [[name, *values] for name, values in rows.items()]))
    report.add("f1_1px", rows)
    report.add("details", details)
    report.finish(options.json)


if __name__ == "__main__":
    main()
