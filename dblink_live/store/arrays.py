"""Writes windows into the arrays of a run, one shard each, through tensorstore.

zarr-python makes the hierarchy (`hierarchy`); tensorstore writes: it fsyncs, puts each file in place with a
rename, and runs beside the caller. A window is one file that is written once, so a reader sees it whole or not at all.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from dblink_live.errors import StoreError
from dblink_live.files import patiently, remove_tree
from dblink_live.store.hierarchy import BLOCK, SeriesSpec, count_levels, create_level, publish_levels
from dblink_live.types import FloatImage

_UNFINISHED = (".__lock", ".partial")
"""Suffixes of unfinished files of tensorstore and zarr-python."""

StoredImage = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float16]


class PendingWrite(Protocol):
    """A write under way."""

    def result(self) -> None:
        """Wait until the data is on disk; raise what went wrong."""


def make_context() -> Any:
    """Threads and caches of one writer. Nothing is cached: a window is written once and read by others."""
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "data_copy_concurrency": {"limit": 2},
            "file_io_concurrency": {"limit": 4},
            # A run has one writer, its lock sees to that. tensorstore's own locks would be the files being written:
            # a killed process leaves one behind, and the next writes into it without emptying it first, so that the
            # rest of a longer one stays as its tail. Without them each write begins a file of its own name.
            "file_io_locking": {"mode": "none"},
        }
    )


class SeriesWriter:
    """One pyramid level of a series, open for writing.

    Parameters
    ----------
    path
        Folder of the array.
    context
        Of `make_context`, shared among the writers of a run.
    """

    def __init__(self, path: Path, context: Any) -> None:
        self._path = path
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path.absolute().as_posix()}}
        self._array = ts.open(spec, open=True, context=context).result()

    @property
    def capacity(self) -> int:
        """Windows the array has room for."""
        return int(self._array.shape[0])

    def write(self, index: int, image: StoredImage) -> PendingWrite:
        """Begin to write a window. ``image`` may be reused as soon as this returns."""
        if index >= self.capacity:
            self._resize((index // BLOCK + 1) * BLOCK)
        pending = self._array[index].write(image)
        pending.copy.result()
        done: PendingWrite = pending.commit
        return done

    def read(self, index: int) -> StoredImage:
        """A window that was written before."""
        image: StoredImage = np.asarray(self._array[index].read().result())
        return image

    def trim(self, n_windows: int) -> None:
        """Give the array exactly ``n_windows``; what lay beyond, never committed, is deleted."""
        old_capacity = self.capacity
        if n_windows == old_capacity:
            return
        # tensorstore would ask the disk to delete each of the windows that were never written: 0.2 s for nothing.
        self._resize(n_windows, metadata_only=True)
        for index in range(n_windows, old_capacity):
            remove_tree(self._path / "c" / str(index))

    def _resize(self, n_windows: int, metadata_only: bool = False) -> None:
        _, height, width = self._array.shape
        shape = [n_windows, height, width]
        self._array = patiently(
            lambda: self._array.resize(exclusive_max=shape, resize_metadata_only=metadata_only).result(),
            self._path / "zarr.json",
        )


def remove_unfinished(series: Path, n_committed: int = 0) -> None:
    """Delete files of a series that a killed writer had not put in place. For the only writer there is.

    The ``n_committed`` windows before have none, and are not looked through. What cannot be deleted harms nothing.
    """
    in_flight = (path for path in series.glob("[0-9]*/c/*") if not _is_below(path.name, n_committed))
    for folder in (series, *series.glob("[0-9]*/"), *in_flight):
        pattern = "**/*" if folder.parent.name == "c" else "*"
        for path in folder.glob(pattern):
            if path.name.endswith(_UNFINISHED):
                with suppress(OSError):
                    path.unlink()


def _is_below(name: str, number: int) -> bool:
    return name.isdecimal() and int(name) < number


def checksum(image: npt.NDArray[Any]) -> bytes:
    """Identifies stored pixels: BLAKE2b-128 of their little-endian bytes in C order."""
    little_endian = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    return hashlib.blake2b(little_endian.reshape(-1).view(np.uint8).data, digest_size=16).digest()


def encode_probability(image: FloatImage, dtype: str) -> StoredImage:
    """A picture in [0, 1] as it is stored: 0 to 255 rounded to nearest, or half precision.

    Raises
    ------
    StoreError
        Values outside [0, 1], or NaN: a fault of the network that must not be stored as a picture.

    Examples
    --------
    >>> encode_probability(np.array([[0.0, 0.5, 1.0]], np.float32), "uint8")
    array([[  0, 128, 255]], dtype=uint8)
    """
    low, high = float(image.min()), float(image.max())
    if not (low >= 0.0 and high <= 1.0):  # also false for NaN
        raise StoreError(
            f"expected a reconstruction with values in [0, 1], found values from {low} to {high}; check the model"
        )
    if dtype == "float16":
        return image.astype(np.float16)
    stored: StoredImage = np.rint(image * np.float32(255)).astype(np.uint8)
    return stored


def build_pyramid(root: Path, spec: SeriesSpec, n_windows: int, context: Any) -> None:
    """Make the coarser levels of a finished series.

    Each level holds the maximum of 2 x 2 pixels of the one below: sparse maps keep their dots at every zoom, where a
    mean would fade them away. Sums are therefore only right at level 0.
    """
    if spec.n_levels == 1 or count_levels(root, spec, n_windows) == spec.n_levels:
        return
    publish_levels(root, spec, n_levels=1)  # what an earlier pyramid left is about to be replaced
    base = SeriesWriter(root / spec.name / "0", context)
    coarser = [SeriesWriter(create_level(root, spec, level, n_windows), context) for level in range(1, spec.n_levels)]
    pending: list[PendingWrite] = []
    for index in range(n_windows):
        image = base.read(index)
        for writer in coarser:
            image = max_pool(image)
            pending.append(writer.write(index, image))
        while len(pending) > 4 * len(coarser):
            pending.pop(0).result()
    for write in pending:
        write.result()
    publish_levels(root, spec, spec.n_levels)


def max_pool(image: StoredImage) -> StoredImage:
    """Maximum of 2 x 2 pixels; a last odd row or column is reduced with what there is of it.

    Examples
    --------
    >>> max_pool(np.array([[1, 2, 3], [0, 5, 0], [7, 0, 0]], np.uint8))
    array([[5, 3],
           [7, 0]], dtype=uint8)
    """
    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)))
    pooled: StoredImage = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).max(axis=(1, 3))
    return pooled
