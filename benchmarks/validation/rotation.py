"""Experiment c: a sample that turns, turned back by its fiducial beads, against a reconstruction of the same at rest.

Windows of 40 frames. Beads are found among the localizations, followed window by window, and every picture is turned
back by the angle and shift that they tell. The paper's consistency is the mean correlation between every two pictures
after that; beside it stands the correlation of each with the picture of a second recording, in which nothing moves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.validation.acquisition import FIELD_NM, PITCH_NM, PIXEL_NM, grid, record
from benchmarks.validation.figure import compose, panel
from benchmarks.validation.outcome import Outcome, Row
from dblink_live.analysis.drift.fiducials import find_fiducials, track_fiducials
from dblink_live.analysis.trust.consistency import consistency, undo_motion
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.fiducials import Beads
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.simulate.structures.filaments import draw_network

WINDOW_FRAMES = 40
TURN_DEG_PER_WINDOW = 0.125
"""6 nm a window at the edge of the field: a tenth of a turn in a quarter of an hour at 50 ms per frame."""
FILAMENTS_PER_UM2 = 0.08
ON_PER_UM2 = 0.05
BEADS = np.array([(0.2, 0.25), (0.3, 0.75), (0.75, 0.4)])
"""Of the field, (y, x)."""
MASKED_NM = 200.0
"""Around the beads nothing is compared: they are no structure, whether the network leaves them out or draws them."""
SEED = 66


def run(is_quick: bool, out: Path) -> Outcome:
    """Turn the pictures of a turning sample back and compare them."""
    n_frames = 3200 if is_quick else 10_000
    filaments = draw_network(np.random.default_rng(SEED), FIELD_NM, 800.0, FILAMENTS_PER_UM2)
    centre = (FIELD_NM[0] / 2, FIELD_NM[1] / 2)
    turning = RigidMotion((0.0, 0.0), -TURN_DEG_PER_WINDOW / WINDOW_FRAMES, centre)
    beads = Beads(BEADS * FIELD_NM, turning)
    moving = record(FilamentSpecimen(grid(), filaments, [turning]), n_frames, ON_PER_UM2, SEED, beads)
    at_rest = RigidMotion((0.0, 0.0), 0.0, centre)
    resting = record(
        FilamentSpecimen(grid(), filaments, [at_rest]), n_frames, ON_PER_UM2, SEED + 1, Beads(BEADS * FIELD_NM, at_rest)
    )
    model = load_model("filaments")
    counts = moving.counts(WINDOW_FRAMES)
    pictures = reconstruct(counts, model, "full")
    static = reconstruct(resting.counts(WINDOW_FRAMES), model, "full")[len(counts) // 2]

    start_nm = find_fiducials(moving.localizations, PIXEL_NM)
    tracks = track_fiducials(moving.localizations, PIXEL_NM, start_nm, block_frames=WINDOW_FRAMES)
    angle_deg = tracks.rotation_deg()[: len(counts)]
    drift = tracks.drift()
    shift_px = np.stack(drift.at(WINDOW_FRAMES * (np.arange(len(counts)) + 0.5)), axis=1) / PITCH_NM
    pivot_px = tracks.position_nm[0].mean(axis=0) / PITCH_NM - 0.5
    back, inside = undo_motion(pictures, shift_px, angle_deg, (float(pivot_px[0]), float(pivot_px[1])))
    sums, _ = undo_motion(counts.astype(np.float32), shift_px, angle_deg, (float(pivot_px[0]), float(pivot_px[1])))
    inside &= _away_from(BEADS * FIELD_NM, inside.shape)

    truth_deg = TURN_DEG_PER_WINDOW * np.arange(len(counts))
    # Turned onto the grid again, even the truth is not quite itself: this is the most that pictures can reach.
    pivot_true = (centre[0] / PITCH_NM - 0.5, centre[1] / PITCH_NM - 0.5)
    masks = moving.truth(WINDOW_FRAMES).astype(np.float32)
    truth, inside_truth = undo_motion(masks, np.zeros((len(counts), 2)), truth_deg, pivot_true)
    with_static = [float(np.corrcoef(picture[inside], static[inside])[0, 1]) for picture in back]
    rows: list[Row] = [
        ("the paper: consistency", "0.91"),
        ("aim", "0.95 or more"),
        ("here: consistency between every two pictures, turned back", consistency(back, inside)),
        ("the same, not turned back", consistency(pictures, inside)),
        ("the same of the truth, turned back by the true angle", consistency(truth, inside & inside_truth)),
        ("correlation with the picture at rest, mean", float(np.mean(with_static))),
        ("the same, worst window", float(np.min(with_static))),
        ("beads found", len(start_nm)),
        ("angle turned [deg]", float(truth_deg[-1])),
        ("error of the angle by beads, mean [deg]", float(np.abs(angle_deg - truth_deg).mean())),
    ]
    last = len(counts) - 1
    compose(
        ["all frames", "all frames, turned back", f"picture {last}", f"picture {last}, turned back", "at rest"],
        [[
            *(panel(_without_glare(video.sum(axis=0)), is_sum=True) for video in (counts, sums)),
            *(panel(picture) for picture in (pictures[last], back[last], static)),
        ]],
        [""],
        out / "validation_rotation.png",
    )  # fmt: skip
    settings = {"frames": n_frames, "window_frames": WINDOW_FRAMES, "turn_deg_per_window": TURN_DEG_PER_WINDOW}
    return Outcome(("", "value"), rows, (model,), settings)


def _without_glare(picture: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Beads are a hundred times as bright as structure: cut where one pixel in 300 lies above."""
    values = np.asarray(picture, np.float32)
    return np.minimum(values, np.quantile(values, 1 - 1 / 300), dtype=np.float32)


def _away_from(places_nm: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels [H, W] farther than `MASKED_NM` from all of ``places_nm`` [N, 2], where the beads are at the start."""
    centres = (np.indices(shape) + 0.5) * PITCH_NM
    distance = np.linalg.norm(centres[:, None] - places_nm.T[:, :, None, None], axis=0)
    away: npt.NDArray[np.bool_] = (distance > MASKED_NM).all(axis=0)
    return away
