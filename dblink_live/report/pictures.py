"""The pictures of a report: plain sum and reconstruction of one moment, side by side at equal field and size."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dblink_live.analysis.resolution.regions import RegionFrc
from dblink_live.display.contrast import RECONSTRUCTION, SUM, ContrastPolicy, Limits, contrast_limits
from dblink_live.display.drawing import FAINT, TEXT, draw_scale_bar, shade, write_text
from dblink_live.report.facts import MainSegment
from dblink_live.store import Run, RunningSum
from dblink_live.store.journal import CommittedWindow
from dblink_live.store.running_sum import CountSum
from dblink_live.types import FloatImage, Grid

SUM_WINDOWS = 25
"""The plain sum is that of so many windows up to the one shown, as in the viewer: what is known at that moment."""
STILL_PX = 520
"""Longer side of a still."""
N_MOMENTS = 3
BLOCK_VALUES = 2**21
"""Pixels of maps that are read together."""


@dataclass(frozen=True)
class Moment:
    """Plain sum and reconstruction at one window, both [H, W]."""

    row: CommittedWindow
    plain_sum: CountSum
    n_summed: int
    """Windows that were summed: fewer at the start."""
    probability: FloatImage


@dataclass(frozen=True)
class Still:
    """One picture as a PNG, and what stands below it."""

    png: bytes
    caption: str
    limits: Limits


class MomentReader:
    """Reads moments of the main segment one by one: one plain sum is in memory at a time, however long the run is."""

    def __init__(self, run: Run, main: MainSegment) -> None:
        self._run = run
        self._sum = RunningSum(run, main.counts, main.stored.grid.shape)
        self.grid: Grid = main.stored.grid

    def read(self, row: CommittedWindow) -> Moment:
        """Return the moment of one committed picture."""
        total, n_summed = self._sum.over(range(row.window - SUM_WINDOWS + 1, row.window + 1))
        return Moment(row, total, n_summed, self._run.read_picture(row))

    def sum_around(self, row: CommittedWindow, half_width: int) -> tuple[CountSum, int]:
        """Return localizations per pixel [H, W] within +-``half_width`` windows of ``row``, and how many windows."""
        return self._sum.over(range(row.window - half_width, row.window + half_width + 1))


def moments_to_show(main: MainSegment) -> list[CommittedWindow]:
    """Pictures a sixth, a half and five sixths into the segment; fewer where it is short."""
    rows = main.pictures
    places = sorted({int(len(rows) * (2 * index + 1) / (2 * N_MOMENTS)) for index in range(N_MOMENTS)})
    return [rows[place] for place in places if place < len(rows)]


def stills(moment: Moment, grid: Grid, window_s: float | None) -> tuple[Still, Still]:
    """Plain sum and reconstruction of a moment, with scale bars."""
    row = moment.row
    when = f"window {row.window}" + ("" if window_s is None else f", {row.window * window_s:.1f} s")
    ahead = "all later windows seen" if row.product == "full" else f"{row.lookahead} later windows seen"
    missing = f"; {row.n_frames_missing} frames missing" if row.n_frames_missing else ""
    return (
        still(moment.plain_sum, grid, SUM, f"Plain sum of {moment.n_summed} windows, {when}{missing}"),
        still(moment.probability, grid, RECONSTRUCTION, f"Reconstruction, {when}; {ahead}{missing}"),
    )


def sum_of_all(run: Run, main: MainSegment, on_window: Callable[[], None]) -> npt.NDArray[np.uint32]:
    """Localizations per pixel [H, W] over the whole segment: the conventional picture, blurred by all motion."""
    height, width = main.stored.grid.shape
    total = np.zeros((height, width), np.uint32)
    per_block = max(1, BLOCK_VALUES // (height * width))
    for first in range(0, len(main.counts), per_block):
        block = main.counts[first : first + per_block]
        total += run.read_pictures(block).sum(axis=0, dtype=np.float64).astype(np.uint32)
        for _ in block:
            on_window()
    return total


def sum_still(total: npt.NDArray[np.uint32], grid: Grid, n_windows: int) -> Still:
    """The plain sum of a whole segment, with a scale bar."""
    return still(total, grid, SUM, f"Plain sum of all {n_windows} windows: what moves is blurred")


def region_still(total: npt.NDArray[np.uint32], grid: Grid, regions: RegionFrc) -> Still:
    """The plain sum of a whole segment, with the resolution of each region written on it."""
    limits = contrast_limits(total, SUM)
    picture = painted(total, grid, SUM, limits, STILL_PX)
    draw = ImageDraw.Draw(picture)
    px_per_nm = picture.width / (grid.shape.width * grid.pitch_nm)
    top, left = ((origin - own) * px_per_nm for origin, own in zip(regions.origin_nm, grid.origin_nm, strict=True))
    side = regions.side_nm * px_per_nm
    resolution = regions.resolution_nm()
    for row, col in np.ndindex(*regions.shape):
        y, x = top + row * side, left + col * side
        draw.rectangle((x, y, x + side, y + side), outline=FAINT)
        if np.isfinite(resolution[row, col]):
            write_text(draw, (x + 6, y + 14), f"{resolution[row, col]:.0f} nm", 12, "lm", TEXT, edge=2)
    caption = (
        "Resolution of the localizations by region: FRC at 1/7, on the plain sum of all windows. A square without a "
        "number holds too few to tell"
    )
    return Still(_png(picture), caption, limits)


def painted(
    image: npt.NDArray[Any],
    grid: Grid,
    policy: ContrastPolicy,
    limits: Limits,
    longer_side_px: int,
    *,
    even: bool = False,
    scale_bar: bool = True,
) -> Image.Image:
    """Return ``image`` [H, W] at ``longer_side_px``; ``even`` sides, as video wants them, cut off one pixel."""
    field_nm = (grid.shape.height * grid.pitch_nm, grid.shape.width * grid.pitch_nm)
    nm_per_px = max(field_nm) / longer_side_px
    height, width = (max(2, round(side / nm_per_px)) for side in field_nm)
    if even:
        height, width = height - height % 2, width - width % 2
    shaded = shade(image, grid.pitch_nm, nm_per_px, (height, width), policy, limits, "ember")
    picture = Image.fromarray(shaded)
    # On a sliver of a field the bar would cover what there is to see.
    if scale_bar and min(height, width) >= 64:
        draw_scale_bar(ImageDraw.Draw(picture), 0, 0, height, field_nm[1], nm_per_px)
    return picture


def still(image: npt.NDArray[Any], grid: Grid, policy: ContrastPolicy, caption: str) -> Still:
    """``image`` [H, W] at a still's size, with a scale bar, in the contrast that suits it."""
    limits = contrast_limits(image, policy)
    return Still(_png(painted(image, grid, policy, limits, STILL_PX)), caption, limits)


def _png(picture: Image.Image) -> bytes:
    packed = io.BytesIO()
    picture.save(packed, "PNG", optimize=True)
    return packed.getvalue()
