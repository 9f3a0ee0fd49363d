"""An NDTiff dataset that may still be growing: its entries in order, its images once whole, its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.sources.ndtiff.images import NdtiffImage, NdtiffImages
from dblink_live.sources.ndtiff.index import INDEX_NAME, IndexEntry, IndexReader, NotWholeError
from dblink_live.sources.ndtiff.metadata import Metadata
from dblink_live.sources.ndtiff.names import NameResolver

SETTLE_S = 0.5
"""A dataset that looks closed for so long is finished. A writer that goes on in the next file looks so for a moment."""

WRITTEN_WITHIN_S = 5.0
"""An index that was written to so lately may have its writer still."""


class GrowingDataset:
    """A dataset on disk, read while another program writes it.

    Parameters
    ----------
    folder
        The folder that holds the index.
    patience_s
        What the index names but is not whole in its file (which is usual for an instant, and longer on a network
        share) is damage after so long.

    Raises
    ------
    SourceError
        The index cannot be opened.
    """

    def __init__(self, folder: Path, patience_s: float) -> None:
        self.folder = folder
        self._patience_ns = int(patience_s * 1e9)
        self._index = _open_index(folder)
        self._images = NdtiffImages(folder)
        self._names = NameResolver(folder, self._images)
        self._last: IndexEntry | None = None
        self._files: set[str] = set()
        """Data files that the index has named so far."""
        self._grew_ns = time.perf_counter_ns()
        self._partial_since_ns: int | None = None
        self._closed_since_ns: int | None = None

    @property
    def quiet_s(self) -> float:
        """Seconds since the last image was taken, or since the dataset was opened."""
        return (time.perf_counter_ns() - self._grew_ns) * 1e-9

    def next_entry(self) -> IndexEntry | None:
        """The next entry of the index; None while it is not there, or not whole.

        Raises
        ------
        SourceError
            The index is damaged here.
        """
        try:
            entry = self._index.peek()
            if entry is not None:
                return self._names.resolve(entry)
        except NotWholeError as error:
            self._be_patient(error)
            return None
        self._partial_since_ns = None
        return None

    def read(self, entry: IndexEntry) -> NdtiffImage | None:
        """The image of ``entry``; None while it is not whole.

        Raises
        ------
        SourceError
            The image is damaged, or not a grey one of 8 to 16 bits.
        """
        try:
            return self._images.read(entry)
        except NotWholeError as error:
            self._be_patient(error)
            return None

    def summary(self, entry: IndexEntry) -> Metadata | None:
        """The dataset's summary, from the file of ``entry``; None while it is not whole.

        Raises
        ------
        SourceError
            The file is damaged, or no NDTiff file.
        """
        try:
            return self._images.summary(entry)
        except NotWholeError as error:
            self._be_patient(error)
            return None

    def take(self, entry: IndexEntry) -> None:
        """Go on behind ``entry``."""
        self._index.take(entry)
        self._last = entry
        self._files.add(entry.file)
        self._grew_ns = time.perf_counter_ns()
        self._partial_since_ns = self._closed_since_ns = None

    def entries_now(self) -> Iterator[IndexEntry]:
        """All entries that are there now, from the first one; `next_entry` is not moved."""
        index = _open_index(self.folder)
        try:
            while (entry := index.peek()) is not None:
                yield self._names.resolve(entry)
                index.take(entry)
        except NotWholeError:
            return  # The end of what can be read now.
        finally:
            index.close()

    def check_no_more(self) -> None:
        """Raise `SourceError` where the index goes on behind the last image that can be read."""
        if self._last is not None and self._index.has_more():
            raise SourceError(
                f"expected the end of the index of {self.folder} behind the image {dict(self._last.axes)}, found more "
                "that cannot be read; the dataset is damaged or was not copied whole: copy it again. What lies before "
                "was read"
            )

    def is_being_written(self) -> bool:
        """Return whether the index was written to a moment ago."""
        return self._index.quiet_s() < WRITTEN_WITHIN_S

    def is_closed(self) -> bool:
        """Return whether the writer has finished the dataset; true only once it has looked so for a while."""
        if not self._looks_closed():
            self._closed_since_ns = None
            return False
        now_ns = time.perf_counter_ns()
        if self._closed_since_ns is None:
            self._closed_since_ns = now_ns
        return now_ns - self._closed_since_ns > SETTLE_S * 1e9

    def close(self) -> None:
        """Close the files."""
        self._index.close()
        self._images.close()

    def _looks_closed(self) -> bool:
        """Whether index and data file both end behind the last image, and no further data file has been begun.

        Both writers preallocate what they write, and cut it to its length when they close it.
        """
        if self._last is None or not self._index.ends_here() or not self._images.ends_behind(self._last):
            return False
        return all(path.name in self._files for path in self.folder.glob("*.tif"))

    def _be_patient(self, error: NotWholeError) -> None:
        # The entry itself may be what is not whole, though it looked so.
        self._index.reread()
        now_ns = time.perf_counter_ns()
        if self._partial_since_ns is None:
            self._partial_since_ns = now_ns
        if now_ns - self._partial_since_ns > self._patience_ns:
            raise SourceError(
                f"{error}; the dataset is damaged or was not copied whole: copy it again. What lies before was read"
            ) from error


def _open_index(folder: Path) -> IndexReader:
    path = folder / INDEX_NAME
    try:
        return IndexReader(path)
    except OSError as error:
        raise SourceError(f"expected to read the index {path}, found: {error.strerror or error}") from error
