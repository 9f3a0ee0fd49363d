"""Opens a run to be refined: checks everything, plans the passes, and takes the run's lock."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dblink_live.config import run_config_from_plain
from dblink_live.errors import ConfigError, ModelError, StoreError
from dblink_live.models import Model, load_model
from dblink_live.models.maps import check_pitch
from dblink_live.refine.passes import PassSettings
from dblink_live.refine.plan import Stretch, TilePlan, choose_tile, plan_stretch
from dblink_live.refine.session import Refinement, RefineSettings, Work
from dblink_live.store import FullFacts, Run, RunWriter, SegmentCounts, StoredSegment, free_bytes, open_run


def open_refinement(
    path: str | Path, settings: RefineSettings, *, model: str | None = None, device: str = "auto"
) -> Refinement:
    """Check everything, plan the passes, and open the run for adding.

    Parameters
    ----------
    path
        A run folder that no other process writes to.
    settings
        How it is refined.
    model
        A shipped model's name or a checkpoint's path; None takes the run's own.
    device
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    StoreError
        It is no run, another process writes to it, or it was begun to be refined in another way.
    ModelError
        The model is unknown, for another grid, or no longer the one that the run was made with.
    ConfigError
        The budget of memory is too small.
    """
    with ExitStack() as stack:
        run = stack.enter_context(open_run(path))
        config = run_config_from_plain(run.config)
        chosen = _load(run, model, config.reconstruct.model, device)
        segments = [stored for stored in run.segments if run.windows("counts", stored.segment.index)]
        for stored in segments:
            check_pitch(stored.grid.pitch_nm, chosen)
        hop = config.reconstruct.hop
        facts, plans = _decide(run, segments, chosen, settings, hop)
        work = []
        for stored, plan in zip(segments, plans, strict=True):
            counts = SegmentCounts(run, stored, mended=True)
            rows = {row.window for row in run.windows("full", stored.segment.index)}
            done = frozenset(t for t in range(counts.shape[0]) if (row := counts.row(t)) and row.window in rows)
            work.append(Work(stored, counts, plan, done))
        _check_disk(run, work, through_scratch=facts.tile_px is not None or settings.n_workers > 1)
        writer = stack.enter_context(RunWriter.append_to(path))
        writer.begin_full(facts)
        name = model or config.reconstruct.model
        name = str(Path(name).absolute()) if Path(name).is_file() else name
        return Refinement(run, writer, chosen, name, facts, PassSettings(facts.lookahead, hop), work, stack.pop_all())


def _load(run: Run, asked: str | None, own: str, device: str) -> Model:
    model = load_model(asked or own, device=device)
    recorded = run.info.model_sha256
    if asked is None and recorded and model.sha256 != recorded:
        raise ModelError(
            f"expected model {own!r} as the run was made with it (sha256 {recorded[:12]}), found another of that name "
            f"({model.sha256[:12]}); give --model {own} to refine with the one that is there now"
        )
    return model


def _decide(
    run: Run, segments: list[StoredSegment], model: Model, settings: RefineSettings, hop: int
) -> tuple[FullFacts, list[TilePlan]]:
    """Return the settings of the pass, those of an earlier refinement if there is one, and the plan of each segment."""
    if settings.tile_px is not None and settings.tile_px < 1:
        raise ConfigError(f"expected tiles of 1 pixel or more, found {settings.tile_px}")
    network, budget = model.network, settings.memory_mb * 1_000_000
    lookahead = None if settings.lookahead == "full" else settings.lookahead
    pending = None if lookahead is None else lookahead + hop
    stretches = [Stretch(SegmentCounts(run, stored, mended=True).shape[0], stored.grid.shape) for stored in segments]
    if settings.tile_px is not None:
        tile_px: int | None = settings.tile_px
    elif run.full_facts is not None:
        tile_px = run.full_facts.tile_px
    else:
        tile_px = choose_tile(network, stretches, pending, budget, settings.n_workers)
    facts = FullFacts(
        model=model.name,
        model_sha256=model.sha256,
        lookahead=lookahead,
        tile_px=tile_px,
        halo_px=0 if tile_px is None else network.halo,
    )
    return facts, [plan_stretch(network, stretch, tile_px, pending, budget) for stretch in stretches]


def _check_disk(run: Run, work: list[Work], through_scratch: bool) -> None:
    """Refuse a refinement whose pictures are known not to fit on the disk."""
    item = np.dtype(run.facts.live_dtype).itemsize
    n_bytes = [(work.n_windows - len(work.done)) * item * _n_pixels(work.stored) for work in work]
    # Beside what is stored, tiles wait uncompressed, about one segment at a time.
    needed = sum(n_bytes) + (max(n_bytes, default=0) if through_scratch else 0)
    free = free_bytes(run.path)
    if needed > free:
        raise StoreError(
            f"expected up to {needed / 1e6:.0f} MB for the pictures of the pass, found {free / 1e6:.0f} MB free at "
            f"{run.path}; free some space, or move the run to another disk"
        )


def _n_pixels(stored: StoredSegment) -> int:
    return stored.grid.shape.height * stored.grid.shape.width
