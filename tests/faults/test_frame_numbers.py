"""Frames that are missing, come twice or out of order, and a ring that overruns: the ledger explains every frame."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from line_runs import WINDOW_FRAMES, check_ledgers, run_line_to_its_failure
from ring_source import RingSource

from dblink_live.errors import SourceError
from dblink_live.sources.camera_process import RingWriter
from dblink_live.sources.frame_producer import HostClock, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.micromanager.sequence_reader import read_sequence
from dblink_live.store import open_run
from dblink_live.types import Shape

sys.path.insert(0, str(Path(__file__).parents[1] / "sources" / "camera_process"))

from camera_builders import SnakeCaseCore, TaggedImage

SHAPE = Shape(8, 8)
"""The smallest that are localized have 7 pixels a side."""
STEPS = st.one_of(
    st.just(1),  # the next frame
    st.just(1),
    st.just(1),
    st.integers(2, 15),  # frames are missing, also a whole window
    st.integers(22, 60),  # so many that a new segment begins
    st.just(0),  # a frame comes twice
    st.integers(-9, -1),  # out of order
)


class _Core(SnakeCaseCore):
    """Hands over even frames of `SHAPE`, numbered as it is told."""

    def get_image_height(self) -> int:
        return SHAPE.height

    def get_image_width(self) -> int:
        return SHAPE.width

    def pop_next_tagged_image(self) -> TaggedImage:
        tags = super().pop_next_tagged_image().tags
        size = {"Height": str(SHAPE.height), "Width": str(SHAPE.width)}
        return TaggedImage(np.full(SHAPE.height * SHAPE.width, 100, np.int16), {**tags, **size})


def _numbers(steps: list[int]) -> list[int]:
    numbers = [-1]
    for step in steps:
        numbers.append(max(numbers[-1] + step, 0))
    return numbers[1:]


@settings(max_examples=15, derandomize=True)
@example(runs=[(3, 20), (12, 20), (60, 15)], n_slots=120, camera_goes_on=False)
@example(runs=[(1, 20), (0, 20)], n_slots=120, camera_goes_on=False)
@example(runs=[(1, 20), (-5, 20)], n_slots=120, camera_goes_on=False)
@example(runs=[(1, 20), (7, 40)], n_slots=24, camera_goes_on=True)
@given(
    runs=st.lists(st.tuples(STEPS, st.integers(0, 15)), min_size=1, max_size=4),
    n_slots=st.integers(4, 120),
    camera_goes_on=st.booleans(),
)
def test_every_frame_is_explained(runs: list[tuple[int, int]], n_slots: int, camera_goes_on: bool) -> None:
    """``runs``: a step between frame numbers, and how many frames follow it side by side."""
    numbers = _numbers([step for step, n_following in runs for step in (step, *[1] * n_following)])
    accepted: list[int] = []
    for number in numbers:
        if number <= (accepted[-1] if accepted else -1):
            break
        accepted.append(number)
    is_in_order = len(accepted) == len(numbers)
    last = accepted[-1] if accepted else -1

    def take(writer: RingWriter) -> None:
        """The whole sequence at once, as the camera process would; a small ring is overrun by it."""
        n_frames = None if camera_goes_on else numbers[-1] + 1
        try:
            read_sequence(
                CameraCore(_Core(numbers)), writer,
                segment=0, clock=HostClock.now(), n_frames=n_frames, saturation=65_535, order=lambda: StopSignal.GO_ON,
            )  # fmt: skip
        except SourceError as error:
            writer.write_error(str(error))
        writer.write_end()

    is_taken = False

    def take_once(writer: RingWriter) -> None:
        nonlocal is_taken
        if not is_taken:
            is_taken = True
            take(writer)

    source = RingSource(SHAPE, n_slots, take_once)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "odd.run"
        message = run_line_to_its_failure(source, folder)
        sums = check_ledgers(folder)
        delivered = [frame.number for frame in source.delivered]
        with open_run(folder) as run:
            windows = [(row.segment, row.start, row.stop, row.n_frames_missing) for row in run.windows("counts")]
            n_live = run.committed_count("live")
            status = run.status

    # A camera whose numbers run backwards, or that ends before it should, is a failure that is told by name...
    if not is_in_order:
        assert message is not None and f"found {numbers[len(accepted)]} after {last}" in message
    elif camera_goes_on:
        assert message is not None and "ended its sequence" in message
    else:
        assert message is None
    assert status == ("complete" if message is None else "interrupted")
    # ...and whatever it did, every frame up to the last good one has one fate.
    assert sums["seen"] == last + 1
    assert sums["lost"].get("camera", 0) == last + 1 - len(accepted)
    assert sums["lost"].get("reconstruct", 0) == source.n_skipped == len(accepted) - len(delivered)
    # The number that a camera may have taken beyond is unknown only where it did not end in order.
    assert sums["unknown_losses"] == (1 if is_in_order and camera_goes_on else 0)
    # Windows are cut by the camera's numbers, never by counting arrivals.
    was_delivered = np.zeros(last + 2, bool)
    was_delivered[delivered] = True
    for _, start, stop, n_missing in windows:
        assert stop - start == WINDOW_FRAMES
        assert n_missing == WINDOW_FRAMES - was_delivered[start:stop].sum()
    assert sums["committed"] == sum(WINDOW_FRAMES - n_missing for *_, n_missing in windows)
    assert len({frame for _, start, stop, _ in windows for frame in range(start, stop)}) == len(windows) * WINDOW_FRAMES
    assert n_live == len(windows)
