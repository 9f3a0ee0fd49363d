"""Experiment d: living filaments in windows of 20 frames of 15 ms, 0.3 s, as in Fig. 5 of the paper.

The network is compared with what else can be made of the same localizations: the plain sum of one window of 0.3 s, the
sum of 300 frames that the paper shows, the best sum of any length, and blind sparse inpainting. Sums and inpainting are
cut at the threshold that is best on the truth; the network at the one stored with it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.validation.acquisition import FIELD, PITCH_NM, PIXEL_NM, record
from benchmarks.validation.figure import compose, panel
from benchmarks.validation.outcome import Outcome, Row
from dblink_live.analysis.inpainting import BlindInpainter
from dblink_live.analysis.metrics import best_threshold, f1_at_thresholds, windowed_sum
from dblink_live.analysis.windowed_storm import best_windowed_storm, score_windowed_storm
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.specimen import make_specimen
from dblink_live.types import FloatImage, Shape

WINDOW_FRAMES = 20
WINDOW_S = 0.3
SPEEDS = (4.5, 25.0)
"""Times that of the released simulator: up to 24 nm/s, which is what the network was trained for at such windows, and
up to 130 nm/s, far outside of its envelope, where windows of 10 frames should be taken instead."""
ON_PER_UM2 = 0.1
SEED = 63
PAPER_HALF_WIDTH = 7
"""15 windows of 20 frames: the 300 frames of the paper's windowed STORM."""
INPAINTED_HALF_WIDTHS = (0, 1, 3)
LOOKAHEADS = (8, "full")


@dataclass(frozen=True)
class Methods:
    """What each method makes of one recording, and its F1 at 1 px over the windows that are scored."""

    f1: dict[str, float]
    pictures: dict[str, FloatImage]
    """Of the windows that are scored, in the order of the figure."""
    truth: npt.NDArray[np.bool_]
    times_s: npt.NDArray[np.float64]


def run(is_quick: bool, out: Path) -> Outcome:
    """Score all methods on the same windows, at both speeds."""
    n_frames, n_scored = (1600, 6) if is_quick else (6000, 24)
    compared = {speed: compare(speed, n_frames, n_scored) for speed in SPEEDS}
    slow, fast = (compared[speed] for speed in SPEEDS)
    rows: list[Row] = [(name, f1, fast.f1[name]) for name, f1 in slow.f1.items()]
    shown = [(speed, k) for speed in SPEEDS for k in (n_scored // 2, n_scored - 1)]
    compose(
        ["truth", *slow.pictures],
        [
            [
                panel(compared[speed].truth[k], is_truth=True),
                *(panel(images[k], is_sum="sum" in name) for name, images in compared[speed].pictures.items()),
            ]
            for speed, k in shown
        ],
        [f"x {speed:g}, {compared[speed].times_s[k]:.0f} s" for speed, k in shown],
        out / "validation_live.png",
    )
    header = ("F1 at 1 px", *(f"speed x {speed:g}" for speed in SPEEDS))
    return Outcome(header, rows, {"frames": n_frames, "speeds": SPEEDS, "windows_scored": n_scored})


def compare(speed: float, n_frames: int, n_scored: int) -> Methods:
    """Record filaments that move at ``speed`` and try every method on them."""
    specimen = make_specimen("filaments", FIELD, PIXEL_NM, PITCH_NM, SEED, speed)
    acquired = record(specimen, n_frames, ON_PER_UM2, SEED)
    counts, truth = acquired.counts(WINDOW_FRAMES), acquired.truth(WINDOW_FRAMES)
    every = len(counts) // n_scored
    scored = slice(every // 2, every * n_scored, every)
    f1: dict[str, float] = {}
    pictures: dict[str, FloatImage] = {}
    for half_width in (0, PAPER_HALF_WIDTH):
        name = f"plain sum, {(2 * half_width + 1) * WINDOW_S:.1f} s"
        f1[name] = score_windowed_storm(counts, truth, half_width, windows=scored).f1
        pictures[name] = windowed_sum(counts, half_width)[scored]
    best = best_windowed_storm(counts, truth, windows=scored)
    print(f"speed {speed:g}: best plain sum of {best.n_windows} windows, blur {best.blur_px} px", file=sys.stderr)
    f1["plain sum, best length"] = best.f1
    pictures["plain sum, best length"] = windowed_sum(counts, best.half_width)[scored]
    for half_width in INPAINTED_HALF_WIDTHS:
        images = _inpainted(counts, half_width, scored)
        name = f"inpainting, {(2 * half_width + 1) * WINDOW_S:.1f} s"
        f1[name] = best_threshold(images, truth[scored])[1]
        if half_width == INPAINTED_HALF_WIDTHS[-1]:
            pictures[name] = images
    model = load_model("filaments")
    for lookahead in LOOKAHEADS:
        images = reconstruct(counts, model, lookahead)[scored]
        name = f"network, lookahead {lookahead}"
        f1[name] = float(f1_at_thresholds(images, truth[scored], np.array([model.threshold]))[0])
        if lookahead == LOOKAHEADS[-1]:
            pictures[name] = images
    return Methods(f1, pictures, truth[scored], np.arange(len(counts))[scored] * WINDOW_S)


def _inpainted(counts: np.ndarray, half_width: int, scored: slice) -> FloatImage:
    inpainter = BlindInpainter(Shape(*counts.shape[1:]))
    return np.stack([inpainter.inpaint(image).image for image in windowed_sum(counts, half_width)[scored]])
