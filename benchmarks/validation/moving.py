"""What experiments a and e share: moving structure, reconstructed window by window and scored against where it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.validation.acquisition import FIELD, PITCH_NM, PIXEL_NM, record
from benchmarks.validation.figure import compose, panel
from benchmarks.validation.outcome import Row
from dblink_live.analysis.metrics import evaluate, windowed_sum
from dblink_live.models import Model, reconstruct
from dblink_live.simulate.specimen import make_specimen

WINDOW_FRAMES = 10
HEADER = ("", "fidelity", "false positives", "F1 at 1 px", "hallucination at 1 px")
LOOKAHEADS = (8, "full")
SUM_HALF_WIDTH = 12


@dataclass(frozen=True)
class Moving:
    """A specimen of `make_specimen`, which the shipped network of the same name is for."""

    kind: str
    speed: float
    """Times that of the released simulator, whose structures hardly move."""
    on_per_um2: float
    seed: int


def score(moving: Moving, model: Model, n_frames: int, figure: Path) -> list[Row]:
    """A row a lookahead, and a figure of three moments."""
    specimen = make_specimen(moving.kind, FIELD, PIXEL_NM, PITCH_NM, moving.seed, moving.speed)
    acquired = record(specimen, n_frames, moving.on_per_um2, moving.seed)
    counts, truth = acquired.counts(WINDOW_FRAMES), acquired.truth(WINDOW_FRAMES)
    rows: list[Row] = []
    for lookahead in LOOKAHEADS:
        pictures = reconstruct(counts, model, lookahead)
        scores = evaluate(pictures, truth, model.threshold)
        paper_scores = f"{scores.fidelity:.1%}", f"{scores.false_positive_rate:.1%}"
        own = f"{scores.f1_1px:.3f}", f"{scores.hallucination[1]:.3f}"
        name = "full pass" if lookahead == "full" else f"lookahead {lookahead}"
        rows.append((f"here, {name}", *paper_scores, *own))
    _draw(truth, counts, pictures, figure)
    return rows


def _draw(
    truth: npt.NDArray[np.bool_], counts: npt.NDArray[np.uint16], pictures: npt.NDArray[np.float32], figure: Path
) -> None:
    shown = [len(counts) // 6, len(counts) // 2, 5 * len(counts) // 6]
    sums = windowed_sum(counts, SUM_HALF_WIDTH)
    compose(
        ["truth", f"{WINDOW_FRAMES} frames", f"sum of {2 * SUM_HALF_WIDTH + 1} windows", "reconstruction, full pass"],
        [
            [
                panel(truth[t], is_truth=True),
                panel(counts[t], is_sum=True),
                panel(sums[t], is_sum=True),
                panel(pictures[t]),
            ]
            for t in shown
        ],
        [f"window {t}" for t in shown],
        figure,
    )
