"""Experiment b: fixed microtubules on a stage that drifts by about 240 x 400 nm; the paper errs by 38 nm on average.

Windows of 100 frames are reconstructed, every picture is cross-correlated with the first, and the path is compared with
the truth. Redundant cross-correlation of the same localizations stands beside it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.validation.acquisition import FIELD_NM, PITCH_NM, PIXEL_NM, grid, record
from benchmarks.validation.figure import compose, panel, paths
from benchmarks.validation.outcome import Outcome, Row
from dblink_live.analysis.drift.cross_correlation import redundant_cross_correlation
from dblink_live.analysis.drift.drift import Drift, corrected_video, drift_of_video
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.motion import Bending, RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.simulate.structures.filaments import draw_network

WINDOW_FRAMES = 100
DRIFT_NM = (240.0, 400.0)
SWAY_NM = 40.0
"""The stage does not drift straight: it sways once by so much."""
FILAMENTS_PER_UM2 = 0.08
ON_PER_UM2 = 0.05
SEED = 62


def run(is_quick: bool, out: Path) -> Outcome:
    """Measure the drift of a simulated stage in two ways."""
    n_frames = 3000 if is_quick else 10_000
    stage = _stage(n_frames)
    rng = np.random.default_rng(SEED)
    filaments = draw_network(rng, FIELD_NM, 800.0, FILAMENTS_PER_UM2)
    motion = RigidMotion((DRIFT_NM[0] / n_frames, DRIFT_NM[1] / n_frames), 0.0, (0.0, 0.0))
    acquired = record(FilamentSpecimen(grid(), filaments, [motion], bending=stage), n_frames, ON_PER_UM2, SEED)
    counts = acquired.counts(WINDOW_FRAMES)
    model = load_model("filaments")
    pictures = reconstruct(counts, model, "full")
    ours = drift_of_video(pictures, PITCH_NM)
    middles = (np.arange(len(counts)) + 0.5) * WINDOW_FRAMES
    truth = _path(motion, stage, middles)
    rcc = redundant_cross_correlation(acquired.localizations, PIXEL_NM, max(WINDOW_FRAMES, n_frames // 20))
    found = {"by pictures": ours.at(np.arange(len(counts))), "RCC": rcc.at(middles)}
    rows: list[Row] = [("the paper, by pictures, against fiducials", "38", "-"), ("aim", "20 or less", "-")]
    for name, path in found.items():
        # Every path starts at its own first point: where it lies is not part of the question.
        error = np.hypot(*(np.array(path) - np.array(truth)) - _offset(path, truth))
        rows.append((f"here, {name}", f"{error.mean():.1f}", f"{error.max():.1f}"))
    still = corrected_video(counts.astype(np.float32), Drift(ours.time, ours.y_nm, ours.x_nm), PITCH_NM)
    compose(
        ["all frames", "all frames, drift undone", "one reconstruction", "path"],
        [[
            panel(counts.sum(axis=0), is_sum=True),
            panel(still.sum(axis=0), is_sum=True),
            panel(pictures[len(pictures) // 2]),
            paths({"truth": truth, **found}),
        ]],
        [""],
        out / "validation_drift.png",
    )  # fmt: skip
    header = ("", "mean error [nm]", "largest error [nm]")
    return Outcome(header, rows, (model,), {"frames": n_frames, "drift_nm": DRIFT_NM, "sway_nm": SWAY_NM})


def _stage(n_frames: int) -> Bending:
    """A wave so long that all of the field sways alike, once to and fro."""
    return Bending(
        amplitude_nm=np.array([[SWAY_NM, -SWAY_NM / 2]]),
        wave_per_nm=np.zeros((1, 2)),
        turn_per_frame=np.array([2 * math.pi / n_frames]),
        phase=np.zeros(1),
    )


def _path(motion: RigidMotion, stage: Bending, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True (y, x) in nm at ``frames``, against the first of them."""
    origin = np.zeros((1, 2))
    places = np.array([motion.apply(origin, t)[0] + stage.displacement(origin, t)[0] for t in frames])
    places -= places[0]
    return places[:, 0], places[:, 1]


def _offset(path: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return (np.array(path) - np.array(truth)).mean(axis=1, keepdims=True)
