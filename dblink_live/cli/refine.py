"""``dblink-live refine``: the full bidirectional pass over a run that has ended, into the same run."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.console import progress
from dblink_live.cli.options import Verbs, add_json, add_verb, lookahead, positive_int
from dblink_live.cli.outcome import Outcome, on_the_way
from dblink_live.cli.run import INTERRUPTED, stop_on_interrupt

DEFAULT_MEMORY_MB = 4000


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "refine",
        run=run,
        help="run the full bidirectional pass over a run that has ended; goes on where an earlier refine was stopped",
        example="dblink-live refine cell1.run --memory-mb 8000",
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument(
        "--lookahead",
        metavar="N|full",
        type=lookahead,
        default="full",
        help="windows after a picture that it sees at least, or all of them (default full)",
    )
    parser.add_argument("--model", metavar="M", help="a shipped model or a checkpoint (default: the run's own)")
    parser.add_argument(
        "--memory-mb",
        metavar="MB",
        type=positive_int,
        default=DEFAULT_MEMORY_MB,
        help=f"what the pass may take beside the program itself (default {DEFAULT_MEMORY_MB})",
    )
    parser.add_argument(
        "--tile-px",
        metavar="PX",
        type=positive_int,
        help="side of the tiles that the field is cut into (default: none, or where the whole field does not fit "
        "into the memory, the largest that do)",
    )
    parser.add_argument("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.refine import RefineSettings, open_refinement

    settings = RefineSettings(options.lookahead, options.memory_mb, options.tile_px)
    with (
        stop_on_interrupt("stopping: what is committed stays, and refine goes on from there") as interrupted,
        open_refinement(options.path, settings, model=options.model, device=options.device) as refinement,
        on_the_way(),
        progress("refining", refinement.n_steps, "windows") as advance,
    ):
        summary = refinement.run(on_progress=advance, should_stop=interrupted.is_set)
    facts = refinement.facts
    tiles = "as a whole" if facts.tile_px is None else f"in {refinement.n_tiles} tiles of {facts.tile_px} pixels"
    text = f"{summary.n_full} of {summary.n_counts} windows have a picture of the full pass"
    text += f" ({summary.written} new, {summary.seconds:.1f} s, {tiles}): {options.path}"
    if summary.stopped_early:
        text += "\nstopped early; the same command goes on"
    return Outcome(
        text=text,
        figures={
            "run": str(options.path),
            "model": facts.model,
            "model_sha256": facts.model_sha256,
            "lookahead": "full" if facts.lookahead is None else facts.lookahead,
            "windows": {"counts": summary.n_counts, "full": summary.n_full},
            "written": summary.written,
            "tile_px": facts.tile_px,
            "halo_px": facts.halo_px,
            "memory_mb": {"budget": options.memory_mb, "planned": round(refinement.planned_bytes / 1e6, 1)},
            "device": str(refinement.model.device),
            "seconds": round(summary.seconds, 3),
        },
        status=INTERRUPTED if summary.stopped_early else 0,
    )
