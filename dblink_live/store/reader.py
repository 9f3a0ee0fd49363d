"""Reads a run folder, finished, interrupted or while another process writes to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr

from dblink_live.errors import StoreError
from dblink_live.store.card import describe, newest_picture
from dblink_live.store.hierarchy import (
    ATTRIBUTES_KEY,
    FOLDER_NAME,
    is_series_name,
    list_series,
    read_array,
    read_group,
)
from dblink_live.store.journal import (
    CommittedWindow,
    Event,
    FullFacts,
    JournalReader,
    LedgerDict,
    LiveStep,
    MapProduct,
    Product,
    RunFacts,
    Status,
    StoredSegment,
)
from dblink_live.store.localizations import LocalizationReader, Table, concatenate
from dblink_live.store.lock import is_being_written
from dblink_live.text.html import show_facts
from dblink_live.types import FloatImage, Gap, Localizations, RunInfo


class CommittedArray:
    """The committed windows of one series, read when they are indexed: [T, H, W], like a NumPy array that lies on disk.

    The array on disk may be longer: it grows in blocks, and its last windows may be under way. Those are out of
    reach here.
    """

    def __init__(self, array: zarr.Array[Any], n_committed: int, value_scale: float) -> None:
        self.zarr = array
        """The array on disk, with its chunks and metadata."""
        self.value_scale = value_scale
        """A stored value times this is the probability, or the number of localizations."""
        self.shape: tuple[int, int, int] = (n_committed, int(array.shape[1]), int(array.shape[2]))
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = 3

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Index with integers and slices; beyond the committed windows it is an `IndexError`."""
        first, *others = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, others = slice(None), [Ellipsis, *others]
        if isinstance(first, slice):
            start, stop, step = first.indices(len(self))
            if step < 1:
                raise IndexError(f"expected a step of 1 or more along t, found {step}; reverse the result instead")
            first = slice(start, max(start, stop), step)
        else:
            first = int(first)
            if not -len(self) <= first < len(self):
                raise IndexError(
                    f"expected a window in [0, {len(self)}), found {first}; only committed windows can be read"
                )
            first %= len(self)
        return np.asarray(self.zarr[(first, *others)])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __repr__(self) -> str:
        return f"CommittedArray(shape={self.shape}, dtype={self.dtype})"


