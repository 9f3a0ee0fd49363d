"""One refinement of a run: reads the stored maps, runs the pass, commits its pictures into ``full``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np

from dblink_live.config import run_config_from_plain
from dblink_live.errors import ConfigError, ModelError, StoreError
from dblink_live.models import Model, StreamingEngine, bounded_pass, full_pass, load_model
from dblink_live.models.reconstructor import PITCH_TOLERANCE
from dblink_live.refine.plan import Stretch, TilePlan, choose_tile, plan_stretch
from dblink_live.refine.scratch import BLOCK, TileScratch
from dblink_live.refine.tiles import Tile
from dblink_live.store import (
    FullFacts,
    Run,
    RunWriter,
    SegmentCounts,
    StoredSegment,
    encode_probability,
    free_bytes,
    open_run,
)
from dblink_live.types import FloatImage, Reconstruction

DEFAULT_MEMORY_MB = 4000


@dataclass(frozen=True)
class RefineSettings:
    """How a run is refined."""

    lookahead: int | Literal["full"] = "full"
    """Later windows that a picture sees at least."""
    memory_mb: int = DEFAULT_MEMORY_MB
    """What the pass may take beside the program itself; on a GPU, of the GPU's memory."""
    tile_px: int | None = None
    """Side of tiles; None takes the field as a whole where that fits into the budget, else the largest that fit."""


@dataclass(frozen=True)
class RefineSummary:
    """What a refinement did."""

    written: int
    """Pictures that it added."""
    n_full: int
    """Windows that have a picture of the full pass now."""
    n_counts: int
    """Windows that have a map."""
    seconds: float
    stopped_early: bool


class _Picture(NamedTuple):
    """Of one window of one segment."""

    t: int
    image: FloatImage
    lookahead: int


@dataclass(frozen=True)
class _Work:
    """One segment."""

    stored: StoredSegment
    counts: SegmentCounts
    plan: TilePlan
    done: frozenset[int]
    """Indices of windows whose picture is committed."""

    @property
    def n_windows(self) -> int:
        return self.counts.shape[0]

    @property
    def first(self) -> int:
        """The first window without a picture."""
        return next((t for t in range(self.n_windows) if t not in self.done), self.n_windows)


