"""One refinement of a run: reads the stored maps, runs the pass, commits its pictures into ``full``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import numpy as np

from dblink_live.models import Model
from dblink_live.refine.passes import PassPicture, PassSettings, pictures
from dblink_live.refine.plan import TilePlan
from dblink_live.refine.scratch import BLOCK, Permit, TileScratch
from dblink_live.refine.tile_job import TileJob, compute_tile
from dblink_live.store import (
    FullFacts,
    Run,
    RunWriter,
    SegmentCounts,
    StoredSegment,
)
from dblink_live.types import Reconstruction

DEFAULT_MEMORY_MB = 4000


@dataclass(frozen=True)
class RefineSettings:
    """Settings of a refinement."""

    lookahead: int | Literal["full"] = "full"
    """Later windows that a picture sees at least."""
    memory_mb: int = DEFAULT_MEMORY_MB
    """Memory budget of the pass beside the program itself, per worker; on a GPU, of the GPU's memory."""
    tile_px: int | None = None
    """Side of tiles; None takes the field as a whole where that fits into the budget, else the largest that fit."""
    n_workers: int = 1
    """Processes among which tiles and segments are to be divided."""


@dataclass(frozen=True)
class RefineSummary:
    """Result of a refinement."""

    written: int
    """Pictures that it added."""
    n_full: int
    """Windows that have a picture of the full pass now."""
    n_counts: int
    """Windows that have a map, mended ones included."""
    seconds: float
    stopped_early: bool


@dataclass(frozen=True)
class Work:
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
    def n_maps(self) -> int:
        """Windows that have a map; the others were never seen."""
        return sum(self.counts.row(t) is not None for t in range(self.n_windows))

    @property
    def first(self) -> int:
        """The first window without a picture."""
        return next((t for t in range(self.n_windows) if t not in self.done and self.counts.row(t)), self.n_windows)


class Refinement:
    """A refinement that is ready to go. Made by `open_refinement`; use it as a context manager."""

    def __init__(
        self,
        run: Run,
        writer: RunWriter,
        model: Model,
        model_name: str,
        facts: FullFacts,
        settings: PassSettings,
        work: list[Work],
        resources: ExitStack,
    ) -> None:
        self.model = model
        self.facts = facts
        """Settings of the pass."""
        self.work = work
        """Work per segment."""
        self.path = run.path
        self._run = run
        self._writer = writer
        self._model_name = model_name
        self._settings = settings
        self._resources = resources
        self._started = time.perf_counter()
        self._n_before = run.committed_count("full")
        self._n_written = 0
        self._n_steps_done = 0
        self._on_progress: Callable[[int], None] = lambda done: None
        self._should_stop: Callable[[], bool] = lambda: False

    @property
    def n_steps(self) -> int:
        """Windows that are computed in all, a tiled one once for each tile."""
        return sum(work.n_windows * len(work.plan.tiles) for work in self.work)

    @property
    def planned_bytes(self) -> int:
        """Peak memory of the pass."""
        return max((work.plan.checkpoints.bytes for work in self.work), default=0)

    @property
    def n_tiles(self) -> int:
        """Tiles of the largest segment."""
        return max((len(work.plan.tiles) for work in self.work), default=1)

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
        self._on_progress, self._should_stop = on_progress, should_stop
        return self.finish(all(self._refine(work) for work in self.work))

    def jobs(self, work: Work, permit: Permit, threads: int) -> list[TileJob]:
        """The tiles of one segment, to be computed elsewhere and put together with `assemble`."""
        if work.first == work.n_windows:
            return []
        device = self.model.device.type  # which of several is the worker's own affair
        return [
            TileJob(
                run=str(self.path.absolute()),
                segment=work.stored.segment.index,
                tile=tile,
                plan=work.plan.checkpoints,
                settings=self._settings,
                first=work.first,
                model=self._model_name,
                model_sha256=self.model.sha256,
                device=device,
                threads=threads,
                permit=str(permit.path.absolute()),
            )
            for tile in work.plan.tiles
        ]

    def scratch(self, work: Work) -> TileScratch:
        """Temporary store of the tiles of a segment."""
        return TileScratch(self.path, work.stored.segment.index, work.n_windows)

    def assemble(self, work: Work) -> None:
        """Commit the pictures of a segment, all of whose tiles are in the scratch."""
        if work.first == work.n_windows:
            return
        scratch = self.scratch(work)
        for start in range(work.first // BLOCK * BLOCK, work.n_windows, BLOCK):
            self._assemble_block(work, start, scratch)
        # Only what is committed may lose its source.
        self._writer.flush()
        scratch.remove()

    def finish(self, is_whole: bool) -> RefineSummary:
        """Finalize the run, or only let go of it where the pass ``is_whole`` not yet."""
        n_counts = sum(work.n_maps for work in self.work)
        # While a reader is there, the writer cannot fold its log into the journal.
        self._run.close()
        if is_whole:
            self._writer.finalize()
        else:
            self._writer.close()
        return RefineSummary(
            written=self._n_written,
            n_full=self._n_before + self._n_written,
            n_counts=n_counts,
            seconds=time.perf_counter() - self._started,
            stopped_early=not is_whole,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def _refine(self, work: Work) -> bool:
        """Refine one segment; False when it was stopped before its end."""
        if self.facts.tile_px is not None:
            return self._refine_in_tiles(work)
        self._advance(work.first)
        network = self.model.network
        for picture in pictures(network, self._settings, work.counts, work.plan.checkpoints, work.first):
            self._commit(work, picture)
            self._advance(1)
            if self._should_stop():
                return False
        self._writer.flush()
        self.scratch(work).remove()  # of workers, where some had begun with this segment
        return True

    def _refine_in_tiles(self, work: Work) -> bool:
        if work.first == work.n_windows:
            self._advance(work.n_windows * len(work.plan.tiles))
            return True
        for tile in work.plan.tiles:
            is_whole = compute_tile(
                self._run,
                work.stored,
                tile,
                self.scratch(work),
                network=self.model.network,
                settings=self._settings,
                plan=work.plan.checkpoints,
                first=work.first,
                on_block=self._advance,
                should_stop=self._should_stop,
            )
            if not is_whole:
                return False
        self.assemble(work)
        return True

    def _assemble_block(self, work: Work, start: int, scratch: TileScratch) -> None:
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
            seen = self._settings.lookahead_of(t, work.n_windows)
            self._commit(work, PassPicture(t, images[t - start].astype(np.float32) * scale, seen))

    def _commit(self, work: Work, picture: PassPicture) -> None:
        row = work.counts.row(picture.t)
        if row is None or picture.t in work.done:
            return
        segment = work.stored.segment.index
        self._writer.write_reconstruction(Reconstruction(segment, row.window, picture.image, "full", picture.lookahead))
        self._n_written += 1

    def _advance(self, n_steps: int) -> None:
        self._n_steps_done += n_steps
        self._on_progress(self._n_steps_done)
