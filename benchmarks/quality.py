"""Scores of trained models on videos that neither training nor calibration has seen.

    python -m benchmarks.quality [--videos 6] [--windows 200] [--models M ...] [--presets P ...] [--no-sums]
        [--released FOLDER] [--docs docs] [--json FILE]

The videos are those of `dblink_live.simulate.video.PRESETS`, drawn with seeds of their own; a seed whose video has no
structure in its field is passed over, because nothing can be found there. Networks are cut at the threshold stored in
their checkpoint. Each figure is the mean over the videos of a preset, for F1 at 1 px with the standard deviation from
video to video: the share of a field that is structure, and with it how hard a video is, varies thirtyfold. A table of
its own counts the pixels of all videos together, where the fullest field decides.

With ``--released``, a folder of videos by the authors' own simulator (`benchmarks.released_videos`), each preset that
these have a counterpart of gets a second column for them, and a last one takes their dense fields, of all conditions of
filaments, together.

Beside the models stand the plain sum and the leaky sum (`best_sums`), given their best length,
blur and threshold *on these very videos*, an advantage that no network gets; and the plain sum on a network's terms,
whose settings were the best on calibration videos of the default preset and serve for all presets. Lookaheads other
than 0 and "full" run with hop 4, as the live line does. ``--models`` takes names of shipped models or paths of
checkpoints; without a name behind it, the sums alone are scored. ``--docs`` writes the tables into the block of
``quality.md`` that is named after the models, or "sums", with "released" behind it where those videos are scored.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.released_videos import KINDS, is_dense, read_released
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.comparison.best_sums import best_leaky_sum, best_plain_sum, score_plain_sum
from dblink_live.analysis.metrics import Scores, evaluate
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate.video import PRESETS, Video, VideoParameters, simulate_video
from dblink_live.train.reconstruction.threshold import CALIBRATION_SEED

FIRST_SEED = 900_000
SEEDS_A_PRESET = 1000
SUM_SCORED_EVERY = 4
"""Windows apart: the sums change slowly."""
MEASURES = {
    "F1 at 0 px": lambda scores: scores.f1_0px,
    "recall at 1 px": lambda scores: scores.recall[1],
    "hallucination at 0 px": lambda scores: scores.hallucination[0],
    "hallucination at 1 px": lambda scores: scores.hallucination[1],
    "hallucination at 2 px": lambda scores: scores.hallucination[2],
    "the paper's fidelity": lambda scores: scores.fidelity,
    "the paper's false-positive rate": lambda scores: scores.false_positive_rate,
    "PSNR [dB]": lambda scores: scores.psnr_db,
    "SSIM": lambda scores: scores.ssim,
    "temporal consistency": lambda scores: scores.temporal_consistency,
}


@dataclass(frozen=True)
class Column:
    """Scores of one model on the videos of one preset."""

    videos: list[Scores]
    together: Scores
    """Of the pixels of all videos."""

    @property
    def f1_1px(self) -> tuple[float, float]:
        """Mean and standard deviation over the videos."""
        values = [scores.f1_1px for scores in self.videos]
        return float(np.mean(values)), float(np.std(values, ddof=min(1, len(values) - 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=6, help="videos a preset")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--models", nargs="*", default=["filaments", "mitochondria"])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--lookaheads", nargs="+", type=_lookahead, default=[0, 8, 25, "full"])
    parser.add_argument("--no-sums", action="store_true", help="networks alone: the sums take most of the time")
    parser.add_argument("--released", type=Path, help="folder of videos by the authors' own simulator")
    parser.add_argument("--docs", type=Path, help="write the tables into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    began = time.perf_counter()
    report = Report("quality", {"videos": options.videos, "windows": options.windows})
    models = [load_model(name) for name in options.models]
    if len({model.name for model in models}) < len(models):
        parser.error("expected models of different names: the tables tell them apart by theirs")
    sums: dict[str, list[float]] = {}
    if not options.no_sums:
        default = replace(PRESETS["default"], n_windows=options.windows)
        calibration = videos_with_structure(default, CALIBRATION_SEED, options.videos)
        fixed = best_plain_sum(*_split(calibration), SUM_SCORED_EVERY)
        print(f"plain sum, fixed beforehand: {fixed}", file=sys.stderr, flush=True)
    scored: dict[str, list[Column]] = {}
    columns = list(columns_of(options.presets, options.windows, options.videos, options.released))
    for preset, videos in columns:
        if not options.no_sums:
            counts, truth = _split(videos)
            for name, f1 in (
                ("plain sum, fixed on other videos", score_plain_sum(fixed, counts, truth, SUM_SCORED_EVERY)),
                ("plain sum, best settings", best_plain_sum(counts, truth, SUM_SCORED_EVERY).f1_1px),
                ("leaky sum, best settings", best_leaky_sum(counts, truth, SUM_SCORED_EVERY).f1_1px),
            ):
                sums.setdefault(name, []).append(f1)
        for model, lookahead in itertools.product(models, options.lookaheads):
            started = time.perf_counter()
            label = f"{model.name}, lookahead {lookahead}"
            column = score(model, videos, lookahead)
            scored.setdefault(label, []).append(column)
            took_s = time.perf_counter() - started
            print(f"{preset}: {label}: F1 {column.f1_1px[0]:.3f} ({took_s:.0f} s)", file=sys.stderr, flush=True)
    names = [name for name, _ in columns]
    text = tables(names, sums, scored)
    print(text)
    if options.docs is not None:
        head = measured_with(models, time.perf_counter() - began)
        name = " ".join(["quality", *(model.name for model in models)]) if models else "quality sums"
        name += " released" if options.released is not None else ""
        write_block(find_page(options.docs, "quality"), name, f"{head}\n\n{text}")
    report.add("sums", {name: dict(zip(names, values, strict=True)) for name, values in sums.items()})
    report.add(
        "scores",
        {
            label: {
                preset: {
                    "together": column.together.to_json_dict(),
                    "videos": [scores.to_json_dict() for scores in column.videos],
                }
                for preset, column in zip(names, of_model, strict=True)
            }
            for label, of_model in scored.items()
        },
    )
    report.finish(options.json)


def columns_of(
    presets: list[str], n_windows: int, n_videos: int, released: Path | None
) -> Iterator[tuple[str, list[Video]]]:
    """Name and videos of each column: our presets, and beside them the released simulator's videos."""
    dense: list[Video] = []
    for preset in presets:
        first_seed = FIRST_SEED + SEEDS_A_PRESET * list(PRESETS).index(preset)
        parameters = replace(PRESETS[preset], n_windows=n_windows)
        yield preset, videos_with_structure(parameters, first_seed, n_videos)
        if released is not None and preset in KINDS:
            theirs = read_released(released, preset, n_windows)
            yield f"{preset}, theirs", theirs
            dense += [video for video in theirs if is_dense(video) and preset != "mitochondria"]
    if dense:
        yield "dense, theirs", dense


