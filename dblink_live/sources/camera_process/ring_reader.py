"""The reading side of the frame ring: every frame once, or an exact account of what was missed."""

from __future__ import annotations

import json
import mmap
import time
from dataclasses import dataclass
from typing import cast

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.latency import RING_HEAD_START
from dblink_live.sources.camera_process.ring import UNKNOWN, RingCounters, RingEnd, RingError, RingItem
from dblink_live.sources.camera_process.ring_layout import (
    EVENT_DTYPE,
    MAGIC,
    RECORDER,
    VERSION,
    EventKind,
    ReaderWord,
    RingShape,
    RingViews,
    Word,
    fence,
)
from dblink_live.types import Frame, FrameArray, Gap, GapCause, Segment, Shape


@dataclass(frozen=True)
class _Event:
    kind: EventKind
    position: int
    segment: int
    after: int
    count: int
    text: str


class RingReader:
    """One reader of a ring.

    Parameters
    ----------
    mapping
        The same shared memory, mapped here.
    reader
        Which of the readers this is: 0 reconstructs, 1 records.
    lag_cause
        What its own skips are called.

    Raises
    ------
    SourceError
        The memory holds no ring of this version.
    """

    def __init__(self, mapping: mmap.mmap, reader: int = 0, lag_cause: GapCause = GapCause.RECONSTRUCT) -> None:
        words = np.frombuffer(mapping, np.int64, Word.READER_0)
        if words[Word.MAGIC] != MAGIC or words[Word.VERSION] != VERSION:
            raise SourceError(
                f"expected a frame ring of version {VERSION}, found magic {int(words[Word.MAGIC]):#x}, version "
                f"{int(words[Word.VERSION])}; both processes must run the same installation"
            )
        shape = RingShape(int(words[Word.N_SLOTS]), int(words[Word.SLOT_BYTES]), int(words[Word.N_EVENTS]))
        del words
        self._mapping = mapping
        self._views = RingViews.of(mapping, shape)
        self._words = self._views.words
        self._own = self._views.reader_words(reader)
        self._lag_cause = lag_cause
        self._index = 0
        self._event_index = 0
        self._segment: Segment | None = None
        self._last_number = -1

    def read(self, max_frames: int) -> list[RingItem]:
        """Everything that has arrived, in order: at most ``max_frames`` frames, and the events around them."""
        items: list[RingItem] = []
        # Frames first: an event that precedes a frame was written before it, so it is then visible too.
        n_frames = int(self._words[Word.N_FRAMES])
        fence()
        n_records = int(self._words[Word.N_RECORDS])
        n_delivered = 0
        event = self._peek_event(n_records, items)
        while True:
            if event is not None and event.position <= self._index:
                items.append(self._deliver(event))
                self._event_index += 1
                event = self._peek_event(n_records, items)
                continue
            if self._index >= n_frames or n_delivered >= max_frames:
                break
            frame = self._copy_frame()
            if frame is not None:
                items.append(frame)
                n_delivered += 1
            else:
                boundary = n_frames if event is None else min(event.position, n_frames)
                items.append(self._skip(boundary))
        self._own[ReaderWord.POSITION] = self._index
        return items

    @property
    def oldest_ns(self) -> int | None:
        """Host time of the next frame that can be read; None where none waits, or it was overwritten."""
        if self._index >= int(self._words[Word.N_FRAMES]):
            return None
        head = self._views.heads[self._index % self._views.shape.n_slots]
        time_ns = int(head["t_host_ns"])
        fence()
        return time_ns if head["seq"] == 2 * self._index + 2 else None

    def give_up(self, before_ns: int) -> list[RingItem]:
        """Skip the frames that were taken before ``before_ns``, as far as the next event, and say so."""
        items: list[RingItem] = []
        n_frames = int(self._words[Word.N_FRAMES])
        fence()
        event = self._peek_event(int(self._words[Word.N_RECORDS]), items)
        boundary = n_frames if event is None else min(event.position, n_frames)
        heads, n_slots = self._views.heads, self._views.shape.n_slots
        target = self._index
        while target < boundary and int(heads[target % n_slots]["t_host_ns"]) < before_ns:
            target += 1
        if target > self._index:
            items.append(self._skip_to(target))
        return items

    def beat(self) -> None:
        """Show that the reader is alive."""
        self._own[ReaderWord.BEAT_NS] = time.perf_counter_ns()

    def hold(self) -> None:
        """From now on let no frame be overwritten before it was read here. For the recorder alone."""
        self._own[ReaderWord.HOLDS] = 1

    def let_go(self) -> None:
        """Hold nothing back any more."""
        self._own[ReaderWord.HOLDS] = 0

    def release_recorder(self) -> None:
        """Take back what the recorder held; its process has ended, so no other process writes that word."""
        self._views.reader_words(RECORDER)[ReaderWord.HOLDS] = 0

    @property
    def writer_beat_ns(self) -> int:
        """The writer's last sign of life, on its own clock."""
        return int(self._words[Word.WRITER_BEAT_NS])

    def request_start(self) -> None:
        self._words[Word.START] = 1

    def request_stop(self) -> None:
        self._words[Word.STOP] = 1

    @property
    def counters(self) -> RingCounters:
        return RingCounters(
            n_popped=int(self._words[Word.N_POPPED]),
            n_camera_lost=int(self._words[Word.N_CAMERA_LOST]),
            n_camera_unknown=int(self._words[Word.N_CAMERA_UNKNOWN]),
            n_written=int(self._words[Word.N_FRAMES]),
            n_read_or_skipped=self._index,
            n_skipped=int(self._own[ReaderWord.N_SKIPPED]),
        )

    @property
    def last_number(self) -> int:
        """Number of the last frame that was read or is known to be lost; -1 before the first."""
        return self._last_number

    def close(self) -> None:
        """Unmap; the writer keeps what it has mapped."""
        del self._views, self._words, self._own
        self._mapping.close()

    def _copy_frame(self) -> Frame | None:
        """The frame at the current index, or None when the writer has overwritten it."""
        if self._segment is None:
            raise SourceError("expected a segment before the first frame of the ring, found none")
        whole = 2 * self._index + 2
        slot = self._index % self._views.shape.n_slots
        head = self._views.heads[slot]
        if head["seq"] != whole:
            return None
        fence()
        dtype = np.dtype(self._segment.dtype)
        n_pixels = self._segment.shape.height * self._segment.shape.width
        pixels = self._views.pixels[slot, : n_pixels * dtype.itemsize].view(dtype).reshape(self._segment.shape)
        frame = Frame(
            segment=int(head["segment"]),
            number=int(head["number"]),
            t_host_ns=int(head["t_host_ns"]),
            data=cast(FrameArray, pixels.copy()),
            n_saturated=int(head["n_saturated"]),
        )
        fence()
        if head["seq"] != whole:
            return None
        self._index += 1
        self._last_number = frame.number
        return frame

    def _skip(self, boundary: int) -> Gap:
        """Give up the frames that are overwritten and a quarter of the ring after them, but none from ``boundary`` on.

        With no head start the writer would catch up at once, and the losses would be scattered over many windows.
        """
        n_slots = self._views.shape.n_slots
        oldest = int(self._words[Word.N_FRAMES]) - n_slots + 1 + n_slots // RING_HEAD_START
        return self._skip_to(min(max(oldest, self._index + 1), boundary))

    def _skip_to(self, target: int) -> Gap:
        count = target - self._index
        gap = Gap(self._segment.index if self._segment else 0, self._last_number, count, self._lag_cause)
        # Between two events the camera's numbers follow each other: a jump of theirs is an event.
        self._index = target
        self._last_number += count
        self._own[ReaderWord.N_SKIPPED] += count
        return gap

    def _peek_event(self, n_records: int, items: list[RingItem]) -> _Event | None:
        n_events = self._views.shape.n_events
        while self._event_index < n_records:
            record = self._views.events[self._event_index % n_events]
            whole = 2 * self._event_index + 2
            if record["seq"] == whole:
                fence()
                copy = record.copy()
                fence()
                if record["seq"] == whole:
                    return _decode(copy)
            # More events than the ring holds came since the last read: what they said is lost, and that is said.
            items.append(Gap(self._segment.index if self._segment else 0, self._last_number, None, GapCause.RING))
            self._event_index = max(self._event_index + 1, int(self._words[Word.N_RECORDS]) - n_events + 1)
        return None

    def _deliver(self, event: _Event) -> RingItem:
        if event.kind is EventKind.SEGMENT:
            fields = json.loads(event.text)
            fields["shape"] = Shape(*fields["shape"])
            fields["roi"] = tuple(fields["roi"]) if fields["roi"] is not None else None
            self._segment = Segment(**fields)
            self._last_number = -1
            return self._segment
        if event.kind is EventKind.GAP:
            count = None if event.count == UNKNOWN else event.count
            cause = GapCause(event.text)
            # Frames of another channel have no numbers here.
            self._last_number = event.after + (0 if cause is GapCause.DESELECTED else count or 0)
            return Gap(event.segment, event.after, count, cause)
        if event.kind is EventKind.END:
            return RingEnd()
        return RingError(event.text, may_come_back=event.kind is EventKind.LOST)


def _decode(record: np.void) -> _Event:
    text = bytes(record["text"])[: int(record["n_text"])].decode("utf-8", errors="replace")
    numbers = {name: int(record[name]) for name in EVENT_DTYPE.names[2:6]} if EVENT_DTYPE.names else {}
    return _Event(kind=EventKind(int(record["kind"])), text=text, **numbers)
