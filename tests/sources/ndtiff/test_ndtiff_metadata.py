"""What a dataset says of itself: camera facts, times, segments, channels and positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ndtiff_follower import SIZE, check, drain, follow, frames_in

from benchmarks.ndtiff_writers import JavaStyleWriter, frame_of
from dblink_live.interfaces import SourceEvent
from dblink_live.types import Gap, GapCause, Segment

Write = Callable[[JavaStyleWriter], object]


@pytest.fixture(autouse=True)
def _settle_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dblink_live.sources.ndtiff.dataset.SETTLE_S", 0.1)


def _dataset(folder: Path, write: Write, summary: dict[str, Any] | None = None) -> str:
    writer = JavaStyleWriter(folder / "acq_1", summary or {})
    write(writer)
    writer.finish()
    return f"ndtiff:{folder / 'acq_1'}"


def _read(text: str) -> tuple[Segment, list[SourceEvent]]:
    source = follow(text)
    segment = source.open()
    events = drain(source)
    source.close()
    return segment, events


def _gaps(events: list[SourceEvent]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in events:
        if isinstance(event, Gap):
            counts[event.cause.value] = counts.get(event.cause.value, 0) + (event.count or 0)
    return counts


@pytest.mark.parametrize(
    ("summary", "metadata", "expected"),
    [
        pytest.param(
            {"PixelSize_um": 0.108, "Interval_ms": 20},
            {"Exposure": 10.0, "Binning": "2", "ROI-X-start": "8", "ROI-Y-start": "4", "Width": "16", "Height": "16"},
            {
                "pixel_size_nm": 108.0,
                "exposure_ms": 10.0,
                "binning": 2,
                "frame_interval_ms": 20.0,
                "roi": (8, 4, 16, 16),
                "bit_depth": 16,
            },
            id="pycromanager",
        ),
        pytest.param(
            {"Interval_ms": 0.0},
            {"PixelSizeUm": 0.065, "Exposure-ms": 5.5, "BitDepth": 12, "Binning": "1x1", "ROI": "0-2-16-16"},
            {"pixel_size_nm": 65.0, "exposure_ms": 5.5, "bit_depth": 12, "binning": 1, "roi": (0, 2, 16, 16)},
            id="Micro-Manager Studio",
        ),
        pytest.param(
            {"PixelSize_um": 0.0},
            {"PixelSizeUm": 0.0, "BitDepth": "unknown", "ROI": "all"},
            {"pixel_size_nm": None, "exposure_ms": None, "bit_depth": 16, "frame_interval_ms": None, "roi": None},
            id="nothing is calibrated",
        ),
    ],
)
def test_camera_facts_are_taken_where_they_are_stated(
    summary: dict[str, Any], metadata: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    text = _dataset(tmp_path, lambda writer: writer.put({"time": 0}, frame_of(0, SIZE), metadata), summary)
    segment, _ = _read(text)
    assert {name: getattr(segment, name) for name in expected} == expected


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (10, np.uint16), (11, np.uint16), (14, np.uint16)])
def test_saturated_pixels_are_counted_at_the_depth_of_the_index(
    bits: int, dtype: type[np.unsignedinteger], tmp_path: Path
) -> None:
    image = np.full((4, 6), 2**bits - 1, dtype)
    image[0, :2] -= 1
    text = _dataset(tmp_path, lambda writer: writer.put({"time": 0}, image, {}, bits=bits))
    segment, events = _read(text)
    assert (segment.shape, segment.dtype, segment.bit_depth) == ((4, 6), np.dtype(dtype).name, bits)
    assert frames_in(events)[0].n_saturated == 22


@pytest.mark.parametrize(
    "metadata_of",
    [
        pytest.param(lambda number: {"ElapsedTime-ms": 40.0 * number}, id="ElapsedTime-ms"),
        pytest.param(
            lambda number: {"ElapsedTime-ms": 0.0, "TimeReceivedByCore": f"2026-11-23 16:48:41.{40 * number:03d}000"},
            id="TimeReceivedByCore, since a sequence says 0.0 ms",
        ),
    ],
)
def test_frames_keep_the_cadence_of_their_metadata(
    metadata_of: Callable[[int], dict[str, Any]], tmp_path: Path
) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    writer.put({"time": 1}, frame_of(1, SIZE), metadata_of(1))
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    source.open()
    # Frames that say they lie 40 ms apart, and arrive together: their times end at the arrival of the last one.
    times = [frame.t_host_ns for frame in frames_in(source.read(10, 0.0))]
    for number in (2, 3, 4):
        writer.put({"time": number}, frame_of(number, SIZE), metadata_of(number))
    times += [frame.t_host_ns for frame in frames_in(source.read(10, 0.0))]
    # Frame 5 says that it was taken 10 ms after frame 4, though it is read much later.
    writer.put({"time": 5}, frame_of(5, SIZE), {**metadata_of(4), "ElapsedTime-ms": metadata_of(4)["ElapsedTime-ms"]})
    times += [frame.t_host_ns for frame in frames_in(source.read(10, 0.2))]
    source.close()
    writer.finish()
    assert times == sorted(times)
    assert times[-1] == times[-2]


def test_a_change_on_the_camera_begins_a_segment(tmp_path: Path) -> None:
    def write(writer: JavaStyleWriter) -> None:
        images = [(SIZE, 5.0)] * 3 + [(SIZE, 5.01)] + [(SIZE, 20.0)] * 2 + [(8, 20.0)] * 2
        for number, (size, exposure_ms) in enumerate(images):
            writer.put({"time": number}, frame_of(number, size), {"Exposure": exposure_ms})

    segment, events = _read(_dataset(tmp_path, write))
    segments = [segment, *(event for event in events if isinstance(event, Segment))]
    assert [(one.index, one.reason, one.exposure_ms) for one in segments] == [
        (0, "start", 5.0),
        (1, "exposure", 20.0),
        (2, "shape", 20.0),
    ]
    frames = frames_in(events)
    assert [frame.number for frame in frames] == list(range(8))
    assert [frame.segment for frame in frames] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert frames[-1].data.shape == (8, 8)


def test_a_fact_that_is_stated_late_is_no_change_and_the_next_one_is(tmp_path: Path) -> None:
    def write(writer: JavaStyleWriter) -> None:
        for number, metadata in enumerate([{}, {"Exposure": 5.0}, {}, {"Exposure": 5.0}, {"Exposure": 20.0}]):
            writer.put({"time": number}, frame_of(number, SIZE), metadata)

    _, events = _read(_dataset(tmp_path, write))
    assert [event.exposure_ms for event in events if isinstance(event, Segment)] == [20.0]


def _interleaved(writer: JavaStyleWriter) -> None:
    for time in range(20):
        writer.put({"time": time, "channel": "red", "position": 0}, frame_of(time, SIZE), {})
        writer.put({"time": time, "channel": "blue", "position": 0}, frame_of(500 + time, SIZE), {})


def test_one_channel_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    text = _dataset(tmp_path, _interleaved)
    segment, events = _read(f"{text}?channel=red")
    check(events, range(20))
    assert (segment.channel, segment.position) == ("red", "0")
    assert _gaps(events) == {"deselected": 20}
    _, default = _read(text)
    check(default, range(20))
    _, blue = _read(f"{text}?channel=blue")
    np.testing.assert_array_equal(frames_in(blue)[7].data, frame_of(507, SIZE))


def test_channels_that_the_summary_names_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    def write(writer: JavaStyleWriter) -> None:
        for time in range(5):
            writer.put({"time": time, "channel": 0}, frame_of(900, SIZE), {})
            writer.put({"time": time, "channel": 1}, frame_of(time, SIZE), {})

    text = _dataset(tmp_path, write, {"ChNames": ["DAPI", "Cy5"]})
    for choice in ("Cy5", "1"):
        segment, events = _read(f"{text}?channel={choice}")
        check(events, range(5))
        assert segment.channel == "Cy5"


def test_a_position_that_comes_late_is_waited_for_and_what_lies_before_is_counted(tmp_path: Path) -> None:
    def write(writer: JavaStyleWriter) -> None:
        for position in (0, 1, 2):
            for time in range(100):
                number = time if position == 1 else 999
                writer.put({"position": position, "time": time}, frame_of(number, SIZE), {})

    _, events = _read(_dataset(tmp_path, write) + "?position=1")
    check(events, range(100))
    assert _gaps(events) == {"deselected": 200}
    # A single gap of 100 frames would be taken for a long loss, and end the segment.
    assert max(event.count or 0 for event in events if isinstance(event, Gap)) <= 64


@pytest.mark.parametrize(
    ("axes", "lost"),
    [
        pytest.param([{"time": t} for t in (0, 1, 2, 5, 6)], 2, id="time skips two values"),
        pytest.param(
            [{"time": t, "channel": "red" if t % 2 == 0 else "blue"} for t in range(10)], 0, id="channels take turns"
        ),
        pytest.param(
            [{"time": t, "channel": c} for t in range(12) for c in ("blue", "red") if c == "blue" or t % 3 == 0],
            0,
            id="a channel at every third time",
        ),
        pytest.param(
            [{"time": t, "channel": c} for t in (0, 1, 4, 5) for c in ("red", "blue")], 2, id="both channels skip"
        ),
        pytest.param([{"z": z} for z in (0, 2, 9)], 0, id="no time axis"),
        pytest.param([{"time": t, "z": z} for t in range(4) for z in range(3)], 0, id="one plane of a stack"),
        pytest.param([{"time": t} for t in (0, 1, 2, 0, 1, 2)], 0, id="time starts anew"),
    ],
)
def test_values_that_time_skips_are_lost_frames(axes: list[dict[str, int | str]], lost: int, tmp_path: Path) -> None:
    def write(writer: JavaStyleWriter) -> None:
        for one in axes:
            writer.put(one, frame_of(0, SIZE), {})

    channel = "?channel=red" if "channel" in axes[0] else ""
    _, events = _read(_dataset(tmp_path, write) + channel)
    counts = _gaps(events)
    frames = frames_in(events)
    assert counts.get("camera", 0) == lost
    assert len(frames) + counts.get("deselected", 0) == len(axes)
    # Numbers and gaps fit each other without a hole: what the windows are cut by.
    expected = 0
    for event in events:
        if isinstance(event, Gap) and event.cause is GapCause.CAMERA:
            assert event.after == expected - 1
            expected += event.count or 0
        elif event in frames:
            assert event.number == expected  # type: ignore[union-attr]
            expected += 1
