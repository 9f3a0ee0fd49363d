"""``dblink-live evaluate``: scores of a reconstruction against a known truth."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive
from dblink_live.cli.result import Outcome

if TYPE_CHECKING:
    from dblink_live.analysis.comparison.best_sums import BestSum
    from dblink_live.analysis.metrics import Scores


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "evaluate",
        run=run,
        help="score a reconstruction against a known truth",
        example="dblink-live evaluate --reconstruction out.ome.zarr --truth sim.npz --counts sim.npz",
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
    parser.add_argument(
        "--counts",
        metavar="C",
        type=Path,
        help="localization counts of the same shape: .npy, .npz (key X or counts), .tif or .zarr; the plain and the "
        "leaky sum are then scored beside, at the settings that are best for them",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.analysis.comparison.best_sums import best_leaky_sum, best_plain_sum
    from dblink_live.analysis.metrics import evaluate
    from dblink_live.workflows.videos.video_files import as_probability, read_video

    reconstruction = as_probability(
        read_video(options.reconstruction, npz_keys=("reconstruction", "X"), zarr_keys=("full", "live", "0"))
    )
    truth = read_video(options.truth, npz_keys=("truth", "Y"), zarr_keys=("truth", "0"))
    scores = evaluate(reconstruction, truth, threshold=options.threshold, tolerance_px=options.tolerance_px)
    sums = {}
    if options.counts is not None:
        counts = read_video(options.counts, npz_keys=("counts", "X"), zarr_keys=("counts", "0"))
        sums = {"plain sum": best_plain_sum([counts], [truth]), "leaky sum": best_leaky_sum([counts], [truth])}
    figures = scores.to_json_dict()
    figures |= {name.replace(" ", "_"): asdict(best) for name, best in sums.items()}
    return Outcome(text=_table(scores, sums), figures=figures)


def _table(scores: Scores, sums: Mapping[str, BestSum]) -> Table:
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
    for name, best in sums.items():
        length = f"+-{best.windows}" if name == "plain sum" else f"decay over {best.windows}"
        table.add_row(f"F1 at 1 px of the {name} ({length} windows, blur {best.blur_px} px)", f"{best.f1_1px:.4f}")
    return table
