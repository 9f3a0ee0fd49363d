"""``dblink-live refine``: the full bidirectional pass over runs that have ended, into the same runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli.acquire.run import INTERRUPTED, stop_on_interrupt
from dblink_live.cli.options import Verbs, add_json, add_verb, lookahead, positive_int
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.progress import CONSOLE, say

if TYPE_CHECKING:
    from dblink_live.refine import BackfillSummary, Refinement, RefineSummary

    Compute = Callable[[list[Refinement], Callable[[int], None], Callable[[], bool]], list[RefineSummary]]

DEFAULT_MEMORY_MB = 4000


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "refine",
        run=run,
        help="make windows whole from recorded frames, then run the full bidirectional pass over runs that have ended; "
        "goes on where an earlier refine was stopped",
        example="dblink-live refine cell1.run --memory-mb 8000",
    )
    parser.add_argument("paths", metavar="RUN", type=Path, nargs="+", help="a run folder, or several")
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
    from dblink_live.refine import RefineSettings, open_refinement

    asked = "stopping: what is committed stays, and refine goes on from there"
    with stop_on_interrupt(asked) as interrupted, ExitStack() as stack:
        mended = [_mend(path, interrupted.is_set) for path in options.paths]
        if interrupted.is_set():
            return Outcome(text="stopped early; the same command goes on", status=INTERRUPTED)
        compute, n_workers = _workers(options, stack)
        n_wanted = -(-n_workers // len(options.paths))
        settings = RefineSettings(options.lookahead, options.memory_mb, options.tile_px, n_wanted)
        refinements = [
            stack.enter_context(open_refinement(path, settings, model=options.model, device=options.device))
            for path in options.paths
        ]
        n_steps = sum(refinement.n_steps for refinement in refinements)
        with input_accepted(), CONSOLE.bar("refining", n_steps, "windows") as advance:
            summaries = compute(refinements, advance, interrupted.is_set)
    found = list(zip(refinements, summaries, mended, strict=True))
    figures = [_figures(options, *one, n_workers) for one in found]
    return Outcome(
        text="\n".join(_text(refinement, summary) for refinement, summary, _ in found),
        figures=figures[0] if len(figures) == 1 else {"runs": figures},
        status=INTERRUPTED if any(summary.stopped_early for summary in summaries) else 0,
    )


def _mend(path: Path, should_stop: Callable[[], bool]) -> BackfillSummary:
    from dblink_live.refine import Backfill

    mending = Backfill(path)
    with input_accepted(), CONSOLE.bar("localizing skipped windows again", mending.n_windows, "windows") as advance:
        summary = mending.run(advance, should_stop)
    if summary.n_mended:
        say(f"{summary.n_mended} windows that lacked frames were made whole from the recorded ones: {path}")
    if summary.n_left and mending.is_recorded:
        why = f": {'; '.join(summary.reasons)}" if summary.reasons else ""
        say(f"{summary.n_left} windows go on lacking frames{why}: {path}")
    return summary


def _workers(options: argparse.Namespace, stack: ExitStack) -> tuple[Compute, int]:
    """How refinements are computed, and by how many processes; what they need is closed with ``stack``."""
    if options.dask is None and (options.workers or 1) == 1:
        return _one_after_another, 1
    from dblink_live.refine import cluster

    if options.dask is not None:
        client = stack.enter_context(cluster.connect(options.dask))
    else:
        client = stack.enter_context(cluster.start_workers(options.workers))
    n_workers = len(client.nthreads())
    return lambda refinements, advance, stop: cluster.refine_together(refinements, client, advance, stop), n_workers


def _one_after_another(
    refinements: list[Refinement], advance: Callable[[int], None], should_stop: Callable[[], bool]
) -> list[RefineSummary]:
    summaries, n_done = [], 0
    for refinement in refinements:
        summaries.append(refinement.run(lambda n, before=n_done: advance(before + n), should_stop))  # type: ignore[misc]
        n_done += refinement.n_steps
    return summaries


def _text(refinement: Refinement, summary: RefineSummary) -> str:
    facts = refinement.facts
    tiles = "as a whole" if facts.tile_px is None else f"in {refinement.n_tiles} tiles of {facts.tile_px} pixels"
    text = f"{summary.n_full} of {summary.n_counts} windows have a picture of the full pass"
    text += f" ({summary.written} new, {summary.seconds:.1f} s, {tiles}): {refinement.path}"
    return text + ("\nstopped early; the same command goes on" if summary.stopped_early else "")


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
