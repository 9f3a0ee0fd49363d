"""Do the trust maps find pixels that are wrong? The area under the ROC curve, on simulated videos whose truth is known.

    python -m benchmarks.trust [--videos 2] [--windows 100] [--model filaments] [--presets P ...] [--docs docs]

Among the pixels that the network predicts (above the threshold in its checkpoint), those farther than 1 px from
structure are wrong. Each map gives every predicted pixel a number; the area under the ROC curve is the probability that
of a right and a wrong pixel the right one has the higher number: 0.5 is a coin, 1 finds all. The network's own
probability stands beside the maps: a map that does no better tells nothing new.

Of a network that predicts its own errors, a second table compares what it predicts with what is wrong.

Windows of 10 frames are simulated as two blocks of 5, so that each half of the data has frames of its own.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.stats import mannwhitneyu, rankdata

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.quality import videos_with_structure
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.trust.support import HALF_WIDTH, RADIUS_PX, Support, split_consistency, support
from dblink_live.models import Model, StreamingEngine, bounded_pass, load_model, reconstruct
from dblink_live.simulate.video import PRESETS, Video

OWN, SUPPORT, PREDICTED = "the network's own probability", "support", "predicted errors"
FIRST_SEED = 940_000
SEEDS_A_PRESET = 1000
HALF_FRAMES = 5
TOLERANCE_PX = 1
SUPPORTS = ((8, 1), (16, 1), (HALF_WIDTH, RADIUS_PX), (HALF_WIDTH, 2), (32, 1))
"""Half-width in windows and radius in px."""
ERROR_BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Borders of predicted probabilities that a pixel is wrong."""


@dataclass(frozen=True)
class Scored:
    """Predicted pixels of some videos: whether each is wrong, and what each map says of it."""

    is_wrong: np.ndarray
    maps: dict[str, np.ndarray]

    def auc(self, name: str) -> float:
        """Probability that a right pixel has the higher number; NaN where all are right, or all wrong."""
        right, wrong = self.maps[name][~self.is_wrong], self.maps[name][self.is_wrong]
        if not (len(right) and len(wrong)):
            return float("nan")
        return float(mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2, help="videos a preset")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["default", "half density", "8x speed"])
    parser.add_argument("--lookahead", type=int, default=8)
    parser.add_argument("--docs", type=Path, help="write the table into analysis.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    started = time.perf_counter()
    report = Report("trust", {name: getattr(options, name) for name in ("videos", "windows", "model", "lookahead")})
    model = load_model(options.model)
    scored = {}
    for preset in options.presets:
        first_seed = FIRST_SEED + SEEDS_A_PRESET * list(PRESETS).index(preset)
        parameters = replace(PRESETS[preset], n_windows=2 * options.windows, window_frames=HALF_FRAMES)
        videos = videos_with_structure(parameters, first_seed, options.videos)
        parts = [score(model, video, options.lookahead) for video in videos]
        scored[preset] = pool(parts)
        print(f"{preset}: {len(scored[preset].is_wrong)} predicted pixels", file=sys.stderr, flush=True)
    names = list(next(iter(scored.values())).maps)
    rows: list[list[object]] = [["wrong pixels", *(float(one.is_wrong.mean()) for one in scored.values())]]
    rows += [[name, *(one.auc(name) for one in scored.values())] for name in names]
    table = markdown_table(["area under the ROC curve", *options.presets], rows)
    if PREDICTED in names:
        table += "\n\n" + reliability_table(scored)
    print(table)
    if options.docs is not None:
        head = measured_with([model], time.perf_counter() - started)
        write_block(find_page(options.docs, "analysis"), "trust", f"{head}\n\n{table}")
    report.add("wrong_share", {preset: float(one.is_wrong.mean()) for preset, one in scored.items()})
    report.add("auc", {preset: {name: one.auc(name) for name in names} for preset, one in scored.items()})
    report.finish(options.json)


def score(model: Model, video: Video, lookahead: int) -> Scored:
    """The predicted pixels of one video, with what each map says of them."""
    halves = video.counts[0::2], video.counts[1::2]
    counts, truth = halves[0] + halves[1], video.truth[0::2]
    of_halves = [reconstruct(maps, model, lookahead) for maps in halves]
    made = list(bounded_pass(StreamingEngine(model.network, lookahead), counts))
    picture = np.stack([one.probability.numpy() for one in made])
    predicted = picture > model.threshold
    side = 2 * TOLERANCE_PX + 1
    is_wrong = predicted & ~maximum_filter(truth, (1, side, side))
    maps = {OWN: picture}
    errors = [one.error.numpy() for one in made if one.error is not None]
    if errors:
        maps[PREDICTED] = -np.stack(errors)  # of a right and a wrong pixel, the right one has the higher number
    for half_width, radius_px in SUPPORTS:
        about = f"within {half_width} windows and {radius_px} px"
        seen = [support(counts, t, half_width, radius_px) for t in range(len(counts))]
        maps[f"support, {about}"] = _stack(seen, lambda one: one.n_localizations)
        if (half_width, radius_px) == (HALF_WIDTH, RADIUS_PX):
            maps[SUPPORT] = maps[f"support, {about}"]
            maps["youth of the nearest of them"] = _stack(seen, lambda one: -one.age_windows)
    for radius_px in (0, 1):
        maps[f"split consistency, {radius_px} px"] = split_consistency(*of_halves, radius_px=radius_px)
    return Scored(is_wrong[predicted], {name: values[predicted] for name, values in maps.items()})


def reliability_table(scored: dict[str, Scored]) -> str:
    """Share of the predicted pixels that is wrong, by the probability of that which the network predicts."""
    rows: list[list[object]] = []
    for low, high in itertools.pairwise(ERROR_BINS):
        shares = []
        for one in scored.values():
            error = -one.maps[PREDICTED]
            chosen = one.is_wrong[(error >= low) & ((error < high) | (high == 1.0))]
            shares.append(f"{chosen.mean():.3f} of {len(chosen):,}" if len(chosen) else "none")
        rows.append([f"{low:g} to {high:g}", *shares])
    return markdown_table(["wrong, by predicted error", *scored], rows)


def pool(parts: list[Scored]) -> Scored:
    """The predicted pixels of several videos together, with a number made of two maps beside those of each."""
    maps = {name: np.concatenate([part.maps[name] for part in parts]) for name in parts[0].maps}
    # Ranks put what has no common unit on one scale.
    maps["probability and support together"] = rankdata(maps[OWN]) + rankdata(maps.pop(SUPPORT))
    return Scored(np.concatenate([part.is_wrong for part in parts]), maps)


def _stack(seen: list[Support], of: Callable[[Support], np.ndarray]) -> np.ndarray:
    return np.stack([of(one) for one in seen])


if __name__ == "__main__":
    main()