def tables(presets: list[str], sums: dict[str, list[float]], scored: dict[str, list[Column]]) -> str:
    """One table a measure: a row a model and lookahead, a column a preset."""
    rows: list[list[object]] = [[name, *values] for name, values in sums.items()]
    for label, columns in scored.items():
        means = (column.f1_1px for column in columns)
        rows.append([label, *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in means)])
    parts = [markdown_table(["F1 at 1 px, mean and deviation over videos", *presets], rows)]
    if scored:
        rows = [[label, *(column.together.f1_1px for column in columns)] for label, columns in scored.items()]
        parts.append(markdown_table(["F1 at 1 px, pixels of all videos together", *presets], rows))
        for name, measure in MEASURES.items():
            rows = [
                [label, *(float(np.mean([measure(scores) for scores in column.videos])) for column in columns)]
                for label, columns in scored.items()
            ]
            parts.append(markdown_table([name, *presets], rows))
    return "\n\n".join(parts)


def videos_with_structure(parameters: VideoParameters, first_seed: int, n_videos: int) -> list[Video]:
    """The first ``n_videos`` from ``first_seed`` on that show structure in every window."""

    def candidates() -> Iterator[Video]:
        for seed in range(first_seed, first_seed + SEEDS_A_PRESET):
            video = simulate_video(parameters, seed)
            if video.truth.any(axis=(1, 2)).all():
                yield video

    return list(itertools.islice(candidates(), n_videos))


def score(model: Model, videos: list[Video], lookahead: int | str) -> Column:
    """Scores on ``videos``, each and together, at the checkpoint's threshold."""
    pictures = [reconstruct(video.counts, model, lookahead) for video in videos]
    each = [evaluate(shown, video.truth, model.threshold) for shown, video in zip(pictures, videos, strict=True)]
    truth = np.concatenate([video.truth for video in videos])
    return Column(each, evaluate(np.concatenate(pictures), truth, model.threshold))


def _split(videos: list[Video]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Counts and structure of each."""
    return [video.counts for video in videos], [video.truth for video in videos]


def _lookahead(text: str) -> int | str:
    return text if text == "full" else int(text)


if __name__ == "__main__":
    main()
