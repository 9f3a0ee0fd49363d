"""``dblink-live evaluate``: scores of a reconstruction against a known truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive
from dblink_live.cli.outcome import Outcome

if TYPE_CHECKING:
    from dblink_live.analysis.metrics import Scores


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "evaluate",
        run=run,
        help="score a reconstruction against a known truth",
        example="dblink-live evaluate --reconstruction out.ome.zarr --truth truth.npz --json",
    )
    parser.add_argument(
        "--reconstruction",
        metavar="R",
        type=Path,
        required=True,
        help="probability [T, H, W]: .npy, .npz (key X or reconstruction), .tif or .zarr; uint8 counts as 0-255",
    )
    parser.add_argument(
        "--truth",
        metavar="T",
        type=Path,
        required=True,
        help="structure where above 0, of the same shape: .npy, .npz (key Y or truth), .tif or .zarr",
    )
    parser.add_argument(
        "--threshold", metavar="P", type=positive, help="operating point, fixed beforehand on other data (default 0.5)"
    )
    parser.add_argument(
        "--tolerance-px",
        metavar="N",
        type=not_negative_int,
        default=1,
        help="how far a predicted pixel may lie from structure for the F1 score (default 1)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.analysis.metrics import evaluate
    from dblink_live.cli.videos import as_probability, read_video

    reconstruction = as_probability(
        read_video(options.reconstruction, npz_keys=("reconstruction", "X"), zarr_keys=("full", "live", "0"))
    )
    truth = read_video(options.truth, npz_keys=("truth", "Y"), zarr_keys=("truth", "0"))
    scores = evaluate(reconstruction, truth, threshold=options.threshold, tolerance_px=options.tolerance_px)
    return Outcome(text=_table(scores), figures=scores.to_json_dict())


def _table(scores: Scores) -> Table:
    table = Table("score", "value", title=f"threshold {scores.threshold:g}")
    radii = sorted(scores.recall)
    rows = {
        f"F1 at {scores.tolerance_px} px": scores.f1,
        **{f"recall at {r} px": scores.recall[r] for r in radii},
        **{f"hallucination at {r} px (share of the prediction)": scores.hallucination[r] for r in radii},
        "fidelity, as in the paper": scores.fidelity,
        "false-positive rate, as in the paper (share of the background)": scores.false_positive_rate,
        "PSNR [dB]": scores.psnr_db,
        "SSIM": scores.ssim,
        "temporal consistency": scores.temporal_consistency,
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:.4f}")
    return table
