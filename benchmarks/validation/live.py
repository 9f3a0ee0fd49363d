"""Experiment d: living filaments in windows of 20 frames of 15 ms, 0.3 s, as in Fig. 5 of the paper.

The network is compared with what else can be made of the same localizations: the plain sum of one window of 0.3 s, the
sum of 300 frames that the paper shows, the best sum of any length, and blind sparse inpainting. Sums and inpainting are
cut at the threshold that is best on the truth; the network at the one stored with it. A figure shows some moments of
all of them, a movie the best of each kind side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.validation.acquisition import FIELD, PITCH_NM, PIXEL_NM, record
from benchmarks.validation.figure import compose, limits_of, panel, table_of_panels
from benchmarks.validation.movie import write_movie
from benchmarks.validation.outcome import Outcome, Row
from dblink_live.analysis.comparison.inpainting import BlindInpainter
from dblink_live.analysis.comparison.windowed_storm import best_windowed_storm, score_windowed_storm
from dblink_live.analysis.metrics import best_threshold, f1_at_thresholds, windowed_sum
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate.specimen import make_specimen
from dblink_live.types import FloatImage, Shape

WINDOW_FRAMES = 20
WINDOW_S = 0.3
SPEEDS = (4.5, 25.0)
"""Times that of the released simulator: up to 24 nm/s, which is what the network was trained for at such windows, and
up to 130 nm/s, far outside of its envelope, where windows of 10 frames should be taken instead."""
SPEED_NAMES = ("drift up to 24 nm/s", "drift up to 130 nm/s")
ON_PER_UM2 = 0.1
SEED = 63
PAPER_HALF_WIDTH = 7
"""15 windows of 20 frames: the 300 frames of the paper's windowed STORM."""
INPAINTED_HALF_WIDTHS = (0, 1, 3)
LOOKAHEADS = (8, "full")
MOVIE_PICTURES_PER_S = 6
TRUTH, SUM, INPAINTING, NETWORK = "truth", "best windowed STORM", "blind inpainting", "DBlink, full pass"


@dataclass(frozen=True)
class Video:
    """What one method makes of the whole recording, of windows evenly spread over it."""

    name: str
    pictures: npt.NDArray[np.generic]
    """[K, H, W]."""


@dataclass(frozen=True)
class Methods:
    """What each method makes of one recording, and its F1 at 1 px over the windows that are scored."""

    scores: dict[str, str]
    pictures: dict[str, FloatImage]
    """Of the windows that are scored, in the order of the figure."""
    truth: npt.NDArray[np.bool_]
    times_s: npt.NDArray[np.float64]
    movie: tuple[Video, ...]
    """Truth, sum, inpainting, network: the same windows of each."""
    movie_times_s: npt.NDArray[np.float64]


