"""The frame ring: order, exact account of what was skipped, no torn frames between two real processes."""

from __future__ import annotations

import mmap
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dblink_live.errors import SourceError
from dblink_live.sources.camera_process import RingEnd, RingError, RingReader, RingShape, RingWriter, shared_memory
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape

SHAPE = Shape(4, 6)
SEGMENT = Segment(index=0, shape=SHAPE, dtype="uint16", exposure_ms=10.0, roi=(1, 2, 6, 4), channel="µm ♥")


def _pixels(number: int) -> np.ndarray:
    return np.full(SHAPE, number % 60_000, np.uint16)


RING = RingShape(n_slots=8, slot_bytes=SHAPE.height * SHAPE.width * 2, n_events=8)


@pytest.fixture
def memory() -> mmap.mmap:
    return mmap.mmap(-1, RING.nbytes)


@pytest.fixture
def ring(memory: mmap.mmap) -> tuple[RingWriter, RingReader]:
    return RingWriter(memory, RING), RingReader(memory)


def test_items_come_in_the_order_in_which_they_were_written(ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    writer.write_segment(SEGMENT)
    writer.write_frame(0, 0, 100, _pixels(0))
    writer.write_gap(Gap(0, 0, 2, GapCause.CAMERA))
    writer.write_frame(0, 3, 130, _pixels(3), n_saturated=5)
    writer.write_gap(Gap(0, 3, None, GapCause.CAMERA))
    writer.write_error("the lamp went out")
    writer.write_end()
    segment, first, gap, second, unknown, error, end = reader.read(10)
    assert segment == SEGMENT
    assert isinstance(first, Frame) and isinstance(second, Frame)
    assert (first.number, first.t_host_ns) == (0, 100)
    assert (second.number, second.n_saturated) == (3, 5)
    np.testing.assert_array_equal(second.data, _pixels(3))
    assert gap == Gap(0, 0, 2, GapCause.CAMERA)
    assert unknown == Gap(0, 3, None, GapCause.CAMERA)
    assert error == RingError("the lamp went out")
    assert end == RingEnd()
    assert reader.read(10) == []


def test_frames_are_copies_that_later_frames_do_not_change(ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    writer.write_segment(SEGMENT)
    writer.write_frame(0, 0, 0, _pixels(0))
    frame = reader.read(2)[1]
    for number in range(1, 20):
        writer.write_frame(0, number, 0, _pixels(number))
    assert isinstance(frame, Frame)
    np.testing.assert_array_equal(frame.data, _pixels(0))


def test_max_frames_limits_frames_and_not_events(ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    writer.write_segment(SEGMENT)
    for number in range(5):
        writer.write_frame(0, number, 0, _pixels(number))
    assert [type(item) for item in reader.read(2)] == [Segment, Frame, Frame]
    assert [item.number for item in reader.read(9) if isinstance(item, Frame)] == [2, 3, 4]


def test_a_camera_that_changes_its_frames_is_noticed(ring: tuple[RingWriter, RingReader]) -> None:
    writer, _ = ring
    with pytest.raises(SourceError, match="a segment first"):
        writer.write_frame(0, 0, 0, _pixels(0))
    with pytest.raises(SourceError, match="at most 48 bytes in this ring, found 96"):
        writer.write_segment(Segment(0, Shape(8, 6), "uint16"))
    writer.write_segment(SEGMENT)
    with pytest.raises(SourceError, match=r"expected frames of \(4, 6\) uint16, found \(4, 6\) uint8"):
        writer.write_frame(0, 0, 0, np.zeros((4, 6), np.uint8))
    with pytest.raises(SourceError, match=r"found \(2, 6\) uint16"):
        writer.write_frame(0, 0, 0, np.zeros((2, 6), np.uint16))


def test_foreign_memory_is_no_ring() -> None:
    with pytest.raises(SourceError, match="expected a frame ring of version"):
        RingReader(mmap.mmap(-1, 2**16))


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 12)),
            st.tuples(st.just("lose"), st.integers(1, 3)),
            st.tuples(st.just("read"), st.integers(1, 12)),
        ),
        max_size=40,
    )
)
def test_every_number_is_delivered_or_reported_exactly_once(steps: list[tuple[str, int]]) -> None:
    """Whatever the interleaving: frames and gaps together tile the camera's numbers, each with the right cause."""
    shape = RingShape(n_slots=8, slot_bytes=48, n_events=256)
    mapping = mmap.mmap(-1, shape.nbytes)
    writer, reader = RingWriter(mapping, shape), RingReader(mapping)
    writer.write_segment(SEGMENT)
    items = reader.read(0)[1:]
    number, lost_by_camera, written = 0, set[int](), set[int]()
    for what, count in steps:
        if what == "write":
            for _ in range(count):
                writer.write_frame(0, number, 0, _pixels(number))
                written.add(number)
                number += 1
        elif what == "lose":
            writer.write_gap(Gap(0, number - 1, count, GapCause.CAMERA))
            lost_by_camera |= set(range(number, number + count))
            number += count
        else:
            items += reader.read(count)
    writer.write_end()
    while RingEnd() not in items:
        items += reader.read(100)
    told: list[tuple[int, str]] = []
    for item in items:
        if isinstance(item, Frame):
            assert item.data[0, 0] == item.number
            told.append((item.number, "frame"))
        elif isinstance(item, Gap):
            assert item.count is not None
            told += [(n, item.cause.value) for n in range(item.after + 1, item.after + 1 + item.count)]
    assert [n for n, _ in told] == list(range(number))
    assert {n for n, fate in told if fate == "camera"} == lost_by_camera
    skipped = {n for n, fate in told if fate == "reconstruct"}
    assert skipped <= written
    assert reader.counters.n_skipped == len(skipped)
    assert reader.counters.depth == 0


