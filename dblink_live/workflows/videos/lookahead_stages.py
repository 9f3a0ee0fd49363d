"""The same windows of a run at three stages of knowledge: at once, with the live lookahead, and by the full pass.

Provisional pictures are shown and never stored, so the network makes them again from the stored maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ModelError, PluginError
from dblink_live.store import Product, Run, SegmentCounts, StoredSegment
from dblink_live.types import FloatImage
from dblink_live.workflows.live.run_model import LEFT_OUT, model_of
from dblink_live.workflows.progress import Progress
from dblink_live.workflows.videos.stored_video import Region, StoredVideo

MAX_VALUES = 2**22
"""Pixels of pictures that are compared, and made again: some seconds to a minute."""
WARM_UP = 200
"""Windows that the forward direction runs through before the first picture that counts: several times its memory."""
_NO_FULL = "the run has no full pass beside the live one; `dblink-live refine` makes it"
_NO_LIVE = "the run has no picture of the live pass"


@dataclass(frozen=True)
class Stages:
    """Pictures [M, H, W] of the same windows; None where there are none, for the reason in ``missing``."""

    windows: npt.NDArray[np.int64]
    provisional: FloatImage | None
    bounded: FloatImage | None
    full: FloatImage | None
    missing: dict[str, str]


def stages_of(
    run: Run, stored: StoredSegment, region: Region, asked: str | None, is_wanted: bool, report: Progress
) -> Stages:
    """The middle windows of a segment, or its first ones where the network's memory could not be filled before those.

    Parameters
    ----------
    asked
        The model to use; None takes the one that made the live pictures.
    is_wanted
        False makes no provisional pictures.

    Raises
    ------
    ModelError, PluginError
        The model that was ``asked`` for is unknown, or for another pitch.
    """
    counts = SegmentCounts(run, stored, region)
    n_windows, height, width = counts.shape
    length = min(n_windows, max(1, MAX_VALUES // (height * width)))
    first = (n_windows - length) // 2
    warm_up = min(first, WARM_UP)
    if warm_up * height * width > 4 * MAX_VALUES:
        first = warm_up = 0
    begin = min((row.window for row in run.windows("counts", stored.segment.index)), default=0) + first
    windows = range(begin, begin + length)
    bounded = _stored(run, stored, "live", windows, region)
    full = _stored(run, stored, "full", windows, region)
    provisional, why_not = None, LEFT_OUT
    if not windows:
        why_not = "the run has no window"
    elif is_wanted:
        provisional, why_not = _provisional(run, stored, counts, first, length, warm_up, asked, report)
    missing = {"provisional": why_not, "bounded": _NO_LIVE, "full": _NO_FULL}
    return Stages(np.array(windows, np.int64), provisional, bounded, full, missing)


def _stored(run: Run, stored: StoredSegment, product: Product, windows: range, region: Region) -> FloatImage | None:
    if not run.windows(product, stored.segment.index) or not windows:
        return None
    return StoredVideo(run, stored, product, windows, region).at(np.arange(len(windows)))


def _provisional(
    run: Run,
    stored: StoredSegment,
    counts: SegmentCounts,
    first: int,
    length: int,
    warm_up: int,
    asked: str | None,
    report: Progress,
) -> tuple[FloatImage | None, str]:
    from dblink_live.models import StreamingEngine, bounded_pass
    from dblink_live.models.maps import check_pitch

    try:
        model = model_of(run, "live", asked)
        check_pitch(stored.grid.pitch_nm, model)
    except (ModelError, PluginError) as error:
        if asked is not None:
            raise
        return None, str(error)
    stretch = slice(first - warm_up, first + length)
    maps, present = counts[stretch], counts.present[stretch]
    pictures = np.zeros((length, *maps.shape[1:]), np.float32)
    engine = StreamingEngine(model.network, 0, 1)
    with report.bar("reconstructing without later windows", length, "windows") as advance:
        for picture in bounded_pass(engine, maps, present, first=warm_up):
            pictures[picture.window - warm_up] = picture.probability.cpu().numpy()
            advance(picture.window - warm_up + 1)
    return pictures, ""
