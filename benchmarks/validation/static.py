"""Experiment f: a sample that stands still, its reconstruction against the conventional picture of all localizations.

The paper compares them by Fourier ring correlation and decorrelation analysis and finds them consistent to about 37 nm.
Here pictures have pixels of 40 nm, so nothing below 80 nm can be told by either.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.validation.acquisition import FIELD, PITCH_NM, PIXEL_NM, record
from benchmarks.validation.figure import compose, panel
from benchmarks.validation.outcome import Outcome, Row
from dblink_live.analysis.metrics import evaluate
from dblink_live.analysis.resolution.decorrelation import decorrelation_analysis
from dblink_live.analysis.resolution.frc import FrcCurve, fourier_ring_correlation, frc_of_localizations, split_blocks
from dblink_live.errors import AnalysisError
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.specimen import make_specimen

WINDOW_FRAMES = 20
ON_PER_UM2 = 0.1
SEED = 64
BLOCK_FRAMES = 100
"""Long against the on-time of a molecule, which would otherwise be in both halves."""


def run(is_quick: bool, out: Path) -> Outcome:
    """Compare one reconstruction with the sum of everything, and two reconstructions from halves of the frames."""
    n_frames = 2000 if is_quick else 10_000
    specimen = make_specimen("filaments", FIELD, PIXEL_NM, PITCH_NM, SEED, speed=0.0)
    acquired = record(specimen, n_frames, ON_PER_UM2, SEED)
    counts, truth = acquired.counts(WINDOW_FRAMES), acquired.truth(WINDOW_FRAMES)
    model = load_model("filaments")
    pictures = reconstruct(counts, model, "full")
    middle = len(pictures) // 2
    halves = [
        reconstruct(acquired.counts(WINDOW_FRAMES, half), model, "full")[middle]
        for half in split_blocks(acquired.localizations, BLOCK_FRAMES)
    ]
    storm = counts.sum(axis=0)
    rows: list[Row] = [
        ("the paper, reconstruction against STORM", "about 37 nm"),
        ("FRC, two halves of the localizations", _nm(_table_frc(acquired.localizations))),
        ("FRC, reconstruction against the sum of all localizations", _frc(pictures[middle], storm)),
        ("FRC, reconstruction against the truth", _frc(pictures[middle], truth[middle])),
        ("FRC, sum of all localizations against the truth", _frc(storm, truth[middle])),
        ("FRC, reconstructions from two halves (one prior, so too good)", _frc(*halves)),
        ("decorrelation, reconstruction", _decorrelation(pictures[middle])),
        ("decorrelation, sum of all localizations", _decorrelation(storm)),
        (
            "F1 at 1 px of the reconstruction",
            f"{evaluate(pictures[middle], truth[middle], model.threshold).f1_1px:.3f}",
        ),
    ]
    compose(
        ["truth", "sum of all frames", "one reconstruction", "from even blocks", "from odd blocks"],
        [[
            panel(truth[middle], is_truth=True),
            panel(storm, is_sum=True),
            *(panel(picture) for picture in (pictures[middle], *halves)),
        ]],
        [""],
        out / "validation_static.png",
    )  # fmt: skip
    return Outcome(("", "resolution"), rows, (model,), {"frames": n_frames, "window_frames": WINDOW_FRAMES})


def _table_frc(table: np.ndarray) -> FrcCurve:
    return frc_of_localizations(table, PIXEL_NM, block_frames=BLOCK_FRAMES)


def _frc(first: np.ndarray, second: np.ndarray) -> str:
    return _nm(fourier_ring_correlation(first, second, PITCH_NM))


def _nm(curve: FrcCurve) -> str:
    try:
        return f"{curve.resolution_nm('1/7'):.0f} nm"
    except AnalysisError:
        is_fine = curve.smoothed[-1] > curve.threshold("1/7")[-1]
        return f"finer than {2 * curve.pitch_nm:.0f} nm" if is_fine else "not known"


def _decorrelation(picture: np.ndarray) -> str:
    try:
        return f"{decorrelation_analysis(picture, PITCH_NM).resolution_nm:.0f} nm"
    except AnalysisError as error:
        return f"not known: {error}"
