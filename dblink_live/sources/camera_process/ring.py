"""The frame ring and its writer, which never waits. `RingReader` is in `ring_reader`.

The camera process writes frames and events into shared memory; other processes read them in order. A reader that
falls behind loses whole frames, never parts of one: it copies a frame out, then checks the frame's sequence number
again. What it lost it reports as `Gap`, in its place among the frames. Only the recorder may hold back slots that it
has not read: a new frame for which there is no slot is then dropped, and both readers are told by a `Gap`.

Events (a new segment, frames that the camera lost, an error, the end) are rare and must not be overwritten by frames,
so they have a ring of their own; each says before which frame it belongs.
"""

from __future__ import annotations

import json
import mmap
import time
from dataclasses import asdict, dataclass

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.latency import RECORDER_TIMEOUT_S, RING_HEAD_START
from dblink_live.sources.camera_process.ring_layout import (
    MAGIC,
    RECORDER,
    TEXT_BYTES,
    VERSION,
    EventKind,
    ReaderWord,
    RingShape,
    RingViews,
    Word,
    fence,
)
from dblink_live.types import Frame, FrameArray, Gap, GapCause, Segment

UNKNOWN = -1
_BEFORE_THE_RING = (GapCause.CAMERA, GapCause.PREVIEW)
"""Causes of losses of frames that never reached the ring."""


@dataclass(frozen=True)
class RingError:
    """The writer gave up; ``message`` says why."""

    message: str
    may_come_back: bool = False
    """Whether the camera went away for now, rather than failed."""


@dataclass(frozen=True)
class RingEnd:
    """The writer has written its last item."""


RingItem = Segment | Frame | Gap | RingError | RingEnd


@dataclass(frozen=True)
class RingCounters:
    """Counters of the writer and of one reader."""

    n_popped: int
    """Frames that the camera handed over."""
    n_camera_lost: int
    """Frames whose numbers the camera skipped."""
    n_camera_unknown: int
    """Losses of unknown size."""
    n_written: int
    n_read_or_skipped: int
    n_skipped: int
    """Frames that were overwritten before the reader came."""

    @property
    def depth(self) -> int:
        """Frames waiting in the ring."""
        return self.n_written - self.n_read_or_skipped