class Run:
    """A run folder, opened for reading. Made by `open_run`.

    Every access sees what is committed at that moment: read `counts` again to see more of a run that is being written.
    Nothing here writes, or makes a writer wait. Use one object per thread.

    Raises
    ------
    StoreError
        The folder does not exist, is no run, or its journal is damaged.

    Examples
    --------
    Read the newest picture of a run, finished or not::

        with open_run("cell1.run") as run:
            if run.live is not None and len(run.live):
                picture = run.live[-1] * run.live.value_scale
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise StoreError(
                f"expected a run folder, but {self.path} does not exist; give the folder that a run was written to"
            )
        self._journal = JournalReader(self.path)
        self._localizations: LocalizationReader | None = None
        self.facts: RunFacts = self._journal.facts()
        """Facts fixed at the creation of the run."""
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._scales: dict[str, float] = {}

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}: {value}" for name, value in describe(self).items())
        return f"Run({str(self.path)!r}, {facts})"

    def _repr_html_(self) -> str:
        return show_facts(f"Run {self.path.name}", describe(self), newest_picture(self))

    @property
    def info(self) -> RunInfo:
        """Identity, configuration, model and versions."""
        return self.facts.info

    @property
    def config(self) -> dict[str, object]:
        """The resolved configuration."""
        return self.facts.info.config

    @property
    def window_frames(self) -> int:
        """Camera frames per window."""
        return self.facts.window_frames

    @property
    def full_facts(self) -> FullFacts | None:
        """Settings of ``full``; None where there was no pass."""
        return self._journal.full_facts()

    @property
    def status(self) -> Status:
        """Return the status: running or finalizing only while its writer lives, else complete or interrupted."""
        status = self._journal.status()
        if status in ("running", "finalizing") and not is_being_written(self.path):
            # The writer may have completed the run between the two looks.
            status = self._journal.status()
            return "complete" if status == "complete" else "interrupted"
        return status

    @property
    def is_finalizing(self) -> bool:
        """Whether the run had come to its end, and all that is left is to trim arrays and add pyramids."""
        return self._journal.status() == "finalizing"

    @property
    def segments(self) -> list[StoredSegment]:
        """Segments with their grids, in order."""
        return self._journal.segments()

    def live_steps(self, segment: int | None = None) -> list[LiveStep]:
        """Return the windows whose live picture had something given up, or was made in a part of the field."""
        return self._journal.live_steps(segment)

    def live_region(self, segment: int) -> tuple[int, int, int, int] | None:
        """Return x, y, width, height in camera pixels of the part that the live pictures of a segment cover together.

        None where one of them covers the field, or where there are none.
        """
        regions = {step.window: step.region for step in self.live_steps(segment)}
        covered = [regions.get(row.window) for row in self.windows("live", segment)]
        parts = [region for region in covered if region is not None]
        if not parts or len(parts) < len(covered):
            return None
        left, top = min(x for x, *_ in parts), min(y for _, y, *_ in parts)
        right, bottom = max(x + width for x, _, width, _ in parts), max(y + height for _, y, _, height in parts)
        return left, top, right - left, bottom - top

    @property
    def gaps(self) -> list[Gap]:
        """Frames that will not come, in the order in which they were noticed."""
        return self._journal.gaps()

    @property
    def events(self) -> list[Event]:
        """The run's log."""
        return self._journal.events()

    @property
    def ledger(self) -> dict[int, LedgerDict]:
        """The stored ledger of each segment, in frames; a segment that has not ended in order has none."""
        return self._journal.ledgers()

    @property
    def counts(self) -> CommittedArray | None:
        """Localizations per pixel, uint16 [T, H, W], on the run's first lattice; None before the first segment."""
        return self.array("counts")

    @property
    def live(self) -> CommittedArray | None:
        """Pictures with bounded lookahead, uint8 or float16 [T, H, W], on the run's first lattice.

        Times ``value_scale`` they are probabilities; None before the first segment.
        """
        return self.array("live")

    @property
    def error(self) -> CommittedArray | None:
        """Probability that ``live`` is wrong, [T, H, W], scaled like it; None where the network predicts no errors."""
        return self.array("error")

    @property
    def full(self) -> CommittedArray | None:
        """Pictures of the full pass, [T, H, W], scaled like ``live``; None where there was none."""
        return self.array("full")

    @property
    def raw(self) -> zarr.Array[Any] | None:
        """Camera frames in ADU, uint8 or uint16 [T, H, W]; None where they were not recorded."""
        return self._open("raw") if (self.path / FOLDER_NAME / "raw" / "0" / "zarr.json").exists() else None

    @property
    def series(self) -> list[str]:
        """Names of all series: beside ``counts`` and ``live`` there is a ``counts_1`` where the grid changed."""
        return list_series(self.path / FOLDER_NAME)

    def array(self, series: str) -> CommittedArray | None:
        """Return the committed windows of a series [T, H, W], by its name; None where there is no such series."""
        # The number of rows comes first: whatever it counts is on disk when the array is opened after it.
        n_committed = self._journal.series_lengths().get(series, 0)
        if n_committed == 0 and series not in self.series:
            return None
        array = self._open(series, n_committed)
        return CommittedArray(array, n_committed, self._scales[series])

    def windows(self, product: Product | None = None, segment: int | None = None) -> list[CommittedWindow]:
        """Return the committed windows in the order of their writing, of a product and a segment or of all."""
        return self._journal.windows(product, segment)

    def committed_count(self, product: Product) -> int:
        """Return the number of committed windows of a product."""
        return self._journal.count(product)

    def read_window(
        self, window: CommittedWindow, region: tuple[slice, slice] = (slice(None), slice(None))
    ) -> npt.NDArray[Any]:
        """Return the stored pixels of one committed window [H, W], on whatever lattice it lies.

        Of a ``region``, rows and columns in pixels, only those.

        Raises
        ------
        StoreError
            They are damaged or missing.
        """
        array = self._open(window.series, window.array_index + 1)
        try:
            return np.asarray(array[(window.array_index, *region)])
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"expected window {window.window} of segment {window.segment} in {window.series}, found: {error}; run "
                "`dblink-live verify`"
            ) from error

    def read_picture(
        self, window: CommittedWindow, region: tuple[slice, slice] = (slice(None), slice(None))
    ) -> FloatImage:
        """Return one committed window as `read_window`, as probability in [0, 1], or as localizations per pixel.

        Raises
        ------
        StoreError
            Its pixels are damaged or missing.
        """
        stored = self.read_window(window, region).astype(np.float32)
        return np.asarray(stored * np.float32(self._scales[window.series]), np.float32)

    def read_pictures(
        self, windows: Sequence[CommittedWindow], region: tuple[slice, slice] = (slice(None), slice(None))
    ) -> FloatImage:
        """Return committed windows of one grid as `read_picture` does, [K, H, W].

        Windows at equal distances are read together, several times as fast as one by one.

        Raises
        ------
        StoreError
            The pixels of a window are damaged or missing.
        ValueError
            ``windows`` is empty.
        """
        parts = []
        for stretch in _stretches(windows):
            first, last = stretch[0], stretch[-1]
            step = stretch[1].array_index - first.array_index if len(stretch) > 1 else 1
            array = self._open(first.series, last.array_index + 1)
            try:
                stored = np.asarray(array[(slice(first.array_index, last.array_index + 1, step), *region)])
            except (OSError, ValueError, RuntimeError):
                # One by one, so that the error names the window.
                stored = np.stack([self.read_window(window, region) for window in stretch])
            parts.append(stored.astype(np.float32) * np.float32(self._scales[first.series]))
        return np.concatenate(parts)

    def localizations(
        self, segment: int | None = None, window: int | None = None, product: MapProduct = "counts"
    ) -> Localizations:
        """Return the localizations of the committed windows, in order: of all, of a segment, or of one window.

        Rows are of `LOCALIZATION_DTYPE`: positions, widths and precisions in camera pixels, photons in photo-electrons.

        With ``product="mended"`` those of the windows that were made whole from raw frames, and of no others.

        Raises
        ------
        StoreError
            A window was asked for that is not committed, or without a segment where there are several; or its bytes
            are damaged.
        """
        table: Table = "localizations" if product == "counts" else "mended"
        if window is not None and segment is None:
            segments = self.segments
            if len(segments) != 1:
                raise StoreError(f"expected a segment beside window {window}: the run has {len(segments)} segments")
            segment = segments[0].segment.index
        if window is not None and segment is not None:
            if self._journal.window(product, segment, window) is None:
                raise StoreError(f"expected window {window} of segment {segment} to be committed, but it is not")
            return self._localization_reader().read(segment, window, table)
        rows = self.windows(product, segment)
        return concatenate([self._localization_reader().read(row.segment, row.window, table) for row in rows])

    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which everything but pixels and localizations is seen as it was on entering.

        Keep it short: while it lasts the writer's log cannot be folded into the journal.
        """
        return self._journal.snapshot()

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the two databases; empty in a sound run."""
        found = {"journal": self._journal.damage(), "localizations": self._localization_reader().damage()}
        return [f"the {name} database is damaged: {text}" for name, text in found.items() if text is not None]

    def close(self) -> None:
        """Let go of the files."""
        self._journal.close()
        if self._localizations is not None:
            self._localizations.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _localization_reader(self) -> LocalizationReader:
        if self._localizations is None:
            self._localizations = LocalizationReader(self.path)
        return self._localizations

    def _open(self, series: str, at_least: int = 0) -> zarr.Array[Any]:
        """The array of a series; opened again when the cached metadata is from before it grew."""
        cached = self._arrays.get(series)
        if cached is not None and cached.shape[0] >= at_least:
            return cached
        if not is_series_name(series):
            raise StoreError(f"expected a series like counts or live_1 in {self.path}, found {series!r}")
        folder = self.path / FOLDER_NAME / series
        try:
            array = read_array(folder / "0")
            attributes: Any = read_group(folder).attrs.asdict()
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"expected the series {series} in {folder}, found: {error}; run `dblink-live verify`"
            ) from error
        if array.shape[0] < at_least:
            raise StoreError(
                f"expected {at_least} windows in {folder}, found {array.shape[0]}; run `dblink-live verify` on the run"
            )
        self._arrays[series] = array
        self._scales[series] = float(attributes.get(ATTRIBUTES_KEY, {}).get("value_scale", 1.0))
        return array


def _stretches(windows: Sequence[CommittedWindow]) -> Iterator[Sequence[CommittedWindow]]:
    """Cut ``windows`` where the series changes or the places along its array are not at equal distances."""
    first = 0
    for stop in range(1, len(windows) + 1):
        if stop < len(windows) and windows[stop].series == windows[first].series:
            step = windows[stop].array_index - windows[stop - 1].array_index
            if step > 0 and step == windows[first + 1].array_index - windows[first].array_index:
                continue
        yield windows[first:stop]
        first = stop


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Parameters
    ----------
    path
        The run folder: finished, interrupted, or being written by another process.

    Raises
    ------
    StoreError
        The folder does not exist, is no run, or its journal is damaged.

    Examples
    --------
    >>> open_run("no such folder")
    Traceback (most recent call last):
    dblink_live.errors.StoreError: ...

    A run is closed by ``with``, and its arrays are read when they are indexed::

        with open_run("cell1.run") as run:
            newest = run.live[-1] * run.live.value_scale  # float [H, W], probability of structure
            molecules = run.localizations()
    """
    return Run(path)
