"""Frames and gaps gathered into windows, whatever came together in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dblink_live.errors import ConfigError, SourceError
from dblink_live.types import Gap, GapCause, Grid, Localizations, Shape, empty_localizations
from dblink_live.windows import CompletedWindow, WindowAccumulator, bin_localizations

PIXEL_SIZE_NM = 160.0
SHAPE = Shape(3, 5)


def table(frames: list[int] | np.ndarray, seed: int = 0) -> Localizations:
    """Sorted rows in ``frames`` at random places of the field, photons telling them apart."""
    rng = np.random.default_rng(seed)
    rows = empty_localizations(len(frames))
    rows["frame"] = np.sort(frames)
    rows["x"] = rng.uniform(-0.5, SHAPE.width - 0.5, len(frames))
    rows["y"] = rng.uniform(-0.5, SHAPE.height - 0.5, len(frames))
    rows["photons"] = np.arange(len(frames))
    return rows


def make_accumulator(
    window_frames: int = 10, first_frame: int = 0, shape: Shape = SHAPE, pitch_nm: float = 40.0
) -> WindowAccumulator:
    grid = Grid.covering(shape, PIXEL_SIZE_NM, pitch_nm)
    return WindowAccumulator(grid, PIXEL_SIZE_NM, window_frames, segment=3, first_frame=first_frame)


def add(accumulator: WindowAccumulator, first: int, stop: int, rows: Localizations) -> list[CompletedWindow]:
    """Add frames [first, stop) with their rows; frame n comes at n milliseconds."""
    numbers = np.arange(first, stop)
    inside = (rows["frame"] >= first) & (rows["frame"] < stop)
    return accumulator.add(numbers, numbers * 1_000_000, rows[inside])


@dataclass(frozen=True)
class Seen:
    """Frames [first, stop)."""

    first: int
    stop: int


@dataclass(frozen=True)
class Lost:
    """Frames [first, stop)."""

    first: int
    stop: int


@pytest.mark.parametrize(
    ("events", "missing", "tail"),
    [
        pytest.param([Seen(0, 30)], [0, 0, 0], 0, id="no gap"),
        pytest.param([Seen(0, 37)], [0, 0, 0], 7, id="an incomplete last window is told, not shown"),
        pytest.param([Seen(0, 3), Lost(3, 5), Seen(5, 10)], [2], 0, id="inside a window"),
        pytest.param([Lost(0, 4), Seen(4, 20)], [4, 0], 0, id="at the very start"),
        pytest.param([Seen(0, 8), Lost(8, 10), Seen(10, 20)], [2, 0], 0, id="up to a window's end"),
        pytest.param([Seen(0, 10), Lost(10, 13), Seen(13, 20)], [0, 3], 0, id="from a window's start"),
        pytest.param([Seen(0, 8), Lost(8, 13), Seen(13, 20)], [2, 3], 0, id="over a window's end"),
        pytest.param([Seen(0, 10), Lost(10, 20), Seen(20, 30)], [0, 10, 0], 0, id="a whole window"),
        pytest.param([Seen(0, 5), Lost(5, 32), Seen(32, 40)], [5, 10, 10, 2], 0, id="several windows"),
        pytest.param([Seen(0, 2), Lost(2, 3), Lost(3, 4), Seen(4, 10)], [2], 0, id="two gaps side by side"),
        pytest.param([Seen(0, 9), Lost(9, 10)], [1], 0, id="the gap completes the window"),
        pytest.param([Seen(0, 12), Lost(12, 18)], [0], 2, id="lost frames of the tail do not count as seen"),
    ],
)
@pytest.mark.parametrize("first_frame", [0, 7])
def test_a_gap_moves_nothing_but_what_it_took(
    events: list[Seen | Lost], missing: list[int], tail: int, first_frame: int
) -> None:
    # Every frame holds one localization; those of lost frames never arrive.
    everything = table(np.arange(first_frame, first_frame + events[-1].stop))
    accumulator = make_accumulator(first_frame=first_frame)
    completed: list[CompletedWindow] = []
    arrived = []
    for event in events:
        first, stop = event.first + first_frame, event.stop + first_frame
        if isinstance(event, Lost):
            completed += accumulator.add_gap(Gap(3, first - 1, stop - first, GapCause.CAMERA))
        else:
            completed += add(accumulator, first, stop, everything)
            arrived += range(first, stop)
    assert accumulator.flush() == tail
    assert [done.map.n_frames_missing for done in completed] == missing
    for index, done in enumerate(completed):
        frames = range(first_frame + 10 * index, first_frame + 10 * (index + 1))
        expected = [frame for frame in arrived if frame in frames]
        assert (done.map.segment, done.map.window) == (3, index)
        assert (done.map.start, done.map.stop) == (frames.start, frames.stop)
        assert done.localizations["frame"].tolist() == expected
        assert done.map.counts.sum() == len(expected)
        assert done.map.fraction_present == pytest.approx(len(expected) / 10)


@given(data=st.data())
@settings(max_examples=150)
def test_maps_do_not_depend_on_chunks_and_equal_the_finished_table(data: st.DataObject) -> None:
    window = data.draw(st.integers(1, 7), "window")
    first_frame = data.draw(st.integers(0, 20), "first frame")
    lengths = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), min_size=1, max_size=12), "events")
    scale = data.draw(st.integers(1, 5), "scale")
    n_frames = sum(length for _, length in lengths)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16), "seed"))
    everything = table(rng.integers(first_frame, first_frame + n_frames, 4 * n_frames), seed=int(rng.integers(99)))

    accumulator = make_accumulator(window, first_frame, pitch_nm=PIXEL_SIZE_NM / scale)
    completed: list[CompletedWindow] = []
    frame, is_seen = first_frame, np.zeros(n_frames, bool)
    for is_lost, length in lengths:
        if is_lost:
            completed += accumulator.add_gap(Gap(3, frame - 1, length, GapCause.RING))
        else:
            completed += add(accumulator, frame, frame + length, everything)
            is_seen[frame - first_frame : frame - first_frame + length] = True
        frame += length

    n_windows = n_frames // window
    assert len(completed) == n_windows
    rows = everything[is_seen[everything["frame"] - first_frame]]
    rows = rows[rows["frame"] < first_frame + n_windows * window]
    expected = bin_localizations(rows, SHAPE, PIXEL_SIZE_NM, scale, window, first_frame)
    counts = np.zeros((n_windows, scale * SHAPE.height, scale * SHAPE.width), np.uint16)
    for done in completed:
        counts[done.map.window] = done.map.counts
    # The finished table cannot know of windows after its last row.
    np.testing.assert_array_equal(counts[: len(expected)], expected)
    assert not counts[len(expected) :].any()
    np.testing.assert_array_equal(np.concatenate([empty_localizations(), *(d.localizations for d in completed)]), rows)
    missing = window - is_seen[: n_windows * window].reshape(n_windows, window).sum(axis=1)
    assert [done.map.n_frames_missing for done in completed] == missing.tolist()
    assert accumulator.flush() == is_seen[n_windows * window :].sum()


def test_time_is_that_of_the_windows_last_seen_frame() -> None:
    accumulator = make_accumulator()
    nothing = empty_localizations()
    completed = add(accumulator, 0, 25, nothing)
    completed += accumulator.add_gap(Gap(3, 24, 5, GapCause.CAMERA))
    # Frame 24 is the last that was seen of [20, 30).
    assert [done.map.t_last_frame_ns for done in completed] == [9_000_000, 19_000_000, 24_000_000]


@pytest.mark.parametrize(("along", "across", "n_pixels"), [("x", "y", SHAPE.width), ("y", "x", SHAPE.height)])
def test_rows_outside_the_grid_are_kept_and_counted_apart(along: str, across: str, n_pixels: int) -> None:
    rows = table([0, 0, 0, 0, 0])
    rows[along] = [-0.51, -0.5, n_pixels - 0.51, n_pixels - 0.5, 1e6]
    rows[across] = 1.0
    accumulator = make_accumulator(window_frames=1)
    (done,) = add(accumulator, 0, 1, rows)
    assert done.map.counts.sum() == 2
    assert len(done.localizations) == 5
    assert accumulator.n_outside == 3


def test_counts_saturate() -> None:
    rows = table(np.zeros(70_000, int))
    rows["x"], rows["y"] = 0.0, 0.0
    (done,) = add(make_accumulator(window_frames=1), 0, 1, rows)
    assert done.map.counts.dtype == np.uint16
    assert done.map.counts.max() == 65_535
    assert np.count_nonzero(done.map.counts) == 1


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        pytest.param([1, 2], "expected camera frame 0, found 1", id="skips the first"),
        pytest.param([0, 1, 3], "expected camera frame 2, found 3", id="skips"),
        pytest.param([0, 1, 1], "expected camera frame 2, found 1", id="repeats"),
        pytest.param([0, 2, 1], "expected camera frame 1, found 2", id="runs backwards"),
    ],
)
def test_frames_out_of_order_are_refused(numbers: list[int], found: str) -> None:
    with pytest.raises(SourceError, match=found):
        make_accumulator().add(np.array(numbers), np.zeros(len(numbers), np.int64), empty_localizations())


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([1, 5], id="after the last frame"),
        pytest.param([-1, 2], id="before the first"),
        pytest.param([2, 1, 3], id="out of order"),
    ],
)
def test_localizations_that_fit_no_frame_are_refused(frames: list[int]) -> None:
    rows = empty_localizations(len(frames))
    rows["frame"] = frames
    with pytest.raises(SourceError, match="localizations of frames 0 to 4"):
        make_accumulator().add(np.arange(5), np.zeros(5, np.int64), rows)


@pytest.mark.parametrize(
    ("after", "count"),
    [
        pytest.param(5, 2, id="begins later"),
        pytest.param(3, 2, id="begins among seen frames"),
        pytest.param(4, None, id="of unknown length"),
    ],
)
def test_a_gap_that_does_not_follow_is_refused(after: int, count: int | None) -> None:
    accumulator = make_accumulator()
    add(accumulator, 0, 5, empty_localizations())
    with pytest.raises(SourceError, match="new segment"):
        accumulator.add_gap(Gap(3, after, count, GapCause.CAMERA))
    # Nothing was changed by the refusal.
    assert add(accumulator, 5, 10, empty_localizations())[0].map.n_frames_missing == 0


def test_a_window_without_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 frame or more"):
        make_accumulator(window_frames=0)