class Refinement:
    """A refinement that is ready to go. Made by `open_refinement`; use it as a context manager."""

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        model: Model,
        facts: FullFacts,
        hop: int,
        work: list[_Work],
        resources: ExitStack,
    ) -> None:
        self.model = model
        self.facts = facts
        """How the pictures are made."""
        self._run = run
        self._writer = writer
        self._hop = hop
        self._work = work
        self._resources = resources
        self._n_written = 0
        self._n_steps_done = 0
        self._on_progress: Callable[[int], None] = lambda done: None
        self._should_stop: Callable[[], bool] = lambda: False

    @property
    def n_steps(self) -> int:
        """Windows that are computed in all, a tiled one once for each tile."""
        return sum(work.n_windows * len(work.plan.tiles) for work in self._work)

    @property
    def planned_bytes(self) -> int:
        """What the pass takes at most."""
        return max((work.plan.checkpoints.bytes for work in self._work), default=0)

    @property
    def n_tiles(self) -> int:
        """Tiles of the largest segment."""
        return max((len(work.plan.tiles) for work in self._work), default=1)

    def run(
        self,
        on_progress: Callable[[int], None] = lambda done: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RefineSummary:
        """Go through all segments; finalize the run at the end, or let go of it when ``should_stop`` says so.

        Either way what was committed stays, and another refinement goes on from there.

        Raises
        ------
        StoreError
            The disk failed. What was committed before is intact.
        """
        started = time.perf_counter()
        self._on_progress, self._should_stop = on_progress, should_stop
        n_full, n_counts = self._run.committed_count("full"), self._run.committed_count("counts")
        is_whole = all(self._refine(work) for work in self._work)
        # While a reader is there, the writer cannot fold its log into the journal.
        self._run.close()
        if is_whole:
            self._writer.finalize()
        else:
            self._writer.close()
        return RefineSummary(
            written=self._n_written,
            n_full=n_full + self._n_written,
            n_counts=n_counts,
            seconds=time.perf_counter() - started,
            stopped_early=not is_whole,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def _refine(self, work: _Work) -> bool:
        """Refine one segment; False when it was stopped before its end."""
        if self.facts.tile_px is not None:
            return self._refine_in_tiles(work)
        self._advance(work.first)
        for picture in self._pictures(work, work.counts, work.first):
            self._commit(work, picture)
            self._advance(1)
            if self._should_stop():
                return False
        return True

    def _refine_in_tiles(self, work: _Work) -> bool:
        if work.first == work.n_windows:
            self._advance(work.n_windows * len(work.plan.tiles))
            return True
        scratch = TileScratch(self._run.path, work.stored.segment.index, work.n_windows)
        for tile in work.plan.tiles:
            if not self._compute_tile(work, tile, scratch):
                return False
        for start in range(0, work.n_windows, BLOCK):
            self._assemble(work, start, scratch)
        # Only what is committed may lose its source.
        self._writer.flush()
        scratch.remove()
        return True

    def _compute_tile(self, work: _Work, tile: Tile, scratch: TileScratch) -> bool:
        """Bring one tile's pictures into the scratch; False when it was stopped before the end."""
        first = scratch.n_done(tile)
        self._advance(first)
        if first == work.n_windows:
            return True
        counts = SegmentCounts(self._run, work.stored, tile.padded.slices)
        images = []
        for picture in self._pictures(work, counts, first):
            images.append(encode_probability(picture.image[tile.core_in_padded], self._run.facts.live_dtype))
            if len(images) == BLOCK or picture.t == work.n_windows - 1:
                scratch.write(tile, picture.t + 1 - len(images), images)
                images = []
            self._advance(1)
            if self._should_stop():
                return False
        return True

    def _assemble(self, work: _Work, start: int, scratch: TileScratch) -> None:
        """Put the tiles of one block of windows together and commit them."""
        stop = min(start + BLOCK, work.n_windows)
        if all(t in work.done for t in range(start, stop)):
            return
        dtype = self._run.facts.live_dtype
        images = np.zeros((stop - start, *work.stored.grid.shape), dtype)
        for tile in work.plan.tiles:
            images[(slice(None), *tile.core.slices)] = scratch.read(tile, start)
        scale = np.float32(1 / 255 if dtype == "uint8" else 1.0)
        for t in range(start, stop):
            seen = work.n_windows - 1 - t
            if self.facts.lookahead is not None:
                seen = self._lookahead_of(t, work.n_windows)
            self._commit(work, _Picture(t, images[t - start].astype(np.float32) * scale, seen))

    def _pictures(self, work: _Work, counts: SegmentCounts, first: int) -> Iterator[_Picture]:
        """Pictures of ``counts`` from window ``first`` on, in order."""
        if first >= work.n_windows:
            return
        network = self.model.network
        if self.facts.lookahead is None:
            plan = work.plan.checkpoints
            for t, image in full_pass(network, counts, counts.present, first=first, plan=plan):
                yield _Picture(t, image, work.n_windows - 1 - t)
            return
        engine = StreamingEngine(network, self.facts.lookahead, self._hop)
        for picture in bounded_pass(engine, counts, counts.present, first=first):
            yield _Picture(picture.window, picture.probability.cpu().numpy(), picture.lookahead)

    def _lookahead_of(self, t: int, n_windows: int) -> int:
        """Windows after ``t`` that its group's reverse pass sees."""
        group_end = (t // self._hop + 1) * self._hop
        return min(group_end + (self.facts.lookahead or 0), n_windows) - 1 - t

    def _commit(self, work: _Work, picture: _Picture) -> None:
        row = work.counts.row(picture.t)
        if row is None or picture.t in work.done:
            return
        segment = work.stored.segment.index
        self._writer.write_reconstruction(Reconstruction(segment, row.window, picture.image, "full", picture.lookahead))
        self._n_written += 1

    def _advance(self, n_steps: int) -> None:
        self._n_steps_done += n_steps
        self._on_progress(self._n_steps_done)


def open_refinement(
    path: str | Path, settings: RefineSettings, *, model: str | None = None, device: str = "auto"
) -> Refinement:
    """Check everything, plan the passes, and open the run for adding.

    Parameters
    ----------
    path
        A run folder; nobody may be writing to it.
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
        _check_pitch(segments, chosen)
        facts, plans = _decide(run, segments, chosen, settings, config.reconstruct.hop)
        work = []
        for stored, plan in zip(segments, plans, strict=True):
            counts = SegmentCounts(run, stored)
            rows = {row.window for row in run.windows("full", stored.segment.index)}
            done = frozenset(t for t in range(counts.shape[0]) if (row := counts.row(t)) and row.window in rows)
            work.append(_Work(stored, counts, plan, done))
        _check_disk(run, work, facts)
        writer = stack.enter_context(RunWriter.append_to(path))
        writer.begin_full(facts)
        return Refinement(run, writer, chosen, facts, config.reconstruct.hop, work, stack.pop_all())


def _load(run: Run, asked: str | None, own: str, device: str) -> Model:
    model = load_model(asked or own, device=device)
    recorded = run.info.model_sha256
    if asked is None and recorded and model.sha256 != recorded:
        raise ModelError(
            f"expected model {own!r} as the run was made with it (sha256 {recorded[:12]}), found another of that name "
            f"({model.sha256[:12]}); give --model {own} to refine with the one that is there now"
        )
    return model


def _check_pitch(segments: list[StoredSegment], model: Model) -> None:
    for stored in segments:
        pitch_nm = stored.grid.pitch_nm
        if abs(pitch_nm - model.pixel_size_nm) > PITCH_TOLERANCE * model.pixel_size_nm:
            raise ModelError(
                f"expected a model for the run's grid of {pitch_nm:g} nm, found {model.name!r} for "
                f"{model.pixel_size_nm:g} nm; give another --model"
            )


def _decide(
    run: Run, segments: list[StoredSegment], model: Model, settings: RefineSettings, hop: int
) -> tuple[FullFacts, list[TilePlan]]:
    """How pictures are made, as before where a refinement was begun; and the plan of each segment."""
    if settings.tile_px is not None and settings.tile_px < 1:
        raise ConfigError(f"expected tiles of 1 pixel or more, found {settings.tile_px}")
    network, budget = model.network, settings.memory_mb * 1_000_000
    lookahead = None if settings.lookahead == "full" else settings.lookahead
    pending = None if lookahead is None else lookahead + hop
    stretches = [Stretch(SegmentCounts(run, stored).shape[0], stored.grid.shape) for stored in segments]
    if settings.tile_px is not None:
        tile_px: int | None = settings.tile_px
    elif run.full_facts is not None:
        tile_px = run.full_facts.tile_px
    else:
        tile_px = choose_tile(network, stretches, pending, budget)
    facts = FullFacts(
        model=model.name,
        model_sha256=model.sha256,
        lookahead=lookahead,
        tile_px=tile_px,
        halo_px=0 if tile_px is None else network.halo,
    )
    return facts, [plan_stretch(network, stretch, tile_px, pending, budget) for stretch in stretches]


def _check_disk(run: Run, work: list[_Work], facts: FullFacts) -> None:
    """Refuse a refinement whose pictures are known not to fit on the disk."""
    item = np.dtype(run.facts.live_dtype).itemsize
    pictures = [(work.n_windows - len(work.done)) * item * _n_pixels(work.stored) for work in work]
    # Beside what is stored, tiles wait uncompressed, one segment at a time.
    needed = sum(pictures) + (0 if facts.tile_px is None else max(pictures, default=0))
    free = free_bytes(run.path)
    if needed > free:
        raise StoreError(
            f"expected up to {needed / 1e6:.0f} MB for the pictures of the pass, found {free / 1e6:.0f} MB free at "
            f"{run.path}; free some space, or move the run to another disk"
        )


def _n_pixels(stored: StoredSegment) -> int:
    return stored.grid.shape.height * stored.grid.shape.width
