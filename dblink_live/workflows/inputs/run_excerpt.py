"""The part of a run that is exported: one product of one segment, over a range of time and a region of the field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from dblink_live.errors import ConfigError, StoreError
from dblink_live.store import CommittedWindow, Product, Run, RunningSum, StoredSegment
from dblink_live.store.series import window_seconds
from dblink_live.types import FloatImage, Grid, Localizations, Shape

ExportProduct = Literal["live", "full", "sum"]
SUM_WINDOWS = 25
"""The plain sum is that of so many windows up to the one shown, as in the viewer."""


class Rectangle(NamedTuple):
    """A region of the field in camera pixels, counted from the field's upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Excerpt:
    """What is exported of a run; made by `choose_excerpt`."""

    run: Run
    stored: StoredSegment
    product: ExportProduct
    windows: range
    """Numbers of the windows, from the first to the last one in the range of time."""
    slices: tuple[slice, slice]
    """Rows and columns of the segment's grid."""
    rectangle: Rectangle | None
    """The region that was asked for; None is the whole field."""

    @property
    def grid(self) -> Grid:
        """The lattice of the pictures, which is the part of the segment's grid inside the region."""
        pitch_nm, origin_nm = self.stored.grid.pitch_nm, self.stored.grid.origin_nm
        corner = (origin_nm[0] + self.slices[0].start * pitch_nm, origin_nm[1] + self.slices[1].start * pitch_nm)
        return Grid(pitch_nm, Shape(*(one.stop - one.start for one in self.slices)), corner)

    @property
    def window_s(self) -> float | None:
        """Duration of a window; None if the run does not state the time between frames."""
        return window_seconds(self.stored.segment, self.run.window_frames)

    @property
    def description(self) -> str:
        """The product, what made it, and what it has seen, in one line."""
        if self.product == "sum":
            return f"plain sum of up to {SUM_WINDOWS} windows"
        full = self.run.full_facts
        if self.product == "full" and full is not None:
            ahead = "all later windows" if full.lookahead is None else f"at least {full.lookahead} later windows"
            return f"full pass of network {full.model}, {ahead} seen"
        return f"live pictures of network {self.run.info.model}, at most {self._lookahead()} later windows seen"

    @property
    def caution(self) -> str:
        """Who drew the pictures: a network, or nobody."""
        return "counted localizations" if self.product == "sum" else "drawn by a neural network"

    def when(self, window: int) -> str:
        """Return the time of a window's first frame, or its number if no time is known."""
        return f"window {window}" if self.window_s is None else f"{window * self.window_s:.2f} s"

    def pictures(self) -> Iterator[tuple[int, FloatImage | None]]:
        """Yield each window with its picture [H, W]; None for a window without one.

        The unit is probability of structure in [0, 1], or localizations per pixel of the plain sum.
        """
        if self.product == "sum":
            yield from self._sums()
            return
        rows = self._rows(self.product)
        for window in self.windows:
            row = rows.get(window)
            yield window, None if row is None else self.run.read_picture(row, self.slices)

    def picture(self, window: int) -> FloatImage | None:
        """Return the picture of one window, as `pictures` yields it."""
        return next(self._replaced(range(window, window + 1)).pictures())[1]

    def localizations(self) -> Localizations:
        """Return the localizations inside the range and the region, those of mended windows in place of the live ones.

        Positions stay in the camera pixels of the whole field.
        """
        segment = self.stored.segment.index
        mended = self._rows("mended")
        counted = self._rows("counts")
        parts = [
            self.run.localizations(segment, window, "mended" if window in mended else "counts")
            for window in self.windows
            if window in counted
        ]
        found = np.concatenate(parts) if parts else self.run.localizations(segment)[:0]
        if self.rectangle is None:
            return found
        x, y, width, height = self.rectangle
        is_inside = (found["x"] + 0.5 >= x) & (found["x"] + 0.5 < x + width)
        is_inside &= (found["y"] + 0.5 >= y) & (found["y"] + 0.5 < y + height)
        return found[is_inside]

    @property
    def n_frames(self) -> int:
        """One more than the number of the last camera frame."""
        return max((row.stop for window, row in self._rows("counts").items() if window in self.windows), default=0)

    def _sums(self) -> Iterator[tuple[int, FloatImage | None]]:
        running = RunningSum(self.run, self._rows("counts").values(), self.grid.shape, self.slices)
        for window in self.windows:
            total, n_summed = running.over(range(window + 1 - SUM_WINDOWS, window + 1))
            yield window, total.astype(np.float32) if n_summed else None

    def _rows(self, product: Product) -> dict[int, CommittedWindow]:
        return {row.window: row for row in self.run.windows(product, self.stored.segment.index)}

    def _replaced(self, windows: range) -> Excerpt:
        return Excerpt(self.run, self.stored, self.product, windows, self.slices, self.rectangle)

    def _lookahead(self) -> int:
        return max((row.lookahead or 0 for row in self._rows("live").values()), default=0)


