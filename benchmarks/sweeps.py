"""How good the reconstruction is away from the conditions of the paper's simulator, one condition at a time.

    python -m benchmarks.sweeps [--quick] [--model filaments] [--out docs/images/sweeps.png] [--docs docs] [--json FILE]

Density, speed, noise and localization precision are swept around the released simulator, in its multiples (Saguy et
al., 2023, sweep the same in their supplement); then lookahead, the age of a stream, and how well the probabilities are
calibrated. Beside the network, live (lookahead 8, hop 4) and with the full pass, stand the centred and the leaky sum at
their best settings for each very condition (`best_sums`). The network keeps the threshold of its
checkpoint.

The picture needs matplotlib (`pip install matplotlib`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.quality import videos_with_structure
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.comparison.best_sums import best_leaky_sum, best_plain_sum
from dblink_live.analysis.metrics import evaluate
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate.video import PRESETS, Video, VideoParameters

FIRST_SEED = 950_000
LOOKAHEADS: tuple[int | str, ...] = (0, 1, 2, 4, 8, 16, 25, 50, "full")
LIVE, FULL = "lookahead 8", "full pass"
AGE_BLOCK = 10
"""Windows of one age that are scored together."""
N_BINS = 20
SUM_SCORED_EVERY = 4

Parameters = Callable[[VideoParameters, float], VideoParameters]


@dataclass(frozen=True)
class Sweep:
    """One condition: its values, and how a value changes a video."""

    name: str
    values: tuple[float, ...]
    change: Parameters


SWEEPS = (
    Sweep("density", (0.25, 0.5, 1.0, 2.0, 4.0), lambda base, x: replace(base, density=x)),
    Sweep("speed", (0.5, 1.0, 3.0, 8.0, 16.0), lambda base, x: replace(base, speed=x)),
    Sweep("noise", (0.0, 1.0, 2.0, 4.0, 8.0), lambda base, x: replace(base, noise=x)),
    Sweep("jitter [px]", (0, 1, 2, 3), lambda base, x: replace(base, jitter_px=int(x))),
)


@dataclass
class Curve:
    """F1 and hallucination at 1 px along one condition."""

    f1: list[float] = field(default_factory=list)
    hallucination: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one video of 60 windows a value instead of 2 of 120")
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--out", type=Path, default=Path("docs/images/sweeps.png"))
    parser.add_argument("--docs", type=Path, help="write the tables into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    began = time.perf_counter()
    n_videos, n_windows = (1, 60) if options.quick else (2, 120)
    model = load_model(options.model)
    report = Report("sweeps", {"model": model.name, "videos": n_videos, "windows": n_windows})
    base = replace(PRESETS["mitochondria" if model.name == "mitochondria" else "default"], n_windows=n_windows)
    swept = {sweep.name: run_sweep(sweep, base, model, n_videos) for sweep in SWEEPS}
    tables = []
    for sweep in SWEEPS:
        curves = swept[sweep.name]
        rows = [[name, *curve.f1] for name, curve in curves.items()]
        tables.append(markdown_table([f"F1 at 1 px, {sweep.name}", *sweep.values], rows))
        report.add(sweep.name, {name: vars(curve) for name, curve in curves.items()} | {"values": sweep.values})
    fast = videos_with_structure(replace(base, speed=8.0 * base.speed), FIRST_SEED, n_videos)
    normal = videos_with_structure(base, FIRST_SEED, n_videos)
    sight = {name: by_lookahead(model, videos) for name, videos in (("default", normal), ("8x speed", fast))}
    rows = [[name, *f1] for name, f1 in sight.items()]
    tables.append(markdown_table(["F1 at 1 px, lookahead", *LOOKAHEADS], rows))
    ages = by_age(model, normal)
    n_ages = len(next(iter(ages.values())))
    header = ["F1 at 1 px, windows from the start", *(AGE_BLOCK * block for block in range(n_ages))]
    tables.append(markdown_table(header, [[name, *f1] for name, f1 in ages.items()]))
    reliability = calibration(model, normal)
    tables.append(f"Expected calibration error: {reliability.error:.4f}")
    text = "\n\n".join(tables)
    print(text)
    if options.docs is not None:
        head = measured_with([model], time.perf_counter() - began)
        write_block(
            find_page(options.docs, "quality"), "sweeps", f"{head}; {n_videos} videos of {n_windows} windows\n\n{text}"
        )
    report.add("lookahead", {"values": LOOKAHEADS, **sight})
    report.add("age", {"windows": AGE_BLOCK, **ages})
    report.add("reliability", {"said": reliability.said, "true": reliability.true, "error": reliability.error})
    draw(model, swept, sight, ages, reliability, options.out)
    report.finish(options.json)


def run_sweep(sweep: Sweep, base: VideoParameters, model: Model, n_videos: int) -> dict[str, Curve]:
    """All four methods along one condition."""
    curves = {name: Curve() for name in (LIVE, FULL, "centred sum", "leaky sum")}
    for number, value in enumerate(sweep.values):
        print(f"{sweep.name} {value:g}", file=sys.stderr, flush=True)
        videos = videos_with_structure(sweep.change(base, value), FIRST_SEED + 1000 * number, n_videos)
        for name, lookahead in ((LIVE, 8), (FULL, "full")):
            scores = [
                evaluate(reconstruct(video.counts, model, lookahead), video.truth, model.threshold) for video in videos
            ]
            curves[name].f1.append(float(np.mean([score.f1_1px for score in scores])))
            curves[name].hallucination.append(float(np.mean([score.hallucination[1] for score in scores])))
        counts, truth = [video.counts for video in videos], [video.truth for video in videos]
        curves["centred sum"].f1.append(best_plain_sum(counts, truth, SUM_SCORED_EVERY).f1_1px)
        curves["leaky sum"].f1.append(best_leaky_sum(counts, truth, SUM_SCORED_EVERY).f1_1px)
    return curves


def by_lookahead(model: Model, videos: Sequence[Video]) -> list[float]:
    """Mean F1 at 1 px for each of `LOOKAHEADS`."""
    return [
        float(
            np.mean(
                [evaluate(reconstruct(v.counts, model, sight), v.truth, model.threshold).f1_1px for v in videos],
            )
        )
        for sight in LOOKAHEADS
    ]


def by_age(model: Model, videos: Sequence[Video]) -> dict[str, list[float]]:
    """F1 at 1 px of the windows of each age since the start of the stream, of all videos together."""
    truth = np.stack([video.truth for video in videos], axis=1)
    ages = {}
    for name, lookahead in ((LIVE, 8), (FULL, "full")):
        pictures = np.stack([reconstruct(video.counts, model, lookahead) for video in videos], axis=1)
        blocks = range(0, len(truth) - AGE_BLOCK + 1, AGE_BLOCK)
        ages[name] = [
            evaluate(_flat(pictures[t : t + AGE_BLOCK]), _flat(truth[t : t + AGE_BLOCK]), model.threshold).f1_1px
            for t in blocks
        ]
    return ages


@dataclass(frozen=True)
class Reliability:
    """Of the pixels that were given a probability, how many are structure (DeGroot & Fienberg, 1983)."""

    said: list[float]
    true: list[float]
    error: float
    """Expected calibration error (Naeini et al., 2015): mean |said - true| over the pixels."""


def calibration(model: Model, videos: Sequence[Video]) -> Reliability:
    """Reliability of the full pass, in bins of equal width."""
    said = np.concatenate([reconstruct(video.counts, model, "full").ravel() for video in videos])
    truth = np.concatenate([video.truth.ravel() for video in videos])
    which = np.minimum((said * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(which, minlength=N_BINS)
    filled = n > 0
    mean_said = np.bincount(which, said, N_BINS)[filled] / n[filled]
    mean_true = np.bincount(which, truth, N_BINS)[filled] / n[filled]
    error = float((np.abs(mean_said - mean_true) * n[filled]).sum() / n.sum())
    return Reliability(mean_said.tolist(), mean_true.tolist(), error)


def draw(
    model: Model,
    swept: dict[str, dict[str, Curve]],
    sight: dict[str, list[float]],
    ages: dict[str, list[float]],
    reliability: Reliability,
    path: Path,
) -> None:
    """All curves on one sheet."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 3, figsize=(13, 11), layout="constrained")
    for axis, sweep in zip(axes.flat, SWEEPS, strict=False):
        for name, curve in swept[sweep.name].items():
            axis.plot(sweep.values, curve.f1, "o-" if name in (LIVE, FULL) else "s--", label=name)
        if sweep.name in ("density", "speed"):
            axis.set_xscale("log", base=2)
        _name(axis, sweep.name, "F1 at 1 px")
        axis.legend(fontsize=8)
    rest = iter(axes.flat[len(SWEEPS) :])
    axis = next(rest)
    for name, f1 in sight.items():
        axis.plot(range(len(LOOKAHEADS)), f1, "o-", label=name)
    axis.set_xticks(range(len(LOOKAHEADS)), [str(sight) for sight in LOOKAHEADS])
    _name(axis, "lookahead [windows]", "F1 at 1 px")
    axis.legend(fontsize=8)
    axis = next(rest)
    for name, f1 in ages.items():
        axis.plot(AGE_BLOCK * np.arange(len(f1)), f1, "o-", label=name)
    _name(axis, "windows since the stream began", "F1 at 1 px")
    axis.legend(fontsize=8)
    axis = next(rest)
    axis.plot([0, 1], [0, 1], "k:", label="perfect")
    axis.plot(reliability.said, reliability.true, "o-", label=f"full pass, error {reliability.error:.4f}")
    axis.axvline(model.threshold, color="0.6", label="threshold")
    _name(axis, "probability said", "share that is structure")
    axis.legend(fontsize=8)
    axis = next(rest)
    for sweep in SWEEPS[:3]:
        curve = swept[sweep.name][LIVE]
        axis.plot(range(len(sweep.values)), curve.hallucination, "o-", label=f"{sweep.name} {sweep.values}")
    axis.set_xticks(range(5), ["first", "", "", "", "last"])
    _name(axis, f"value swept, {LIVE}", "hallucination at 1 px")
    axis.legend(fontsize=8)
    for axis in rest:
        axis.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    print(f"wrote {path}")


def _name(axis: Any, x: str, y: str) -> None:
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)


def _flat(stack: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[T, V, H, W] as [T * V, H, W]."""
    flat: npt.NDArray[Any] = stack.reshape(-1, *stack.shape[2:])
    return flat


if __name__ == "__main__":
    main()