def run(is_quick: bool, out: Path) -> Outcome:
    """Score all methods on the same windows, at both speeds."""
    n_frames, n_scored, n_movie = (1600, 6, 20) if is_quick else (6000, 24, 75)
    model = load_model("filaments")
    compared = [compare(model, speed, n_frames, n_scored, n_movie) for speed in SPEEDS]
    rows: list[Row] = [(name, *(one.scores[name] for one in compared)) for name in compared[0].scores]
    shown = [(index, k) for index in range(len(SPEEDS)) for k in (n_scored // 2, n_scored - 1)]
    compose(
        [TRUTH, *compared[0].pictures],
        [
            [
                panel(compared[index].truth[k], is_truth=True),
                *(panel(images[k], is_sum="sum" in name) for name, images in compared[index].pictures.items()),
            ]
            for index, k in shown
        ],
        [f"x {SPEEDS[index]:g}, {compared[index].times_s[k]:.0f} s" for index, k in shown],
        out / "validation_live.png",
    )
    write_movie(_movie(compared), out / "validation_live.mp4", MOVIE_PICTURES_PER_S)
    settings = {"frames": n_frames, "speeds": SPEEDS, "windows_scored": n_scored}
    return Outcome(("F1 at 1 px", *SPEED_NAMES), rows, (model,), settings)


def compare(model: Model, speed: float, n_frames: int, n_scored: int, n_movie: int) -> Methods:
    """Record filaments that move at ``speed`` and try every method on them."""
    specimen = make_specimen("filaments", FIELD, PIXEL_NM, PITCH_NM, SEED, speed)
    acquired = record(specimen, n_frames, ON_PER_UM2, SEED)
    counts, truth = acquired.counts(WINDOW_FRAMES), acquired.truth(WINDOW_FRAMES)
    scored = _spread(len(counts), n_scored)
    scores: dict[str, str] = {}
    pictures: dict[str, FloatImage] = {}
    for half_width in (0, PAPER_HALF_WIDTH):
        name = f"plain sum, {_seconds(half_width)}"
        scores[name] = _score(score_windowed_storm(counts, truth, half_width, windows=scored).f1)
        pictures[name] = windowed_sum(counts, half_width)[scored]
    best = best_windowed_storm(counts, truth, windows=scored)
    name = "plain sum, best length"
    scores[name] = f"{_score(best.f1)} ({_seconds(best.half_width)})"
    sums = windowed_sum(counts, best.half_width, best.blur_px)
    pictures[name] = sums[scored]
    f1_of: dict[int, float] = {}
    for half_width in INPAINTED_HALF_WIDTHS:
        images = _inpainted(counts, half_width, scored)
        f1_of[half_width] = best_threshold(images, truth[scored])[1]
        scores[f"blind inpainting of {_seconds(half_width)}"] = _score(f1_of[half_width])
        if half_width == INPAINTED_HALF_WIDTHS[-1]:
            pictures[f"inpainting, {_seconds(half_width)}"] = images
    for lookahead in LOOKAHEADS:
        video = reconstruct(counts, model, lookahead)
        name = f"DBlink, {'full pass' if lookahead == 'full' else f'lookahead {lookahead}'}"
        scores[name] = _score(float(f1_at_thresholds(video[scored], truth[scored], np.array([model.threshold]))[0]))
    pictures[NETWORK] = video[scored]
    shown = _spread(len(counts), n_movie)
    half_width = max(f1_of, key=lambda width: f1_of[width])
    movie = (
        Video(TRUTH, truth[shown]),
        Video(f"{SUM}: {_seconds(best.half_width)}", sums[shown]),
        Video(f"{INPAINTING}: {_seconds(half_width)}", _inpainted(counts, half_width, shown)),
        Video(f"{NETWORK}: a picture every {WINDOW_S:g} s", video[shown]),
    )
    times_s = np.arange(len(counts)) * WINDOW_S
    return Methods(scores, pictures, truth[scored], times_s[scored], movie, times_s[shown])


def _movie(compared: list[Methods]) -> Iterator[Image.Image]:
    """One table of panels a moment; contrast is that of a video's middle picture throughout."""
    limits = [
        [limits_of(one.pictures[len(one.pictures) // 2], SUM in one.name) for one in each.movie] for each in compared
    ]
    for k, _ in enumerate(compared[0].movie_times_s):
        rows = [
            [
                panel(
                    video.pictures[k],
                    is_sum=SUM in video.name,
                    is_truth=video.name == TRUTH,
                    limits=own,
                    caption=video.name.partition(": ")[2],
                )
                for video, own in zip(each.movie, of_each, strict=True)
            ]
            for each, of_each in zip(compared, limits, strict=True)
        ]
        labels = [f"x {speed:g}, {each.movie_times_s[k]:.1f} s" for speed, each in zip(SPEEDS, compared, strict=True)]
        yield table_of_panels([TRUTH, SUM, INPAINTING, NETWORK], rows, labels)


def _spread(n_windows: int, n: int) -> slice:
    """``n`` windows at even distances, the same from both ends."""
    every = max(1, n_windows // n)
    return slice(every // 2, every * n, every)


def _seconds(half_width: int) -> str:
    return f"{(2 * half_width + 1) * WINDOW_S:.1f} s"


def _score(f1: float) -> str:
    return f"{f1:.3f}"


def _inpainted(counts: np.ndarray, half_width: int, windows: slice) -> FloatImage:
    inpainter = BlindInpainter(Shape(*counts.shape[1:]))
    return np.stack([inpainter.inpaint(image).image for image in windowed_sum(counts, half_width)[windows]])