def choose_excerpt(
    run: Run,
    product: ExportProduct | None = None,
    segment: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
) -> Excerpt:
    """Return the part of ``run`` that is asked for.

    Parameters
    ----------
    product
        None takes the full pass if there is one, else the live pictures, else the plain sum.
    segment
        None takes the longest one.
    region
        x, y, width, height in camera pixels from the field's upper left corner. None is the field; pictures that are
        live show the part of it that was live.
    from_s, to_s
        Windows that begin in this range of time, both ends included, counted from the segment's frame 0.

    Raises
    ------
    StoreError
        Nothing was committed yet.
    ConfigError
        The product, segment, region or range of time is not in the run.
    """
    stored = _segment(run, segment)
    index = stored.segment.index
    found = _product(run, index, product)
    rows = run.windows("counts" if found == "sum" else found, index)
    numbers = [row.window for row in rows]
    whole = range(min(numbers), max(numbers) + 1)
    rectangle = None if region is None else Rectangle(*region)
    live = run.live_region(index) if found == "live" else None
    shown = Rectangle(*live) if rectangle is None and live is not None else rectangle
    windows = _in_time(whole, window_seconds(stored.segment, run.window_frames), from_s, to_s)
    return Excerpt(run, stored, found, windows, grid_slices(stored, shown), rectangle)


def _segment(run: Run, asked: int | None) -> StoredSegment:
    segments = {stored.segment.index: stored for stored in run.segments}
    if not segments:
        raise StoreError(f"expected a run with a segment, found none in {run.path}: nothing was committed yet")
    if asked is not None and asked not in segments:
        raise ConfigError(f"expected a segment among {', '.join(map(str, segments))}, found {asked}")
    index = max(segments, key=lambda one: len(run.windows("counts", one))) if asked is None else asked
    if not run.windows("counts", index):
        raise StoreError(f"expected a window in segment {index} of {run.path}, found none: nothing was committed yet")
    return segments[index]


def _product(run: Run, segment: int, asked: ExportProduct | None) -> ExportProduct:
    products: tuple[Product, ...] = ("full", "live")
    made: list[ExportProduct] = [product for product in products if run.windows(product, segment)]  # type: ignore[misc]
    made.append("sum")
    if asked is None:
        return made[0]
    if asked not in get_args(ExportProduct):
        raise ConfigError(f"expected a product among {', '.join(get_args(ExportProduct))}, found {asked!r}")
    if asked not in made:
        advice = "; run `dblink-live refine` first" if asked == "full" else ""
        raise ConfigError(f"expected {asked} pictures in {run.path}, found only {' and '.join(made)}{advice}")
    return asked


def _in_time(whole: range, window_s: float | None, from_s: float | None, to_s: float | None) -> range:
    if from_s is None and to_s is None:
        return whole
    if window_s is None:
        raise ConfigError("expected no range of time: the run does not state the time between frames")
    begin, end = whole.start * window_s, (whole.stop - 1) * window_s
    low = begin if from_s is None else from_s
    high = max(low, end) if to_s is None else to_s
    low = min(low, high) if from_s is None else low
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(f"expected a range of time that begins before it ends, found {low:g} s to {high:g} s")
    # A window's time is a product of decimal fractions: 3 x 0.1 s is not exactly 0.3 s.
    first, last = math.ceil(low / window_s - 1e-6), math.floor(high / window_s + 1e-6)
    chosen = range(max(whole.start, first), min(whole.stop, last + 1))
    if not chosen:
        raise ConfigError(
            f"expected a range of time that holds the beginning of a window, found {low:g} s to {high:g} s; windows "
            f"begin every {window_s:g} s from {begin:g} s to {end:g} s"
        )
    return chosen


def grid_slices(stored: StoredSegment, rectangle: Rectangle | None) -> tuple[slice, slice]:
    """Return rows and columns of the grid that a region covers, those that it cuts included; None is the field.

    Raises
    ------
    ConfigError
        The region is not in the field, or the run does not state how large a camera pixel is.
    """
    height, width = stored.grid.shape
    if rectangle is None:
        return slice(0, height), slice(0, width)
    if stored.pixel_size_nm is None:
        raise ConfigError("expected no region: the run does not state how large a camera pixel is")
    field = stored.segment.shape
    x, y, w, h = rectangle
    if not (all(map(math.isfinite, rectangle)) and w > 0 and h > 0 and x >= 0 and y >= 0) or (
        x + w > field.width or y + h > field.height
    ):
        raise ConfigError(
            f"expected a region x,y,width,height inside the field of {field.width} x {field.height} camera pixels, "
            f"found {x:g},{y:g},{w:g},{h:g}"
        )
    return tuple(  # type: ignore[return-value]
        _covered(begin, extent, stored.pixel_size_nm, origin_nm, stored.grid.pitch_nm, side)
        for begin, extent, origin_nm, side in zip((y, x), (h, w), stored.grid.origin_nm, (height, width), strict=True)
    )


def _covered(begin: float, extent: float, pixel_nm: float, origin_nm: float, pitch_nm: float, side: int) -> slice:
    first = math.floor((begin * pixel_nm - origin_nm) / pitch_nm + 1e-6)
    stop = math.ceil(((begin + extent) * pixel_nm - origin_nm) / pitch_nm - 1e-6)
    first = min(max(first, 0), side - 1)
    return slice(first, min(max(stop, first + 1), side))
