"""Tiles and segments of one or several runs at once, by the workers of a Dask cluster.

Dask carries the jobs to the workers and gives those of a worker that died to another one; the pictures go through the
scratch beside the run, so workers on other machines must see the run folder under the same path. This process holds
the runs' locks and alone commits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from dblink_live.errors import ConfigError, DblinkError, StoreError
from dblink_live.refine.scratch import Permit
from dblink_live.refine.session import Refinement, RefineSummary, Work
from dblink_live.refine.tile_job import TileJob, run_tile_job

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 15.0
WORKERS_TIMEOUT_S = 60.0
_LOOK_S = 0.2
_COUNT_S = 1.0
"""Between two looks at how far the tiles are."""


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """A client of the cluster whose scheduler is at ``address``.

    Raises
    ------
    ConfigError
        dask.distributed is not installed, no scheduler answers, or no worker registers.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"expected a Dask scheduler at {address}, found none: {error}; start one with `dask scheduler`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
        except TimeoutError as error:
            raise ConfigError(
                f"expected workers at the Dask scheduler {address}, found none; start some with `dask worker {address} "
                "--nthreads 1`"
            ) from error
        yield client


@contextmanager
def start_workers(n_workers: int) -> Iterator[Any]:
    """A client of ``n_workers`` processes on this machine, which end with it.

    Raises
    ------
    ConfigError
        dask.distributed is not installed.
    """
    distributed = _distributed()
    workers = {
        name: {"cls": distributed.Nanny, "options": options}
        for name, options in enumerate(worker_options(n_workers, _count_gpus(), os.cpu_count() or 1))
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"dashboard_address": f"{LOOPBACK}:0", "host": LOOPBACK, "port": 0},
    }
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def worker_options(n_workers: int, n_gpus: int, n_cores: int) -> list[dict[str, Any]]:
    """Resources of each worker on one machine: a share of the cores and one of the GPUs, if any.

    Examples
    --------
    >>> [options["env"]["CUDA_VISIBLE_DEVICES"] for options in worker_options(3, n_gpus=2, n_cores=8)]
    ['0', '1', '0']
    >>> [options["env"] for options in worker_options(2, n_gpus=0, n_cores=8)]
    [{'OMP_NUM_THREADS': '4'}, {'OMP_NUM_THREADS': '4'}]
    """
    threads = str(max(1, n_cores // n_workers))
    options = []
    for number in range(n_workers):
        gpu = {"CUDA_VISIBLE_DEVICES": str(number % n_gpus)} if n_gpus else {}
        options.append(
            {
                # Nanny, worker and the worker's page of figures would else listen on all interfaces, and whoever
                # reaches a worker can run programs as its user.
                "host": LOOPBACK,
                "dashboard_address": f"{LOOPBACK}:0",
                "nthreads": 1,
                # Our own budget decides about memory; Dask would only stop and kill what is large on purpose.
                "memory_limit": 0,
                "env": {"OMP_NUM_THREADS": threads, **gpu},
            }
        )
    return options


@dataclass
class _Open:
    """One segment, and its tiles that are under way."""

    refinement: Refinement
    work: Work
    n_steps: int
    waiting: dict[Any, TileJob] = field(default_factory=dict)
    """By their futures."""


def refine_together(
    refinements: Sequence[Refinement],
    client: Any,
    on_progress: Callable[[int], None] = lambda done: None,
    should_stop: Callable[[], bool] = lambda: False,
    threads: int = 0,
) -> list[RefineSummary]:
    """Refine several runs at once; each is finalized as soon as all of it is there.

    Parameters
    ----------
    refinements
        Opened by `open_refinement`.
    client
        Of `connect` or `start_workers`.
    on_progress
        Told the number of windows that are computed, tiled ones once for each tile.
    should_stop
        Asked several times per second; what is computed then stays, and another refinement goes on from there.
    threads
        Of each worker's torch on a CPU; 0 leaves it to the worker.

    Raises
    ------
    StoreError
        A worker cannot read the run or write beside it, workers died over and over, or the scheduler went away.
    """
    permits = {refinement: Permit(refinement.path) for refinement in refinements}
    opened: list[_Open] = []
    n_assembled, counted_s = 0, time.perf_counter()
    is_stopped = False
    try:
        for refinement in refinements:
            for work in refinement.work:
                one = _Open(refinement, work, work.n_windows * len(work.plan.tiles))
                for job in refinement.jobs(work, permits[refinement], threads):
                    one.waiting[client.submit(run_tile_job, job, pure=False, retries=0)] = job
                opened.append(one)
        while opened and not is_stopped:
            for one in list(opened):
                if not _is_done(one):
                    continue
                one.refinement.assemble(one.work)
                opened.remove(one)
                n_assembled += one.n_steps
            if time.perf_counter() - counted_s > _COUNT_S:
                counted_s = time.perf_counter()
                on_progress(n_assembled + sum(map(_count_steps, opened)))
            is_stopped = should_stop()
            time.sleep(_LOOK_S)
    finally:
        for permit in permits.values():
            permit.revoke()
        with suppress(Exception):  # a scheduler that went away cannot cancel anything
            client.cancel([future for one in opened for future in one.waiting])
    on_progress(n_assembled)
    unfinished = {one.refinement for one in opened}
    return [refinement.finish(refinement not in unfinished) for refinement in refinements]


def _is_done(one: _Open) -> bool:
    """Whether all tiles of a segment are computed."""
    for future, job in list(one.waiting.items()):
        status = future.status
        if status == "finished":
            del one.waiting[future]
        elif status != "pending":
            raise _failure(future, status, job)
    return not one.waiting


def _failure(future: Any, status: str, job: TileJob) -> DblinkError:
    """Return the failure of a tile as one of our errors."""
    core = job.tile.core
    tile = f"the tile at row {core.top}, column {core.left} of segment {job.segment} of {job.run}"
    advice = "what is computed stays, and the same command goes on"
    if status != "error":
        return StoreError(f"expected the Dask cluster to compute {tile}, found that it went away ({status}); {advice}")
    error = future.exception()
    if isinstance(error, DblinkError):
        return error
    if type(error).__name__ == "KilledWorker":
        return StoreError(
            f"expected a worker to compute {tile}, but one after another died over it, as for want of memory; give "
            f"less --memory-mb, or fewer workers; {advice}"
        )
    return StoreError(f"expected a worker to compute {tile}, found: {type(error).__name__}: {error}; {advice}")


def _count_steps(one: _Open) -> int:
    scratch = one.refinement.scratch(one.work)
    return sum(scratch.n_done(tile, one.work.first) for tile in one.work.plan.tiles)


def _count_gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            'expected dask.distributed for workers, found that it is not installed; pip install "dblink-live[cluster]"'
        ) from error
    return distributed
