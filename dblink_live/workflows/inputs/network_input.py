"""The network's input, from whatever the user has: a localization table, a stack of frames, or maps of counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dblink_live.config import CameraConfig, LocalizerConfig
from dblink_live.errors import SourceError
from dblink_live.maps.binning import count_per_window, is_inside
from dblink_live.tables import LocalizationTable
from dblink_live.tables.extent import covering_grid, first_frame_note, span_frames
from dblink_live.types import CountImage, Grid, Localizations, Shape
from dblink_live.workflows.inputs.table_input import pixel_size_of, read_table, report_notes
from dblink_live.workflows.localize import LocalizedStack, is_source, is_stack, localize_stack
from dblink_live.workflows.progress import Progress, progress_of
from dblink_live.workflows.videos.video_files import ARRAY_SUFFIXES, is_zarr, pitch_nm_of, read_video

if TYPE_CHECKING:
    from dblink_live.models import Model
    from dblink_live.models.offline import CountsArray


@dataclass(frozen=True)
class Maps:
    """Localizations counted on a grid, window by window."""

    counts: CountsArray
    """[T, H, W], T, H and W at least 1."""
    grid: Grid
    n_localizations: int
    window_s: float | None = None
    """Duration of a window; None where the frame interval is unknown."""


class CountedTable:
    """A table as counts [T, H, W], each window counted when it is read: as maps a long table would not fit into memory.

    Parameters
    ----------
    localizations
        In any order; those outside ``grid`` are left out.
    pixel_size_nm
        Of the camera pixels in which the table's positions are given.
    window_frames
        Camera frames per window.
    n_frames
        Camera frames from the table's first one on; None takes the last frame that has a localization.
    """

    def __init__(
        self,
        localizations: Localizations,
        grid: Grid,
        pixel_size_nm: float,
        window_frames: int,
        first_frame: int,
        n_frames: int,
    ) -> None:
        rows, cols = grid.index_of(localizations["y"], localizations["x"], pixel_size_nm)
        windows = (localizations["frame"] - first_frame) // window_frames
        n_windows = -(-n_frames // window_frames)
        inside = is_inside(rows, cols, grid.shape) & (windows >= 0) & (windows < n_windows)
        order = np.argsort(windows[inside], kind="stable")
        self.shape = (n_windows, *grid.shape)
        self.n_inside = len(order)
        self._pixels = (rows[inside] * grid.shape.width + cols[inside])[order]
        self._starts = np.searchsorted(windows[inside][order], np.arange(n_windows + 1))

    def __getitem__(self, key: slice) -> CountImage:
        _, height, width = self.shape
        chosen = range(*key.indices(self.shape[0]))
        counts = np.zeros((len(chosen), height, width), np.uint16)
        for image, window in zip(counts, chosen, strict=True):
            rows, cols = np.divmod(self._pixels[self._starts[window] : self._starts[window + 1]], width)
            image[:] = count_per_window(np.zeros_like(rows), rows, cols, 1, Shape(height, width))[0]
        return counts


def read_maps(
    source: str,
    model: Model,
    window_frames: int = 10,
    localizer: LocalizerConfig = LocalizerConfig(),
    camera: CameraConfig = CameraConfig(),
    progress: bool | Progress = False,
    *,
    channel: str | None = None,
    unit: str | None = None,
) -> Maps:
    """Maps of a table, stack or array of maps on the grid of ``model``.

    Parameters
    ----------
    source
        Path of a localization table, stack or array, or a source such as ``tiff:stack.dat``.
    window_frames
        Camera frames per window.
    localizer, camera
        For a stack; a table needs only the camera's pixel size. Of an array that is the pitch of its grid.
    channel, unit
        Of a table, as `dblink_live.tables.read_localizations` takes them.

    Raises
    ------
    SourceError
        The input is missing, empty, damaged or of another kind.
    CalibrationError
        The camera's pixel size is needed and unknown.
    ModelError
        The maps are on another pitch than the model's.
    """
    report = progress_of(progress)
    path = Path(source)
    if path.suffix.lower() in ARRAY_SUFFIXES or is_zarr(path):
        return _from_array(path, model, camera.pixel_size_nm)
    if is_stack(path) or is_source(source):
        found = localize_stack(source, localizer, camera, report)
        return _from_stack(found, source, model.pixel_size_nm, window_frames)
    table = read_table(path, pixel_size_of(camera), channel=channel, unit=unit)
    maps = _from_table(table, str(path), model.pixel_size_nm, window_frames, report)
    report_notes(table, path, report)
    return maps


def _from_array(path: Path, model: Model, told_nm: float | None) -> Maps:
    from dblink_live.models.maps import check_pitch

    counts = read_video(path, npz_keys=("X", "counts"), zarr_keys=("counts", "0"))
    for pitch_nm in (told_nm, pitch_nm_of(path)):
        if pitch_nm is not None:
            check_pitch(pitch_nm, model)
    if counts.size == 0:
        raise SourceError(f"expected maps [T, H, W], found none: shape {counts.shape} in {path}")
    total = int(counts.sum(dtype=np.float64)) if np.isfinite(counts).all() else 0
    return Maps(counts, Grid(model.pixel_size_nm, Shape(*counts.shape[1:])), total)


def _from_stack(found: LocalizedStack, source: str, pitch_nm: float, window_frames: int) -> Maps:
    if found.n_frames == 0:
        raise SourceError(f"expected frames in {source}, found none")
    segment = found.segment
    interval_ms = segment.frame_interval_ms or segment.exposure_ms
    return _count(
        found.localizations,
        Grid.covering(segment.shape, found.camera.pixel_size_nm, pitch_nm),
        found.camera.pixel_size_nm,
        window_frames,
        frames=(0, found.n_frames),
        interval_ms=interval_ms,
    )


def _from_table(table: LocalizationTable, name: str, pitch_nm: float, window_frames: int, report: Progress) -> Maps:
    frames = span_frames(table, window_frames, name)
    grid = covering_grid(table, pitch_nm, name)
    maps = _count(table.localizations, grid, table.pixel_size_nm, window_frames, frames)
    note = first_frame_note(frames[0], window_frames)
    if note is not None:
        report.note(note)
    n_outside = len(table.localizations) - maps.n_localizations
    if n_outside:
        report.warn(f"{n_outside} of {len(table.localizations)} localizations lie outside the field and are left out")
    return maps


def _count(
    localizations: Localizations,
    grid: Grid,
    pixel_size_nm: float,
    window_frames: int,
    frames: tuple[int, int],
    interval_ms: float | None = None,
) -> Maps:
    first, stop = frames
    counts = CountedTable(localizations, grid, pixel_size_nm, window_frames, first, stop - first)
    window_s = None if interval_ms is None else interval_ms * window_frames / 1000
    return Maps(counts, grid, counts.n_inside, window_s)
