"""What `analyze` is given, a run folder or a reconstruction, as a `Subject`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.summary import QUICK_PICTURES, Subject
from dblink_live.errors import ConfigError, SourceError, StoreError
from dblink_live.maps.binning import count_per_pixel
from dblink_live.store import Product, Run, StoredSegment, open_run
from dblink_live.types import FloatImage, Localizations, Shape
from dblink_live.workflows.inputs.run_excerpt import Rectangle, grid_slices
from dblink_live.workflows.progress import Progress
from dblink_live.workflows.videos.lookahead_stages import stages_of
from dblink_live.workflows.videos.split_frames import Region, split_reconstruction
from dblink_live.workflows.videos.stored_video import StoredVideo
from dblink_live.workflows.videos.video_files import as_probability, is_zarr, pitch_nm_of, read_video

MAX_VALUES = 2**25
"""Pixels of pictures that are held at once: 128 MB, and a few times as much while they are moved."""
QUICK_VALUES = 2**24
"""The same for a quick analysis."""
MAX_SIDE = 1024
"""Of the part of the field that is looked at: the densest square of larger ones."""
JOURNAL = "journal.sqlite"


@dataclass(frozen=True)
class AnalysisSettings:
    """What of a run or a reconstruction is analysed, and how."""

    product: Product | None = None
    """Pictures of a run; None takes the full pass where there is one."""
    segment: int | None = None
    """Segment of a run; None takes the longest one."""
    full: bool = False
    """Whether what takes long is measured too: the network runs again, over two halves of the frames and for
    provisional pictures, and all windows are looked at."""
    model: str | None = None
    """Network to run again; None takes the run's own."""
    fiducials: bool = False
    """Whether to look for beads, and measure drift by them."""
    reference: Path | None = None
    """A picture, or a video of as many windows, on the same pixels."""
    undrift: Path | None = None
    """File to write localizations or maps to, with the drift taken away."""
    pitch_nm: float | None = None
    """Side of a pixel of a reconstruction that does not state it."""


class Chosen(NamedTuple):
    """What is analysed of what there is."""

    subject: Subject
    product: Product | None
    segment: int | None
    n_windows: int
    window_frames: int = 1
    """Camera frames per window."""
    first_frame: int = 0
    """Of the first window."""


@contextmanager
def open_subject(path: Path, settings: AnalysisSettings, report: Progress) -> Iterator[Chosen]:
    """Read the run or reconstruction at ``path``; of a run, some windows are read only when figures are worked out.

    Raises
    ------
    StoreError, SourceError
        Nothing is there, or it is damaged or of another kind.
    ConfigError
        The run has no such product or segment, or an option does not go with what is there.
    ModelError
        A model was asked for that is unknown or does not fit.
    """
    if (path / JOURNAL).is_file():
        with open_run(path) as run:
            yield _from_run(run, settings, report)
    elif path.is_dir() and not is_zarr(path):
        raise StoreError(f"expected a run folder or a reconstruction, found neither in {path}")
    else:
        yield _from_file(path, settings)


def _from_file(path: Path, settings: AnalysisSettings) -> Chosen:
    for name, value in (("product", settings.product), ("segment", settings.segment), ("model", settings.model)):
        if value is not None:
            raise ConfigError(f"expected a run folder beside --{name}, found a reconstruction: {path}")
    if settings.fiducials or settings.undrift is not None:
        name = "fiducials" if settings.fiducials else "undrift"
        raise ConfigError(f"expected a run folder beside --{name}, found a reconstruction: {path}")
    video = read_video(path, npz_keys=("reconstruction", "X"), zarr_keys=("full", "live", "0"))
    if video.size == 0:
        raise SourceError(f"expected a reconstruction [T, H, W], found an empty array of shape {video.shape} in {path}")
    index = _spread(len(video), video.shape[1] * video.shape[2], settings.full)
    of_a_run = "are needed, which a reconstruction alone does not hold; give its run folder"
    subject = Subject(
        pictures=as_probability(video)[index],
        windows=index,
        pitch_nm=settings.pitch_nm or pitch_nm_of(path),
        reference=_reference(settings.reference, video.shape, index),
        missing={
            "pitch_nm": f"{path.name} does not say how large a pixel is; give --pitch-nm",
            "localizations": f"localizations {of_a_run}",
            "halves": f"independent halves of the localizations {of_a_run}",
            "all_pictures": f"maps of localizations {of_a_run}",
            **dict.fromkeys(("provisional", "bounded", "full"), f"pictures of several stages {of_a_run}"),
        },
    )
    return Chosen(subject, None, None, len(video))


