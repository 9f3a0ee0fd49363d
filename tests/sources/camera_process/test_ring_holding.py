"""The recorder alone may hold ring slots back; what then finds no place is counted, to the frame."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from dblink_live.sources.camera_process import RingReader, RingShape, RingWriter, ring
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape

N_SLOTS = 8
SEGMENT = Segment(index=0, shape=Shape(2, 3), dtype="uint16")


class _Ring:
    """A ring with both readers, in one process."""

    def __init__(self) -> None:
        shape = RingShape(N_SLOTS, 12, n_events=16)
        memory = mmap.mmap(-1, shape.nbytes)
        self.writer = RingWriter(memory, shape)
        self.writer.write_segment(SEGMENT)
        self.live = RingReader(memory, reader=0)
        self.recorder = RingReader(memory, reader=1, lag_cause=GapCause.RECORD)
        self.recorder.beat()
        self.recorder.hold()
        self._next = 0

    def write(self, count: int) -> None:
        for number in range(self._next, self._next + count):
            self.writer.write_frame(0, number, number, np.full((2, 3), number, np.uint16))
        self._next += count


def _numbers(items: list[object]) -> list[int]:
    return [item.number for item in items if isinstance(item, Frame)]


def _gaps(items: list[object]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


def test_a_recorder_that_lags_loses_no_frame_that_had_a_slot() -> None:
    memory = _Ring()
    memory.write(N_SLOTS)
    memory.live.read(N_SLOTS)
    memory.write(5)
    memory.recorder.read(0)
    assert _numbers(memory.recorder.read(100)) == list(range(N_SLOTS))
    memory.write(3)
    items = memory.recorder.read(100)
    assert _gaps(items) == [Gap(0, N_SLOTS - 1, 5, GapCause.RECORD)]
    assert _numbers(items) == [13, 14, 15]


def test_both_readers_are_told_the_same_loss() -> None:
    memory = _Ring()
    memory.write(N_SLOTS + 4)
    memory.recorder.read(100)
    memory.writer.write_end()
    expected = [Gap(0, N_SLOTS - 1, 4, GapCause.RECORD)]
    assert _gaps(memory.recorder.read(100)) == expected
    assert _gaps(memory.live.read(100)) == expected


def test_losses_come_in_one_piece_and_not_frame_by_frame() -> None:
    memory = _Ring()
    memory.write(N_SLOTS)
    memory.recorder.read(0)
    seen: list[object] = []
    for _ in range(20):  # a recorder that takes one frame for each two that come
        memory.write(2)
        seen += memory.recorder.read(1)
    memory.writer.write_end()
    seen += memory.recorder.read(100)
    gaps = _gaps(seen)
    assert len(_numbers(seen)) + sum(gap.count or 0 for gap in gaps) == N_SLOTS + 40
    # Room for a quarter of the ring is waited for: a gap for every two frames that are taken, not for each.
    assert len(gaps) <= 11


def test_a_camera_gap_keeps_its_place_behind_frames_that_were_dropped() -> None:
    memory = _Ring()
    memory.write(N_SLOTS + 2)
    memory.writer.write_gap(Gap(0, N_SLOTS + 1, 3, GapCause.CAMERA))
    items = memory.recorder.read(100)
    assert _gaps(items) == [Gap(0, N_SLOTS - 1, 2, GapCause.RECORD), Gap(0, N_SLOTS + 1, 3, GapCause.CAMERA)]


@pytest.mark.parametrize("how", ["let go", "released by the parent", "silent"])
def test_a_recorder_that_is_gone_holds_nothing(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = _Ring()
    memory.write(N_SLOTS)
    if how == "let go":
        memory.recorder.let_go()
    elif how == "released by the parent":
        memory.live.release_recorder()
    else:
        monkeypatch.setattr(ring, "RECORDER_TIMEOUT_S", 0.0)
    memory.live.read(100)
    memory.write(N_SLOTS)
    assert _numbers(memory.live.read(100)) == list(range(N_SLOTS, 2 * N_SLOTS))
