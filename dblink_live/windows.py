"""Localizations gathered into window maps on the fine grid: the network's input.

Windows are cut by the camera's own frame number, never by counting arrivals, so a lost frame leaves a gap in its
window and moves nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError, SourceError
from dblink_live.maps.binning import MAX_COUNT, count_per_pixel, count_per_window
from dblink_live.maps.count_maps import CountMaps
from dblink_live.types import CountImage, Gap, Grid, LocalizationMap, Localizations, Shape, empty_localizations


@dataclass(frozen=True)
class CompletedWindow:
    """A window of which every frame has been seen or is known to be missing."""

    map: LocalizationMap
    localizations: Localizations
    """Those of its frames, also those outside the grid; sorted as they came."""


def bin_localizations(
    localizations: Localizations,
    shape: tuple[int, int],
    pixel_size_nm: float,
    scale: int = 4,
    window: int = 10,
    first_frame: int = 0,
) -> CountMaps:
    """Count a finished table into window maps, uint16 [T, scale * H, scale * W], which know their pitch.

    Parameters
    ----------
    localizations
        Structured array with at least the fields frame, x and y (camera pixels, centre of pixel 0 at 0.0).
    shape
        Camera field (H, W) in pixels.
    pixel_size_nm
        Side of a camera pixel; the grid's pitch is ``pixel_size_nm / scale``.
    window
        Camera frames per window.
    first_frame
        Frame number at which window 0 starts; earlier rows are refused.

    Returns
    -------
    numpy.ndarray
        Counts, uint16 [T, scale * H, scale * W]. T is as large as the last localization needs; an empty table gives
        T = 0. Counts saturate at 65535, and rows outside the field are left out.

    Raises
    ------
    ConfigError
        ``scale`` or ``window`` below 1, or a pixel size of 0 or less.
    SourceError
        A row lies before ``first_frame``.

    Examples
    --------
    >>> table = np.array([(0, 0.0, 0.0), (25, 1.0, 0.0)], dtype=[("frame", "i8"), ("x", "f4"), ("y", "f4")])
    >>> maps = bin_localizations(table, (2, 2), 160.0)
    >>> maps.shape, maps.pitch_nm, int(maps[0, 2, 2]), int(maps[2, 2, 6])
    ((3, 8, 8), 40.0, 1, 1)
    """
    if scale < 1 or window < 1:
        raise ConfigError(f"expected scale and window of 1 or more, found scale {scale} and window {window}")
    if not pixel_size_nm > 0:
        raise ConfigError(f"expected a pixel size above 0 nm, found {pixel_size_nm}")
    localizations = np.asarray(localizations)  # also a table of `dblink_live.tables`
    grid = Grid(pixel_size_nm / scale, Shape(scale * shape[0], scale * shape[1]))
    if not len(localizations):
        return CountMaps(np.zeros((0, *grid.shape), np.uint16), grid.pitch_nm)
    windows = (np.asarray(localizations["frame"], np.int64) - first_frame) // window
    if windows.min() < 0:
        raise SourceError(
            f"expected frames from {first_frame} on, found frame {int(localizations['frame'].min())}; pass first_frame"
        )
    rows, cols = grid.index_of(localizations["y"], localizations["x"], pixel_size_nm)
    counts = count_per_window(windows, rows, cols, int(windows.max()) + 1, grid.shape)
    return CountMaps(counts, grid.pitch_nm)


class WindowAccumulator:
    """Gathers the frames of one segment, in order, into windows; each is handed out as soon as it is whole.

    Parameters
    ----------
    grid
        On which localizations are counted.
    pixel_size_nm
        Side of a camera pixel.
    window_frames
        Camera frames per window.
    segment
        Index written into the maps.
    first_frame
        Camera number at which window 0 starts.
    """

    def __init__(self, grid: Grid, pixel_size_nm: float, window_frames: int, *, segment: int, first_frame: int) -> None:
        if window_frames < 1:
            raise ConfigError(f"expected a window of 1 frame or more, found {window_frames}")
        self._grid = grid
        self._pixel_size_nm = pixel_size_nm
        self._window_frames = window_frames
        self._segment = segment
        self._first_frame = first_frame
        self._next_frame = first_frame
        self._window = 0
        self._n_seen = 0
        """Frames of the open window that have been seen."""
        self._t_last_ns = 0
        self._pending: list[Localizations] = []
        self.n_outside = 0
        """Localizations that lay outside the grid and were counted in no map."""

    def add(
        self, frame_numbers: npt.NDArray[np.int64], t_host_ns: npt.NDArray[np.int64], localizations: Localizations
    ) -> list[CompletedWindow]:
        """Take frames [N] that follow each other, with the localizations found in them (sorted by frame).

        Raises
        ------
        SourceError
            Frame numbers skip, repeat or run backwards (a source reports what is missing as a `Gap`), or a
            localization is out of order or lies in none of the frames.
        """
        expected = self._next_frame + np.arange(len(frame_numbers))
        wrong = np.flatnonzero(frame_numbers != expected)
        if len(wrong):
            at = int(wrong[0])
            raise SourceError(
                f"expected camera frame {int(expected[at])}, found {int(frame_numbers[at])}; "
                "frames must come in order, and missing ones be reported as a gap"
            )
        frame_of = localizations["frame"]
        self._check_localizations(frame_of, len(frame_numbers))
        completed: list[CompletedWindow] = []
        first = self._next_frame
        while first < self._next_frame + len(frame_numbers):
            stop = min(self._stop_of_window(), self._next_frame + len(frame_numbers))
            low, high = np.searchsorted(frame_of, [first, stop])
            self._pending.append(localizations[low:high])
            self._n_seen += stop - first
            self._t_last_ns = int(t_host_ns[stop - 1 - self._next_frame])
            if stop == self._stop_of_window():
                completed.append(self._complete())
            first = stop
        self._next_frame = first
        return completed

    def add_gap(self, gap: Gap) -> list[CompletedWindow]:
        """Take note that the next ``gap.count`` frames will not come.

        Raises
        ------
        SourceError
            The gap does not begin at the next frame, or its length is unknown (begin a new segment then).
        """
        if gap.count is None or gap.after + 1 != self._next_frame:
            raise SourceError(
                f"expected a gap of known length after frame {self._next_frame - 1}, found {gap.count} frames after "
                f"{gap.after}; begin a new segment instead"
            )
        self._next_frame += gap.count
        completed: list[CompletedWindow] = []
        while self._next_frame >= self._stop_of_window():
            completed.append(self._complete())
        return completed

    def flush(self) -> int:
        """End the segment and return the number of frames that were seen in its last, incomplete window."""
        n_tail, self._n_seen = self._n_seen, 0
        self._pending.clear()
        return n_tail

    def _check_localizations(self, frame_of: npt.NDArray[np.int64], n_frames: int) -> None:
        """Localizers come from elsewhere, too, and what one of them misnumbers would otherwise vanish unseen."""
        if not len(frame_of):
            return
        stop = self._next_frame + n_frames
        if frame_of[0] < self._next_frame or frame_of[-1] >= stop or np.any(frame_of[1:] < frame_of[:-1]):
            raise SourceError(
                f"expected localizations of frames {self._next_frame} to {stop - 1}, sorted by frame, found frames "
                f"{int(frame_of.min())} to {int(frame_of.max())}; correct the localizer"
            )

    def _stop_of_window(self) -> int:
        return self._first_frame + (self._window + 1) * self._window_frames

    def _complete(self) -> CompletedWindow:
        stop = self._stop_of_window()
        localizations = np.concatenate(self._pending) if self._pending else empty_localizations()
        map = LocalizationMap(
            segment=self._segment,
            window=self._window,
            start=stop - self._window_frames,
            stop=stop,
            counts=self._count(localizations),
            grid=self._grid,
            n_frames_missing=self._window_frames - self._n_seen,
            t_last_frame_ns=self._t_last_ns,
        )
        self._window += 1
        self._n_seen = 0
        self._pending = []
        return CompletedWindow(map, localizations)

    def _count(self, localizations: Localizations) -> CountImage:
        rows, cols = self._grid.index_of(localizations["y"], localizations["x"], self._pixel_size_nm)
        counts = count_per_pixel(rows, cols, self._grid.shape)
        self.n_outside += len(localizations) - int(counts.sum())
        return np.minimum(counts, MAX_COUNT).astype(np.uint16)
