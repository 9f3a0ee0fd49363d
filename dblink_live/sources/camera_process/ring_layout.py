"""Memory layout of a frame ring.

    header and control words | slot heads | slot pixels | event records

All control values are aligned 64-bit words, written whole: a reader sees the old value or the new one. Each word has
one writer only. Slots and events carry sequence numbers (a seqlock): odd while they are being written, and
``2 * (index + 1)`` once the item of that index is whole.
"""

from __future__ import annotations

import math
import mmap
import threading
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.latency import MIN_RING_SLOTS, RING_S

MAGIC = int.from_bytes(b"DBLKRING", "little", signed=True)
VERSION = 2
N_READERS = 2
RECONSTRUCTOR, RECORDER = range(N_READERS)
"""The readers' places."""
HEADER_BYTES = 4096
N_EVENTS = 1024
TEXT_BYTES = 1920
_PAGE = 4096

Words = npt.NDArray[np.int64]


class Word(IntEnum):
    """Index of each control word. Words of different writers lie on different cache lines."""

    MAGIC = 0
    VERSION = 1
    N_SLOTS = 2
    SLOT_BYTES = 3
    N_EVENTS = 4
    WRITER_BEAT_NS = 16
    N_FRAMES = 17
    """Frames written so far: the index of the next one."""
    N_RECORDS = 18
    """Events written so far."""
    N_POPPED = 19
    """Frames that the core has handed over."""
    N_CAMERA_LOST = 20
    """Frames whose numbers the camera skipped."""
    N_CAMERA_UNKNOWN = 21
    """Losses of unknown size."""
    START = 32
    """A reader asks the camera to start."""
    STOP = 33
    """A reader asks the camera to stop."""
    READER_0 = 48
    """First word of the first reader's block; blocks follow each other at `READER_STRIDE`."""


READER_STRIDE = 16


class ReaderWord(IntEnum):
    """Offsets in a reader's block."""

    BEAT_NS = 0
    POSITION = 1
    """Index of the next frame that it will read."""
    N_SKIPPED = 2
    """Frames that were overwritten before it read them."""
    HOLDS = 3
    """1 while no frame may be overwritten that this reader has not read. Only the recorder may say so."""


class EventKind(IntEnum):
    """What an event in the ring tells."""

    SEGMENT = 1
    GAP = 2
    ERROR = 3
    END = 4
    LOST = 5
    """An error of another kind: opened anew, the camera may give frames again."""


EVENT_DTYPE = np.dtype(
    {
        "names": ["seq", "kind", "position", "segment", "after", "count", "n_text", "text"],
        "formats": [np.int64] * 7 + [f"V{TEXT_BYTES}"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 128],
        "itemsize": 2048,
    }
)
"""``position`` is the index of the frame before which the event happened; ``count`` is -1 when unknown."""

HEAD_DTYPE = np.dtype(
    {
        "names": ["seq", "number", "t_host_ns", "segment", "n_saturated", "nbytes"],
        "formats": [np.int64] * 6,
        "itemsize": 64,
    }
)


@dataclass(frozen=True)
class RingShape:
    """Geometry of a ring: how many frames of at most how many bytes."""

    n_slots: int
    slot_bytes: int
    n_events: int = N_EVENTS

    def __post_init__(self) -> None:
        if self.n_slots < 2 or self.slot_bytes < 1 or self.n_events < 2:
            raise SourceError(f"expected a ring of at least 2 slots and 2 events, found {self}")

    @property
    def slot_stride(self) -> int:
        return -(-self.slot_bytes // _PAGE) * _PAGE

    @property
    def heads_at(self) -> int:
        return HEADER_BYTES

    @property
    def pixels_at(self) -> int:
        heads = self.n_slots * HEAD_DTYPE.itemsize
        return self.heads_at + -(-heads // _PAGE) * _PAGE

    @property
    def events_at(self) -> int:
        return self.pixels_at + self.n_slots * self.slot_stride

    @property
    def nbytes(self) -> int:
        return self.events_at + self.n_events * EVENT_DTYPE.itemsize


MAX_RING_BYTES = 2**30


def ring_shape(frame_bytes: int, fps: float) -> RingShape:
    """A ring of about `RING_S` seconds, within `MAX_RING_BYTES`."""
    wanted = max(MIN_RING_SLOTS, math.ceil(RING_S * fps))
    affordable = max(4, MAX_RING_BYTES // frame_bytes)
    return RingShape(n_slots=min(wanted, affordable), slot_bytes=frame_bytes)


@dataclass(frozen=True)
class RingViews:
    """Numpy views on a mapped ring. They must be dropped before the mapping can close."""

    shape: RingShape
    words: Words
    heads: npt.NDArray[np.void]
    """[n_slots] of `HEAD_DTYPE`."""
    pixels: npt.NDArray[np.uint8]
    """[n_slots, slot_stride]."""
    events: npt.NDArray[np.void]
    """[n_events] of `EVENT_DTYPE`."""

    @classmethod
    def of(cls, mapping: mmap.mmap, shape: RingShape) -> RingViews:
        return cls(
            shape=shape,
            words=np.frombuffer(mapping, np.int64, HEADER_BYTES // 8),
            heads=np.frombuffer(mapping, HEAD_DTYPE, shape.n_slots, shape.heads_at),
            pixels=np.frombuffer(mapping, np.uint8, shape.n_slots * shape.slot_stride, shape.pixels_at).reshape(
                shape.n_slots, shape.slot_stride
            ),
            events=np.frombuffer(mapping, EVENT_DTYPE, shape.n_events, shape.events_at),
        )

    def reader_words(self, reader: int) -> Words:
        if not 0 <= reader < N_READERS:
            raise SourceError(f"expected reader 0 to {N_READERS - 1} of the frame ring, found {reader}")
        start = Word.READER_0 + reader * READER_STRIDE
        return self.words[start : start + READER_STRIDE]


_fence_lock = threading.Lock()


def fence() -> None:
    """Keep memory operations before and after this call in order, on processors that reorder stores too (ARM).

    Taking a lock keeps what follows behind it and giving it back keeps what precedes before it; done twice, nothing
    crosses from one side to the other.
    """
    with _fence_lock:
        pass
    with _fence_lock:
        pass
