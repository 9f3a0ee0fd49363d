"""The camera frames of a run, as OME-Zarr series ``raw`` (``raw_1`` where the camera was started again).

    run/raw.sqlite              which shards are committed, with the number and time of each of their frames
    run.ome.zarr/raw/0/c/N/...  frames [t, y, x] in shards of 64, each one file that is written once

A shard of a large sensor has fewer frames, so that it fits into memory a few times. Frames follow each other along t in
the order of their numbers, without room for those that were lost: the journal says which number lies where.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore as ts
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import LocalStore

from dblink_live.files import patiently, remove_tree
from dblink_live.store.arrays import PendingWrite, checksum, make_context, remove_unfinished
from dblink_live.store.filesystem import store_error
from dblink_live.store.hierarchy import (
    ATTRIBUTES_KEY,
    AXIS_NAMES,
    FOLDER_NAME,
    list_series,
    publish_series,
    read_array,
    series_name,
)
from dblink_live.store.lock import WriterLock
from dblink_live.store.raw.journal import FILE_NAME, RawJournal, RawJournalReader, RawSession, RawShard
from dblink_live.types import FrameArray, Gap, Segment, Shape

LOCK_NAME = "raw.lock"
"""Of the file that says whether a recorder lives: it may outlive the run's process by the frames in the ring."""
SHARD_FRAMES = 64
MAX_SHARD_BYTES = 128 * 2**20
BLOCK_SHARDS = 16
"""Shards by which the array grows."""
MAX_IN_FLIGHT = 2
"""Shards that may wait for the disk before the recorder waits for them."""


def shard_frames(segment: Segment) -> int:
    """Frames per shard."""
    n_bytes = segment.shape.height * segment.shape.width * np.dtype(segment.dtype).itemsize
    return max(1, min(SHARD_FRAMES, MAX_SHARD_BYTES // n_bytes))


def create_raw(folder: Path, segment: Segment, pixel_size_nm: float) -> int:
    """Make the series for the frames of a camera that is about to start, and return the number of its session.

    Called by the run's own writer, which alone changes the list of series.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    try:
        return _create_raw(folder, segment, pixel_size_nm)
    except Exception as error:
        raise store_error(error, folder, "creating the array of raw frames") from error


def _create_raw(folder: Path, segment: Segment, pixel_size_nm: float) -> int:
    root = folder / FOLDER_NAME
    n_before = sum(name.startswith("raw") for name in list_series(root))
    name = series_name("raw", n_before)
    n_frames = shard_frames(segment)
    remove_tree(root / name)  # of an attempt that died before it was listed
    zarr.create_array(
        store=LocalStore(root / name / "0"),
        shape=(BLOCK_SHARDS * n_frames, *segment.shape),
        dtype=segment.dtype,
        chunks=(1, *segment.shape),
        shards=(n_frames, *segment.shape),
        # Halves what a camera with 12 noisy bits gives, at a small part of zstd's cost.
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        filters=None,
        fill_value=0,
        dimension_names=AXIS_NAMES,
        zarr_format=3,
    )
    zarr.create_group(LocalStore(root / name), attributes=raw_attributes(name, segment, pixel_size_nm))
    # Listed before its session is entered: a death in between leaves an empty series, never a session without one.
    publish_series(root, [name])
    journal = RawJournal(folder)
    try:
        session = journal.n_sessions
        journal.add_session(RawSession(session, segment.index, name, n_frames, None))
    finally:
        journal.close()
    return session


def raw_attributes(name: str, segment: Segment, pixel_size_nm: float) -> dict[str, Any]:
    """Attributes of the group: a pixel's coordinate is its centre, as in the other series."""
    interval_ms = segment.frame_interval_ms or segment.exposure_ms
    time_axis = {"name": "t", "type": "time", **({} if interval_ms is None else {"unit": "second"})}
    interval = 1.0 if interval_ms is None else interval_ms / 1000
    pixel_um = pixel_size_nm / 1000
    axes = [time_axis, *({"name": axis, "type": "space", "unit": "micrometer"} for axis in AXIS_NAMES[1:])]
    transformations = [
        {"type": "scale", "scale": [interval, pixel_um, pixel_um]},
        {"type": "translation", "translation": [interval / 2, pixel_um / 2, pixel_um / 2]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    return {
        "ome": {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]},
        ATTRIBUTES_KEY: {"product": "raw", "quantity": "camera counts", "value_scale": 1.0},
    }


class RawWriter:
    """Appends the frames of one session. The only writer of its shards, in the recorder's process.

    Parameters
    ----------
    folder
        The run folder.
    session
        Of `create_raw`.
    """

    def __init__(self, folder: Path, session: int) -> None:
        self._folder = folder
        self._lock = WriterLock(folder, LOCK_NAME)
        reader = RawJournalReader(folder)
        (found,) = (known for known in reader.sessions() if known.session == session)
        reader.close()
        self._session = found
        path = folder / FOLDER_NAME / found.series / "0"
        self._metadata = path / "zarr.json"
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path.absolute().as_posix()}}
        self._array = ts.open(spec, open=True, context=make_context()).result()
        self._journal = RawJournal(folder)
        self._frames = np.empty((found.shard_frames, *self._array.shape[1:]), self._array.dtype.numpy_dtype)
        self._numbers = np.empty(found.shard_frames, np.int64)
        self._times = np.empty(found.shard_frames, np.int64)
        self._n_filled = 0
        self._next_shard = 0
        self._in_flight: deque[tuple[PendingWrite, RawShard]] = deque()
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="checksum")
        self.n_committed = 0
        """Frames that are committed."""

    def append(self, number: int, t_host_ns: int, data: FrameArray) -> None:
        """Take one frame [H, W]; it is committed with its shard.

        Raises
        ------
        StoreError
            The disk failed. What was committed before is intact.
        """
        at = self._n_filled
        self._frames[at] = data
        self._numbers[at] = number
        self._times[at] = t_host_ns
        self._n_filled = at + 1
        if self._n_filled == len(self._frames):
            self._write()

    def record_gap(self, gap: Gap) -> None:
        """Note frames that will not come."""
        try:
            self._journal.add_gap(self._session.session, gap)
        except Exception as error:
            raise store_error(error, self._folder, "recording raw frames") from error

    def finish(self, ending: str) -> None:
        """Commit the rest, also of a shard that is not full, and say how the session ended."""
        if self._n_filled:
            self._write()
        self._commit(0)
        self._journal.end_session(self._session.session, ending)

    def close(self) -> None:
        """Let go of the files. What was not finished is not committed."""
        self._hashing.shutdown()
        self._journal.close()
        self._lock.release()

    def _write(self) -> None:
        self._commit(MAX_IN_FLIGHT - 1)
        n, first = self._n_filled, self._next_shard * len(self._frames)
        frames, numbers, times = self._frames[:n], self._numbers[:n].copy(), self._times[:n].copy()
        try:
            if first + n > self._array.shape[0]:
                self._grow()
            # It lets go of Python's lock and takes as long as the compression, which runs beside it.
            digest = self._hashing.submit(checksum, frames)
            pending = self._array[first : first + n].write(frames)
            pending.copy.result()
        except Exception as error:
            raise store_error(error, self._folder, "recording raw frames") from error
        shard = RawShard(self._session.session, self._next_shard, numbers, times, digest.result())
        self._in_flight.append((pending.commit, shard))
        self._n_filled = 0
        self._next_shard += 1

    def _grow(self) -> None:
        n_frames, height, width = self._array.shape
        shape = [n_frames + BLOCK_SHARDS * len(self._frames), height, width]
        self._array = patiently(lambda: self._array.resize(exclusive_max=shape).result(), self._metadata)

    def _commit(self, n_left: int) -> None:
        """Commit in order until at most ``n_left`` shards are under way."""
        try:
            while len(self._in_flight) > n_left:
                pending, shard = self._in_flight[0]
                pending.result()
                self._journal.add_shard(shard)
                self._in_flight.popleft()
                self.n_committed += len(shard.numbers)
        except Exception as error:
            raise store_error(error, self._folder, "recording raw frames") from error