class RingWriter:
    """The only writer of a ring.

    Parameters
    ----------
    mapping
        Shared memory of at least ``shape.nbytes`` zero bytes; see `dblink_live.sources.camera_process.shared_memory`.
    shape
        Number and size of the slots.
    """

    def __init__(self, mapping: mmap.mmap, shape: RingShape) -> None:
        self._mapping = mapping
        self._views = RingViews.of(mapping, shape)
        self._words = self._views.words
        self._n_frames = 0
        self._n_records = 0
        self._segment: Segment | None = None
        self._dropped: Gap | None = None
        """Frames dropped since the last one that was written, not yet reported."""
        self._recorder_beat = 0
        self._recorder_seen_at = 0.0
        self._words[Word.VERSION] = VERSION
        self._words[Word.N_SLOTS] = shape.n_slots
        self._words[Word.SLOT_BYTES] = shape.slot_bytes
        self._words[Word.N_EVENTS] = shape.n_events
        fence()
        self._words[Word.MAGIC] = MAGIC

    def write_frame(self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0) -> None:
        """Copy one frame [H, W] into the next slot, over the oldest one if need be; drop it where the recorder objects.

        Raises
        ------
        SourceError
            The frame is not of the segment's shape and type.
        """
        expected = self._segment
        if expected is None or data.shape != expected.shape or data.dtype != expected.dtype:
            found = f"{data.shape} {data.dtype}"
            known = f"{tuple(expected.shape)} {expected.dtype}" if expected else "a segment first"
            raise SourceError(
                f"expected frames of {known}, found {found}; the camera's settings changed during the acquisition"
            )
        self._words[Word.N_POPPED] += 1
        if self._is_held_back():
            self._drop(segment, number)
            return
        self._tell_dropped()
        index = self._n_frames
        slot = index % self._views.shape.n_slots
        head = self._views.heads[slot]
        head["seq"] = 2 * index + 1
        fence()
        target = self._views.pixels[slot, : data.nbytes].view(data.dtype).reshape(data.shape)
        np.copyto(target, data)
        head["number"] = number
        head["t_host_ns"] = t_host_ns
        head["segment"] = segment
        head["n_saturated"] = n_saturated
        head["nbytes"] = data.nbytes
        fence()
        head["seq"] = 2 * index + 2
        self._n_frames = index + 1
        fence()
        self._words[Word.N_FRAMES] = self._n_frames

    def write_segment(self, segment: Segment) -> None:
        """Announce the segment to which the following frames belong.

        Raises
        ------
        SourceError
            Its frames do not fit into the slots.
        """
        n_bytes = segment.shape.height * segment.shape.width * np.dtype(segment.dtype).itemsize
        if n_bytes > self._views.shape.slot_bytes:
            raise SourceError(
                f"expected frames of at most {self._views.shape.slot_bytes} bytes in this ring, found {n_bytes}; "
                "start a new acquisition for a larger region"
            )
        self._segment = segment
        self._write_event(EventKind.SEGMENT, segment=segment.index, text=json.dumps(asdict(segment)))

    def write_gap(self, gap: Gap) -> None:
        """Report frames that will not come; a count of None where the number is unknown."""
        if gap.cause in _BEFORE_THE_RING:
            if gap.count is None:
                self._words[Word.N_CAMERA_UNKNOWN] += 1
            else:
                self._words[Word.N_CAMERA_LOST] += gap.count
        self._write_event(
            EventKind.GAP,
            segment=gap.segment,
            after=gap.after,
            count=UNKNOWN if gap.count is None else gap.count,
            text=gap.cause.value,
        )

    def write_lost(self, message: str) -> None:
        """Say that the other side went away and may come back; follow with `write_end`."""
        self._write_event(EventKind.LOST, text=message)

    def write_error(self, message: str) -> None:
        """Say why nothing more will come; follow with `write_end`."""
        self._write_event(EventKind.ERROR, text=message)

    def write_end(self) -> None:
        """Say that nothing more will come."""
        self._write_event(EventKind.END)

    def beat(self) -> None:
        """Show that the writer is alive."""
        self._words[Word.WRITER_BEAT_NS] = time.perf_counter_ns()

    def reader_beat_ns(self, reader: int = 0) -> int:
        """The reader's last sign of life, on its own clock; 0 before the first one."""
        return int(self._views.reader_words(reader)[ReaderWord.BEAT_NS])

    @property
    def start_requested(self) -> bool:
        return bool(self._words[Word.START])

    @property
    def stop_requested(self) -> bool:
        return bool(self._words[Word.STOP])

    def close(self) -> None:
        """Unmap; the readers keep what they have mapped."""
        del self._views, self._words
        self._mapping.close()

    def _is_held_back(self) -> bool:
        """Whether the next slot holds a frame that a living recorder has yet to read."""
        recorder = self._views.reader_words(RECORDER)
        n_slots = self._views.shape.n_slots
        # Once it has begun, a loss goes on until there is some room: one long gap harms fewer windows than many short.
        n_wanted = 1 if self._dropped is None else max(n_slots // RING_HEAD_START, 1)
        n_free = n_slots - (self._n_frames - int(recorder[ReaderWord.POSITION]))
        if not recorder[ReaderWord.HOLDS] or n_free >= n_wanted:
            return False
        beat, now = int(recorder[ReaderWord.BEAT_NS]), time.perf_counter()
        if beat != self._recorder_beat:
            self._recorder_beat, self._recorder_seen_at = beat, now
        return now - self._recorder_seen_at < RECORDER_TIMEOUT_S

    def _drop(self, segment: int, number: int) -> None:
        before = self._dropped
        after, count = (number - 1, 0) if before is None else (before.after, before.count or 0)
        self._dropped = Gap(segment, after, count + 1, GapCause.RECORD)

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, None
        if dropped is not None:
            self._write_event(
                EventKind.GAP,
                segment=dropped.segment,
                after=dropped.after,
                count=dropped.count or 0,
                text=dropped.cause.value,
            )

    def _write_event(
        self, kind: EventKind, *, segment: int = 0, after: int = 0, count: int = 0, text: str = ""
    ) -> None:
        self._tell_dropped()
        encoded = text.encode("utf-8")[:TEXT_BYTES]
        index = self._n_records
        record = self._views.events[index % self._views.shape.n_events]
        record["seq"] = 2 * index + 1
        fence()
        record["kind"] = kind
        record["position"] = self._n_frames
        record["segment"] = segment
        record["after"] = after
        record["count"] = count
        record["n_text"] = len(encoded)
        record["text"] = np.void(encoded.ljust(TEXT_BYTES, b"\0"))
        fence()
        record["seq"] = 2 * index + 2
        self._n_records = index + 1
        fence()
        self._words[Word.N_RECORDS] = self._n_records