def _from_run(run: Run, settings: AnalysisSettings, report: Progress) -> Chosen:
    if settings.pitch_nm is not None:
        raise ConfigError("expected no --pitch-nm beside a run folder, which states its own")
    stored, product = _choose(run, settings)
    segment = stored.segment.index
    localizations = run.localizations(segment)
    live = run.live_region(segment) if product == "live" else None
    region = _region(stored, localizations, None if live is None else Rectangle(*live))
    numbers = [row.window for row in run.windows(product, segment)]
    windows = range(min(numbers, default=0), max(numbers, default=-1) + 1)
    pictures = StoredVideo(run, stored, product, windows, region)
    index = _spread(len(windows), pictures.shape[1] * pictures.shape[2], settings.full)
    whole = (len(windows), *stored.grid.shape)
    reference = _reference(settings.reference, whole, index)
    halves = split_reconstruction(run, stored, product, region, settings.model, settings.full, report)
    stages = stages_of(run, stored, region, settings.model, settings.full, report)
    subject = Subject(
        pictures=pictures.at(index) if len(windows) else None,
        windows=index + windows.start,
        pitch_nm=stored.grid.pitch_nm,
        reference=None if reference is None else reference[(..., *region)],
        provisional=stages.provisional,
        bounded=stages.bounded,
        full=stages.full,
        revised=stages.windows,
        all_pictures=pictures if len(windows) else None,
        counts=StoredVideo(run, stored, "counts", windows, region),
        threshold=halves.threshold,
        trained_density=halves.trained_density,
        localizations=localizations,
        pixel_size_nm=stored.pixel_size_nm,
        halves=halves.pictures,
        # A drift that is taken away is measured as well as can be.
        is_quick=not settings.full and settings.undrift is None,
        has_fiducials=settings.fiducials,
        missing={
            "pictures": "the run has no picture yet",
            "all_pictures": "the run has no picture yet",
            "pixel_size_nm": "the run does not say how large a camera pixel is",
            "halves": halves.reason,
            **stages.missing,
        },
    )
    first_frame = min((row.start for row in run.windows("counts", segment)), default=0)
    return Chosen(subject, product, segment, len(windows), run.window_frames, first_frame)


def _choose(run: Run, settings: AnalysisSettings) -> tuple[StoredSegment, Product]:
    """The segment and product that were asked for, or else the longest one, and its full pass where there is one."""
    segments = {stored.segment.index: stored for stored in run.segments}
    if not segments:
        raise StoreError(f"expected a run with a segment, found none in {run.path}: nothing was committed yet")
    if settings.segment is not None and settings.segment not in segments:
        raise ConfigError(f"expected a segment among {', '.join(map(str, segments))}, found {settings.segment}")
    index = settings.segment
    if index is None:
        index = max(segments, key=lambda one: len(run.windows("counts", one)))
    product: Product = settings.product or ("full" if run.windows("full", index) else "live")
    if settings.product is not None and not run.windows(product, index):
        raise ConfigError(f"expected pictures of {product} in segment {index} of {run.path}, found none")
    return segments[index], product


def _region(stored: StoredSegment, localizations: Localizations, part: Rectangle | None) -> Region:
    """The field, or a ``part`` of it; where that is larger than `MAX_SIDE`, the square with most localizations.

    Squares lie on a lattice.
    """
    rows, cols = grid_slices(stored, part)
    height, width = rows.stop - rows.start, cols.stop - cols.start
    if max(height, width) <= MAX_SIDE or stored.pixel_size_nm is None:
        return slice(rows.start, rows.start + min(height, MAX_SIDE)), slice(
            cols.start, cols.start + min(width, MAX_SIDE)
        )
    y, x = stored.grid.index_of(localizations["y"], localizations["x"], stored.pixel_size_nm)
    y, x = y - rows.start, x - cols.start
    is_inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    n_rows, n_cols = (-(-side // MAX_SIDE) for side in (height, width))
    counts = count_per_pixel(y[is_inside] // MAX_SIDE, x[is_inside] // MAX_SIDE, Shape(n_rows, n_cols))
    row, col = (int(place) for place in np.unravel_index(int(counts.argmax()), counts.shape))
    top, left = rows.start + row * MAX_SIDE, cols.start + col * MAX_SIDE
    return slice(top, min(top + MAX_SIDE, rows.stop)), slice(left, min(left + MAX_SIDE, cols.stop))


def _reference(path: Path | None, shape: tuple[int, ...], index: npt.NDArray[np.int64]) -> FloatImage | None:
    """A picture [H, W], or those windows at ``index`` of a video that is as long as the one of ``shape`` [T, H, W]."""
    if path is None:
        return None
    video = as_probability(read_video(path, npz_keys=("reconstruction", "truth", "X"), zarr_keys=("full", "live", "0")))
    if video.shape[1:] != shape[1:] or len(video) not in (1, shape[0]):
        raise ConfigError(
            f"expected a reference of {shape[1]} x {shape[2]} pixels, one picture or {shape[0]}, found "
            f"{len(video)} of {video.shape[1]} x {video.shape[2]} in {path}"
        )
    return video[0] if len(video) == 1 else video[index]


def _spread(n_windows: int, n_pixels: int, full: bool) -> npt.NDArray[np.int64]:
    """Indices of all windows, or of as many at equal distances as are held at once or a quick analysis looks at."""
    most = max(2, (MAX_VALUES if full else QUICK_VALUES) // max(1, n_pixels))
    if not full:
        most = min(most, QUICK_PICTURES)
    return np.arange(0, n_windows, -(-n_windows // most) or 1)