class RawFrames:
    """The committed frames of one session, read by the camera's frame numbers."""

    def __init__(self, folder: Path, session: RawSession, shards: list[RawShard], gaps: list[Gap]) -> None:
        self.session = session
        self.shards = shards
        self.gaps = gaps
        """Frames that were not recorded."""
        self._folder = folder / FOLDER_NAME / session.series / "0"
        empty = np.empty(0, np.int64)
        self.numbers = np.concatenate([empty, *(shard.numbers for shard in shards)])
        """[T], the camera's number of each frame, rising."""
        self.t_host_ns = np.concatenate([empty, *(shard.t_host_ns for shard in shards)])
        """[T], when each was received."""

    @property
    def frame_shape(self) -> Shape:
        """Height and width of a frame in camera pixels."""
        return Shape(*read_array(self._folder).shape[1:])

    def read(self, shard: RawShard) -> npt.NDArray[Any]:
        """The frames [n, H, W] of one shard."""
        first = shard.shard * self.session.shard_frames
        return np.asarray(read_array(self._folder)[first : first + len(shard.numbers)])

    def read_numbers(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Numbers [n] and pixels [n, H, W] of the recorded frames among those with numbers [start, stop)."""
        # Frames lie side by side in the order of their numbers: all shards but the last are full.
        first, last = np.searchsorted(self.numbers, [start, stop])
        return self.numbers[first:last], np.asarray(read_array(self._folder)[first:last])


def read_raw(folder: Path) -> list[RawFrames]:
    """Recordings, one per session; empty where nothing was recorded."""
    if not (folder / FILE_NAME).exists():
        return []
    reader = RawJournalReader(folder)
    try:
        return [
            RawFrames(folder, session, reader.shards(session.session), reader.gaps(session.session))
            for session in reader.sessions()
        ]
    finally:
        reader.close()


def trim_raw(folder: Path) -> None:
    """Give each array exactly its committed frames, and delete shards that never were committed.

    Raises
    ------
    StoreError
        A recorder is still at work, or the folder cannot be written.
    """
    if not (folder / FILE_NAME).exists():
        return
    lock = WriterLock(folder, LOCK_NAME)
    try:
        for raw in read_raw(folder):
            _trim(folder / FOLDER_NAME / raw.session.series / "0", raw)
    except Exception as error:
        raise store_error(error, folder, "trimming the raw frames") from error
    finally:
        lock.release()


def _trim(path: Path, raw: RawFrames) -> None:
    remove_unfinished(path.parent)
    array = zarr.open_array(LocalStore(path), mode="r+", zarr_format=3)
    shape = (len(raw.numbers), *array.shape[1:])
    if array.shape != shape:
        patiently(lambda: array.resize(shape), path / "zarr.json")
    committed = {str(shard.shard) for shard in raw.shards}
    for leftover in (path / "c").glob("*"):
        if leftover.name not in committed:
            remove_tree(leftover)
