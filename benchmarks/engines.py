"""Which engines keep the pictures right, and how much faster each of them is.

    python -m benchmarks.engines [--model filaments] [--videos 3] [--windows 100] [--presets P ...]
        [--released FOLDER] [--docs docs] [--json FILE]

Every engine of ``reconstruct.engine`` that this machine has makes the pictures of the same maps as the live line does,
lookahead 8 and hop 4: those of `dblink_live.simulate.video.PRESETS`, and with ``--released`` those of the released
simulator (`benchmarks.released_videos`). F1 at 1 px is the mean over the videos of a column, cut at the threshold of
the checkpoint. An engine is fit for use where no column differs from eager by more than .002. Engines take turns on
every video; times are per window, as ratios to eager on the same video (their median).
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.quality import columns_of
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.metrics import evaluate
from dblink_live.errors import ModelError
from dblink_live.models import Model, StreamingEngine, load_model
from dblink_live.pipeline.network_runner import Engine, NetworkRunner
from dblink_live.simulate.video import PRESETS
from dblink_live.types import Shape

LOOKAHEAD, HOP = 8, 4
ENGINES: tuple[Engine, ...] = ("eager", "bfloat16", "compile")
MAX_DIFFERENCE = 0.002
"""Of F1 from eager."""


@dataclass
class Contender:
    """One engine."""

    runner: NetworkRunner
    f1: list[float] = field(default_factory=list)
    """At 1 px, one entry per column."""
    seconds: list[float] = field(default_factory=list)
    """Per window, one entry per video."""


def pictures_of(runner: NetworkRunner, maps: np.ndarray) -> tuple[np.ndarray, float]:
    """Pictures [T, H, W] of ``maps`` [T, H, W] uint16, and seconds per window without the first hop."""
    engine = StreamingEngine(runner.network, LOOKAHEAD, HOP, n_together=HOP if runner.device.type == "cuda" else 1)
    state, present = engine.start(Shape(*maps.shape[1:])), torch.ones(1)
    found: list[np.ndarray] = []
    started, n_timed = 0.0, 0
    with runner.computing():
        for t, counts in enumerate(maps):
            if t == LOOKAHEAD + 2 * HOP:
                started = time.perf_counter()
            made, state = engine.push(runner.upload(counts), present, state)
            found += [image for image, _ in runner.download(made)]
            n_timed += bool(started)
        seconds = (time.perf_counter() - started) / max(n_timed, 1)
        found += [image for image, _ in runner.download(engine.flush(state))]
    return np.stack(found), seconds


def engines_here(model: Model) -> dict[str, Contender]:
    """The engines that can run here; why others cannot is printed."""
    found = {}
    for engine in ENGINES:
        try:
            found[engine] = Contender(NetworkRunner(model, engine))
        except ModelError as error:
            print(f"{engine}: {error}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--videos", type=int, default=3, help="videos per preset")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--released", type=Path, help="folder of videos by the authors' own simulator")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--docs", type=Path, help="write the table into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    report = Report("engines", {"model": options.model, "videos": options.videos, "windows": options.windows})
    model = load_model(options.model)
    contenders = engines_here(model)
    names = []
    for name, videos in columns_of(options.presets, options.windows, options.videos, options.released):
        names.append(name)
        scores: dict[str, list[float]] = {engine: [] for engine in contenders}
        for video in videos:
            for engine, contender in contenders.items():
                pictures, seconds = pictures_of(contender.runner, video.counts)
                contender.seconds.append(seconds)
                scores[engine].append(evaluate(pictures, video.truth, model.threshold).f1_1px)
        for engine, contender in contenders.items():
            contender.f1.append(statistics.mean(scores[engine]))
    text = _table(names, contenders)
    print(text)
    if options.docs is not None:
        head = measured_with([model], time.perf_counter() - began)
        write_block(find_page(options.docs, "quality"), "engines", f"{head}\n\n{text}")
    report.add("f1_1px", {engine: dict(zip(names, one.f1, strict=True)) for engine, one in contenders.items()})
    report.add("seconds_per_window", {engine: one.seconds for engine, one in contenders.items()})
    report.finish(options.json)


def _table(names: list[str], contenders: dict[str, Contender]) -> str:
    eager = contenders["eager"]
    rows: list[list[object]] = []
    for engine, one in contenders.items():
        ratio = statistics.median(theirs / own for theirs, own in zip(eager.seconds, one.seconds, strict=True))
        largest = max(abs(own - theirs) for own, theirs in zip(one.f1, eager.f1, strict=True))
        verdict = f"{largest:.5f}, {'kept' if largest <= MAX_DIFFERENCE else 'not kept'}"
        rows.append([engine, f"{ratio:.1f}", verdict, *(f"{f1:.4f}" for f1 in one.f1)])
    return markdown_table(["engine", "times faster", "largest difference of F1", *names], rows)


if __name__ == "__main__":
    main()
