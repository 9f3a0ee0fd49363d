"""The full bidirectional pass over runs that have ended, after their skipped windows were made whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.errors import ConfigError, input_accepted
from dblink_live.workflows.interrupt import stop_on_interrupt
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    from dblink_live.models.offline import Lookahead
    from dblink_live.refine import BackfillSummary, Refinement, RefineSummary
    from dblink_live.store import Run

    Compute = Callable[[list[Refinement], Callable[[int], None], Callable[[], bool]], list[RefineSummary]]

DEFAULT_MEMORY_MB = 4000
STOPPING = "stopping: what is committed stays, and refine goes on from there"


@dataclass(frozen=True)
class RefinedRuns:
    """What `refine_runs` did, run by run."""

    refinements: list[Refinement]
    summaries: list[RefineSummary]
    backfills: list[BackfillSummary]
    n_workers: int

    @property
    def stopped_early(self) -> bool:
        """Whether windows are left to do; the same call goes on with them."""
        return any(one.stopped_early for one in self.summaries) or any(one.stopped_early for one in self.backfills)


def refine(
    run: Run | str | Path,
    *,
    lookahead: Lookahead = "full",
    model: str | None = None,
    memory_mb: int = DEFAULT_MEMORY_MB,
    tile_px: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> Run:
    """Run the full bidirectional pass over a run that has ended, and return the run with it.

    Windows that live processing skipped are made whole first, where camera frames were recorded. Goes on where an
    earlier call was stopped.

    Parameters
    ----------
    run
        A run, or its folder.
    lookahead
        Windows after a picture that it sees at least, or "full".
    model
        A shipped model or a checkpoint; None takes the run's own.
    memory_mb
        What the pass may take beside the program itself, for each worker.
    tile_px
        Side of the tiles that the field is cut into; None decides.
    workers, dask
        Compute with so many processes here, or with those of a Dask scheduler at this address.
    device
        auto, cpu, cuda or cuda:N.
    progress
        True shows a bar.

    Raises
    ------
    ConfigError, ModelError
        A setting or the model is wrong.
    StoreError
        It is no run, another process writes to it, or the disk failed. What was committed is intact.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> import dblink_live as dbl
    >>> folder = getfixture("tmp_path")
    >>> frames = np.random.default_rng(1).poisson(20, (40, 16, 16)).astype(np.uint16)
    >>> frames[:, 7:9, 7:9] += 200
    >>> tifffile.imwrite(folder / "stack.tif", frames)
    >>> live = dbl.run(str(folder / "stack.tif"), folder / "cell1.run", pixel_size_nm=160, model="filaments")
    >>> refine(live).full.shape  # as refine(folder / "cell1.run") does
    (4, 64, 64)
    """
    from dblink_live.store import open_run

    path = Path(run) if isinstance(run, str | Path) else run.path
    refine_runs(
        [path],
        lookahead=lookahead,
        model=model,
        memory_mb=memory_mb,
        tile_px=tile_px,
        workers=workers,
        dask=dask,
        device=device,
        progress=progress,
    )
    return open_run(path)


def refine_runs(
    paths: Sequence[Path],
    *,
    lookahead: Lookahead = "full",
    model: str | None = None,
    memory_mb: int = DEFAULT_MEMORY_MB,
    tile_px: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> RefinedRuns:
    """As `refine`, of several runs at once."""
    from dblink_live.refine import RefineSettings, open_refinement

    if workers is not None and dask is not None:
        raise ConfigError(f"expected workers or a Dask scheduler, found both: {workers} and {dask}")
    report = progress_of(progress)
    with stop_on_interrupt(report, lambda: STOPPING) as interrupted, ExitStack() as stack:
        backfills = [_backfill(path, interrupted.is_set, report) for path in paths]
        if interrupted.is_set():
            return RefinedRuns([], [], backfills, 0)
        compute, n_workers = _workers(workers, dask, stack)
        settings = RefineSettings(lookahead, memory_mb, tile_px, -(-n_workers // len(paths)))
        refinements = [
            stack.enter_context(open_refinement(path, settings, model=model, device=device)) for path in paths
        ]
        n_steps = sum(refinement.n_steps for refinement in refinements)
        with input_accepted(), report.bar("refining", n_steps, "windows") as advance:
            summaries = compute(refinements, advance, interrupted.is_set)
    return RefinedRuns(refinements, summaries, backfills, n_workers)


def _backfill(path: Path, should_stop: Callable[[], bool], report: Progress) -> BackfillSummary:
    from dblink_live.refine import Backfill

    backfill = Backfill(path)
    with input_accepted(), report.bar("localizing skipped windows again", backfill.n_windows, "windows") as advance:
        summary = backfill.run(advance, should_stop)
    if summary.n_mended:
        report.note(f"{summary.n_mended} windows that lacked frames were made whole from the recorded ones: {path}")
    if summary.n_left and backfill.is_recorded:
        why = f": {'; '.join(summary.reasons)}" if summary.reasons else ""
        report.note(f"{summary.n_left} windows go on lacking frames{why}: {path}")
    return summary


def _workers(workers: int | None, dask: str | None, stack: ExitStack) -> tuple[Compute, int]:
    """How refinements are computed, and by how many processes; what they need is closed with ``stack``."""
    if dask is None and (workers or 1) == 1:
        return _one_after_another, 1
    from dblink_live.refine import cluster

    client = stack.enter_context(cluster.connect(dask) if dask is not None else cluster.start_workers(workers or 1))
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