def test_lost_events_are_said_to_be_lost(ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    writer.write_segment(SEGMENT)
    writer.write_frame(0, 0, 0, _pixels(0))
    reader.read(1)
    for _ in range(20):
        writer.write_gap(Gap(0, 0, 1, GapCause.CAMERA))
    items = reader.read(1)
    assert items[0] == Gap(0, 0, None, GapCause.RING)
    # The newest seven of eight records are certain to be whole while the writer may be at work on the next.
    assert len(items) == 1 + 7


def test_a_second_reader_has_its_own_place(memory: mmap.mmap, ring: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ring
    second = RingReader(memory, reader=1, lag_cause=GapCause.RING)
    writer.write_segment(SEGMENT)
    for number in range(4):
        writer.write_frame(0, number, 0, _pixels(number))
    assert len(reader.read(10)) == 5
    for number in range(4, 20):
        writer.write_frame(0, number, 0, _pixels(number))
    gaps = [item for item in second.read(100) if isinstance(item, Gap)]
    assert {gap.cause for gap in gaps} == {GapCause.RING}
    assert sum(gap.count or 0 for gap in gaps) == second.counters.n_skipped > 0


WRITER_PROGRAM = textwrap.dedent(
    """
    import sys
    import numpy as np
    from dblink_live.sources.camera_process import RingShape, RingWriter, shared_memory
    from dblink_live.types import Segment, Shape

    address, n_frames = sys.argv[1], int(sys.argv[2])
    side = 128
    shape = RingShape(n_slots=6, slot_bytes=2 * side * side)
    ring = RingWriter(shared_memory.create(address, shape.nbytes), shape)
    ring.write_segment(Segment(0, Shape(side, side), "uint16"))
    print(shape.nbytes, flush=True)
    while not ring.start_requested:
        pass
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 2**16, (7, side, side), dtype=np.uint16)
    import zlib
    sums = [zlib.crc32(image) for image in noise]
    for number in range(n_frames):
        # The checksum of the pixels travels beside them as the frame's time.
        ring.write_frame(0, number, sums[number % 7], noise[number % 7])
    ring.write_end()
    """
)


def test_two_processes_share_a_ring_without_torn_frames_and_with_an_exact_account() -> None:
    """The writer runs flat out over six slots: the reader is lapped all the time, and must never see half a frame."""
    n_frames = 20_000
    address = shared_memory.reserve()
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER_PROGRAM, address, str(n_frames)],
        stdout=subprocess.PIPE,
        pass_fds=shared_memory.inherited_descriptors(address),
    )
    assert process.stdout is not None
    nbytes = int(process.stdout.readline())
    reader = RingReader(shared_memory.attach(address, nbytes))
    shared_memory.release(address)
    reader.request_start()
    n_read = n_skipped = 0
    expected = 0
    finished = False
    while not finished:
        for item in reader.read(64):
            if isinstance(item, Frame):
                assert item.number == expected
                assert zlib.crc32(item.data) == item.t_host_ns
                n_read += 1
                expected += 1
            elif isinstance(item, Gap):
                assert item.cause is GapCause.RECONSTRUCT and item.count is not None
                assert item.after + 1 == expected
                n_skipped += item.count
                expected += item.count
            finished = finished or isinstance(item, RingEnd)
    process.stdout.close()
    assert process.wait() == 0
    assert n_read + n_skipped == n_frames == reader.counters.n_written
    assert n_skipped == reader.counters.n_skipped
    # Both must have happened, or this test has tested nothing.
    assert n_read > 0
    assert n_skipped > 0
    reader.close()


def test_frames_that_are_too_old_are_given_up_as_one_gap_and_no_event_is_passed_over(
    ring: tuple[RingWriter, RingReader],
) -> None:
    writer, reader = ring
    writer.write_segment(SEGMENT)
    for number in range(4):
        writer.write_frame(0, number, 100 * (number + 1), _pixels(number))
    writer.write_gap(Gap(0, 3, 2, GapCause.CAMERA))
    writer.write_frame(0, 6, 700, _pixels(6))
    assert reader.oldest_ns == 100
    assert isinstance(reader.read(1)[0], Segment)  # and frame 0
    assert reader.oldest_ns == 200
    assert reader.give_up(150) == []
    assert reader.give_up(900) == [Gap(0, 0, 3, GapCause.RECONSTRUCT)]
    assert reader.counters.n_skipped == 3
    gap, frame = reader.read(10)
    assert gap == Gap(0, 3, 2, GapCause.CAMERA)
    assert isinstance(frame, Frame) and frame.number == 6
    assert reader.oldest_ns is None
    assert reader.give_up(900) == []
