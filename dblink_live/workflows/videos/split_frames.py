"""Two reconstructions of one stretch of a run, from independent halves of its localizations.

The first half of each window's frames against the second: blocks of half a window. A molecule that stays on across
the middle of a window is in both, all others in one, and motion is the same in both. Each half has half the
localizations, so the resolution that both share is that of a poorer recording, not a better one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dblink_live.config import run_config_from_plain
from dblink_live.errors import AnalysisError, ModelError, PluginError
from dblink_live.maps.binning import count_per_pixel
from dblink_live.store import CommittedWindow, Product, Run, StoredSegment
from dblink_live.types import CountImage, FloatImage, Shape
from dblink_live.workflows.live.run_model import LEFT_OUT, model_of
from dblink_live.workflows.progress import Progress

if TYPE_CHECKING:
    from dblink_live.models import Model

Region = tuple[slice, slice]
MAX_VALUES = 2**23
"""Pixels that are reconstructed again from each half: some seconds to a minute."""
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Halves:
    """Pictures [T, H, W] of each half, or why there are none."""

    pictures: tuple[FloatImage, FloatImage] | None = None
    reason: str = ""
    threshold: float = DEFAULT_THRESHOLD
    """Above which the model that made the run's pictures predicts structure; 0.5 where it cannot be had."""
    trained_density: tuple[float, float] | None = None
    """Localizations per square micrometre and frame that this model was trained on; None where it is not known."""


def split_reconstruction(
    run: Run,
    stored: StoredSegment,
    product: Product,
    region: Region,
    asked: str | None,
    is_wanted: bool,
    report: Progress,
) -> Halves:
    """Reconstruct the middle windows of a segment from each half of their frames, as ``product`` was made.

    Parameters
    ----------
    asked
        The model to use; None takes the run's own, which must be the very one that made its pictures.
    is_wanted
        False only looks up the model's threshold.

    Raises
    ------
    ModelError, PluginError
        The model that was ``asked`` for is unknown, or for another pitch.
    """
    from dblink_live.models.maps import check_pitch

    try:
        model = model_of(run, product, asked)
    except (ModelError, PluginError) as error:
        if asked is not None:
            raise
        return Halves(reason=str(error))
    known = Halves(threshold=model.threshold, trained_density=model.envelope.density)
    if not is_wanted:
        return replace(known, reason=LEFT_OUT)
    try:
        rows = run.windows("counts", stored.segment.index)
        n_pixels = math.prod(
            len(range(*one.indices(side))) for one, side in zip(region, stored.grid.shape, strict=True)
        )
        n_windows = max(1, MAX_VALUES // n_pixels)
        first = max(0, (len(rows) - n_windows) // 2)
        counts = count_halves(run, stored, rows[first : first + n_windows], region)
        check_pitch(stored.grid.pitch_nm, model)
    except AnalysisError as error:
        return replace(known, reason=str(error))
    except ModelError as error:
        if asked is not None:
            raise
        return Halves(reason=str(error))
    return replace(known, pictures=_reconstruct(counts, model, run, product, report))


def count_halves(
    run: Run, stored: StoredSegment, rows: list[CommittedWindow], region: Region
) -> tuple[CountImage, CountImage]:
    """Localizations per pixel and window [T, H, W] of the first and of the second half of each window's frames.

    Raises
    ------
    AnalysisError
        There is no window, windows have one frame, which cannot be halved, or the camera's pixel size is unknown.
    """
    if not rows:
        raise AnalysisError("the run has no window that could be halved")
    if run.window_frames < 2:
        raise AnalysisError("windows of one frame cannot be halved")
    if stored.pixel_size_nm is None:
        raise AnalysisError("the run does not say how large a camera pixel is")
    grid_rows, grid_cols = (range(*one.indices(side)) for one, side in zip(region, stored.grid.shape, strict=True))
    first, second = (np.zeros((len(rows), len(grid_rows), len(grid_cols)), np.uint16) for _ in range(2))
    for t, row in enumerate(rows):
        table = run.localizations(row.segment, row.window)
        y, x = stored.grid.index_of(table["y"], table["x"], stored.pixel_size_nm)
        y, x = y - grid_rows.start, x - grid_cols.start
        is_late = 2 * (table["frame"] - row.start) >= row.stop - row.start
        for image, chosen in ((first[t], ~is_late), (second[t], is_late)):
            image[:] = count_per_pixel(y[chosen], x[chosen], Shape(len(grid_rows), len(grid_cols)))
    return first, second


def _reconstruct(
    counts: tuple[CountImage, CountImage], model: Model, run: Run, product: Product, report: Progress
) -> tuple[FloatImage, FloatImage]:
    """Pictures of each half, with the lookahead that those of ``product`` had."""
    from dblink_live.models.offline import Lookahead, iter_reconstruct

    settings = run_config_from_plain(run.config).reconstruct
    lookahead: Lookahead = "full" if product == "full" else settings.lookahead
    pictures = tuple(np.zeros(half.shape, np.float32) for half in counts)
    with report.bar("reconstructing two halves", sum(map(len, counts)), "windows") as advance:
        for n_before, half, shown in zip((0, len(counts[0])), counts, pictures, strict=True):
            for window, picture in iter_reconstruct(half, model, lookahead, hop=settings.hop):
                shown[window] = picture
                advance(n_before + window + 1)
    return pictures[0], pictures[1]
