"""``dblink-live refine``: the full bidirectional pass over runs that have ended, into the same runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli.options import Verbs, add_json, add_verb, lookahead, positive_int
from dblink_live.cli.result import INTERRUPTED, Outcome
from dblink_live.workflows.refine import DEFAULT_MEMORY_MB

if TYPE_CHECKING:
    from dblink_live.refine import BackfillSummary, Refinement, RefineSummary


STOPPED_EARLY = "stopped early; the same command goes on"


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "refine",
        run=run,
        help="compute the best pictures of runs that have ended, each from all that came before and after it; goes on "
        "where it was stopped",
        example="dblink-live refine cell1.run --memory-mb 8000",
    )
    parser.add_argument("paths", metavar="RUN", type=Path, nargs="+", help="a run folder, or several")
    parser.add_argument(
        "--lookahead",
        metavar="N|full",
        type=lookahead,
        default="full",
        help="how many pictures ahead the network looks at least for each, or full: to the end (default full)",
    )
    parser.add_argument("--model", metavar="M", help="a shipped model or a checkpoint (default: the run's own)")
    parser.add_argument(
        "--memory-mb",
        metavar="MB",
        type=positive_int,
        default=DEFAULT_MEMORY_MB,
        help=f"what the pass may take beside the program itself, for each worker (default {DEFAULT_MEMORY_MB})",
    )
    parser.add_argument(
        "--tile-px",
        metavar="PX",
        type=positive_int,
        help="side of the tiles that the field is cut into (default: none, or where the whole field does not fit "
        "into the memory, or workers would be idle, the largest that do)",
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument(
        "--workers",
        metavar="N",
        type=positive_int,
        help="compute with so many processes on this machine, each with a GPU of its own where there are as many",
    )
    workers.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="compute with the workers of this Dask scheduler, for instance tcp://10.0.0.5:8786; they must see the run "
        "folder under the same path",
    )
    parser.add_argument("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.refine import refine_runs

    done = refine_runs(
        options.paths,
        lookahead=options.lookahead,
        model=options.model,
        memory_mb=options.memory_mb,
        tile_px=options.tile_px,
        workers=options.workers,
        dask=options.dask,
        device=options.device,
        progress=True,
    )
    status = INTERRUPTED if done.stopped_early else 0
    if not done.refinements:
        return Outcome(text=STOPPED_EARLY, status=status)
    found = list(zip(done.refinements, done.summaries, done.backfills, strict=True))
    figures = [_figures(options, *one, done.n_workers) for one in found]
    return Outcome(
        text="\n".join(_text(refinement, summary) for refinement, summary, _ in found),
        figures=figures[0] if len(figures) == 1 else {"runs": figures},
        status=status,
    )


def _text(refinement: Refinement, summary: RefineSummary) -> str:
    facts = refinement.facts
    tiles = "as a whole" if facts.tile_px is None else f"in {refinement.n_tiles} tiles of {facts.tile_px} pixels"
    text = f"{summary.n_full} of {summary.n_counts} windows have a picture of the full pass"
    text += f" ({summary.written} new, {summary.seconds:.1f} s, {tiles}): {refinement.path}"
    return text + (f"\n{STOPPED_EARLY}" if summary.stopped_early else "")


def _figures(
    options: argparse.Namespace,
    refinement: Refinement,
    summary: RefineSummary,
    mended: BackfillSummary,
    n_workers: int,
) -> dict[str, object]:
    facts = refinement.facts
    return {
        "run": str(refinement.path),
        "model": facts.model,
        "model_sha256": facts.model_sha256,
        "lookahead": "full" if facts.lookahead is None else facts.lookahead,
        "windows": {"counts": summary.n_counts, "full": summary.n_full},
        "mended": mended.n_mended,
        "lacking": mended.n_left,
        "written": summary.written,
        "tile_px": facts.tile_px,
        "halo_px": facts.halo_px,
        "memory_mb": {"budget": options.memory_mb, "planned": round(refinement.planned_bytes / 1e6, 1)},
        "device": str(refinement.model.device),
        "workers": n_workers,
        "seconds": round(summary.seconds, 3),
    }
