"""The series of a run that are open for writing: which lattice a segment belongs to, and where the next window goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from dblink_live.errors import StoreError
from dblink_live.store.arrays import (
    PendingWrite,
    SeriesWriter,
    StoredImage,
    build_pyramid,
    make_context,
    remove_unfinished,
)
from dblink_live.store.filesystem import flush_hierarchy, store_error
from dblink_live.store.hierarchy import (
    FOLDER_NAME,
    SeriesSpec,
    create_series,
    describe_run,
    list_series,
    publish_levels,
    series_name,
)
from dblink_live.store.journal import PRODUCTS, Product, RunFacts, StoredSegment
from dblink_live.types import Grid, Segment


def window_seconds(segment: Segment, window_frames: int) -> float | None:
    """Return the duration of a window of ``segment``; None where the camera's frame interval is unknown.

    A camera that streams starts a frame as soon as the last one ends, so the exposure stands in for an interval that
    was not told.
    """
    interval_ms = segment.frame_interval_ms or segment.exposure_ms
    return None if interval_ms is None else interval_ms * window_frames / 1000


@dataclass
class OpenSeries:
    """A series, and the place of its next window."""

    spec: SeriesSpec
    writer: SeriesWriter
    next_index: int
    may_have_pyramid: bool
    """An earlier writer may have built one; it would be shorter than the series after the next window."""


class SeriesSet:
    """All series of one run.

    Windows are appended along t in the order in which they are committed. Segments of equal grid and window duration
    share a *lattice* and so a series; the next other grid gets series of its own (``counts_1``), so that the
    coordinates in a series' metadata are true for all its windows.

    Parameters
    ----------
    folder
        The run folder.
    facts
        Of the run.
    """

    def __init__(self, folder: Path, facts: RunFacts) -> None:
        self._folder = folder
        self._root = folder / FOLDER_NAME
        self._facts = facts
        self._lattices: list[tuple[Grid, float | None]] = []
        self._committed: dict[str, int] = {}
        self._open: dict[str, OpenSeries] = {}
        self._context = make_context()

    def adopt(self, segments: list[StoredSegment], committed: dict[str, int]) -> None:
        """Go on where an earlier writer ended: after the last *committed* window of each series."""
        for folder in self._root.glob("*/"):
            if not folder.name.startswith("raw"):  # where a recorder may still be at work
                remove_unfinished(folder, committed.get(folder.name, 0))
        for stored in segments:
            self.lattice_of(stored.segment, stored.grid)
        self._committed = dict(committed)

    def lattice_of(self, segment: Segment, grid: Grid) -> int:
        """The lattice of a segment; a new one where none fits."""
        key = (grid, window_seconds(segment, self._facts.window_frames))
        if key not in self._lattices:
            self._lattices.append(key)
        return self._lattices.index(key)

    def ensure(self, product: Product, lattice: int) -> OpenSeries:
        """The series of a product on a lattice, created when it is new."""
        name = series_name(product, lattice)
        if name not in self._open:
            spec = self._spec(product, lattice)
            try:
                is_new = name not in list_series(self._root)
                if is_new:
                    self._check_unused(name)
                    create_series(self._root, [spec])
                    # Before any window: a power cut must not leave windows without the metadata that finds them.
                    flush_hierarchy(self._root)
                writer = SeriesWriter(self._root / name / "0", self._context)
            except Exception as error:
                raise store_error(error, self._folder, f"creating the arrays of {name}") from error
            self._open[name] = OpenSeries(spec, writer, self._committed.get(name, 0), not is_new)
        return self._open[name]

    def describe(self, segments: list[StoredSegment]) -> None:
        """Write what the run is and which segments it has into the hierarchy's attributes."""
        described = [
            {"index": stored.segment.index, "reason": stored.segment.reason, "camera": stored.camera}
            for stored in segments
        ]
        try:
            describe_run(self._root, {"run": msgspec.to_builtins(self._facts.info), "segments": described})
        except Exception as error:
            raise store_error(error, self._folder, "describing the run") from error

    def append(self, series: OpenSeries, image: StoredImage) -> PendingWrite:
        """Begin to write the next window of a series; ``image`` may be reused at once."""
        try:
            if series.may_have_pyramid:
                publish_levels(self._root, series.spec, n_levels=1)
                series.may_have_pyramid = False
            pending = series.writer.write(series.next_index, image)
        except Exception as error:
            raise store_error(error, self._folder, f"writing a window of {series.spec.name}") from error
        series.next_index += 1
        return pending

    def finish(self) -> None:
        """Trim every array to its committed windows and add the pyramids. Nothing may be in flight."""
        listed = list_series(self._root)
        for lattice in range(len(self._lattices)):
            for product in PRODUCTS:
                if series_name(product, lattice) in listed:
                    series = self.ensure(product, lattice)
                    series.writer.trim(series.next_index)
                    build_pyramid(self._root, series.spec, series.next_index, self._context)

    def _check_unused(self, name: str) -> None:
        """A series that is made anew loses what it held."""
        n_committed = self._committed.get(name, 0)
        if n_committed:
            raise StoreError(
                f"expected {self._root / 'OME'} to list the series {name}, which has {n_committed} committed windows, "
                "found it missing; put the file back from a copy of the run, nothing was changed"
            )

    def _spec(self, product: Product, lattice: int) -> SeriesSpec:
        grid, window_s = self._lattices[lattice]
        return _make_spec(product, lattice, grid, window_s, self._facts)


def specs_of(segments: list[StoredSegment], facts: RunFacts) -> list[SeriesSpec]:
    """Every series that a run with these segments can have."""
    first_on_lattice: dict[int, StoredSegment] = {}
    for stored in segments:
        first_on_lattice.setdefault(stored.lattice, stored)
    return [
        _make_spec(product, lattice, stored.grid, window_seconds(stored.segment, facts.window_frames), facts)
        for lattice, stored in first_on_lattice.items()
        for product in PRODUCTS
    ]


def _make_spec(product: Product, lattice: int, grid: Grid, window_s: float | None, facts: RunFacts) -> SeriesSpec:
    dtype = "uint16" if product in ("counts", "mended") else facts.live_dtype
    return SeriesSpec(product, lattice, grid, dtype, facts.window_frames, window_s)
