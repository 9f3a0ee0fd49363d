"""One tile of one segment, from the stored maps to the scratch: the piece of work that a worker is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from dblink_live.errors import ModelError
from dblink_live.models import BidirectionalNetwork, CheckpointPlan, Model, load_model
from dblink_live.refine.passes import PassSettings, pictures
from dblink_live.refine.scratch import BLOCK, TileScratch
from dblink_live.refine.tiles import Tile
from dblink_live.store import Run, SegmentCounts, StoredSegment, encode_probability, open_run


@dataclass(frozen=True)
class TileJob:
    """Plain values only: it travels to another process, or to another machine that sees the same files."""

    run: str
    """The run folder."""
    segment: int
    tile: Tile
    plan: CheckpointPlan
    settings: PassSettings
    first: int
    """Windows before this one have their picture already."""
    model: str
    """Name or path."""
    model_sha256: str
    device: str
    threads: int
    """Of torch on a CPU; 0 leaves them as they are."""
    permit: str
    """A file: once it is deleted the tile is no longer wanted."""


def run_tile_job(job: TileJob) -> bool:
    """Bring a tile's pictures into the scratch, from where an earlier attempt was cut off; False where told to stop.

    Raises
    ------
    StoreError
        The run cannot be read here, or the scratch not be written.
    ModelError
        The model is not here, or another one under its name.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    model = _model(job.model, job.device)
    if model.sha256 != job.model_sha256:
        raise ModelError(
            f"expected model {job.model!r} with sha256 {job.model_sha256[:12]} on every worker, found "
            f"{model.sha256[:12]} on one; install the same dblink-live, or the same file, on all of them"
        )
    with open_run(job.run) as run:
        (stored,) = (known for known in run.segments if known.segment.index == job.segment)
        scratch = TileScratch(run.path, job.segment, SegmentCounts(run, stored, mended=True).shape[0])
        permit = Path(job.permit)
        return compute_tile(
            run,
            stored,
            job.tile,
            scratch,
            network=model.network,
            settings=job.settings,
            plan=job.plan,
            first=job.first,
            on_block=lambda n: None,
            should_stop=lambda: not permit.exists(),
        )


def compute_tile(
    run: Run,
    stored: StoredSegment,
    tile: Tile,
    scratch: TileScratch,
    *,
    network: BidirectionalNetwork,
    settings: PassSettings,
    plan: CheckpointPlan,
    first: int,
    on_block: Callable[[int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Bring one tile's pictures into the scratch; False when it was stopped before the end.

    ``on_block`` is told the number of windows whenever some more are there.
    """
    counts = SegmentCounts(run, stored, tile.padded.slices, mended=True)
    n_windows = counts.shape[0]
    begin = scratch.n_done(tile, first)
    on_block(begin)
    images = []
    for picture in pictures(network, settings, counts, plan, begin):
        images.append(encode_probability(picture.image[tile.core_in_padded], run.facts.live_dtype))
        if len(images) == BLOCK or picture.t == n_windows - 1:
            scratch.write(tile, picture.t + 1 - len(images), images)
            on_block(len(images))
            images = []
            if should_stop() and picture.t < n_windows - 1:
                return False
    return True


@lru_cache(maxsize=1)
def _model(name_or_path: str, device: str) -> Model:
    return load_model(name_or_path, device=device)
