"""What the tests of the NDTiff follower share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.ndtiff_writers import Writer, frame_of
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.types import CameraRecipe, Frame

SIZE = 16


def follow(text: str, n_kept: int = 0) -> FrameSource:
    """The source that a specification names, not open yet."""
    return open_source(text, launch=_no_camera, n_kept=n_kept)


def put(writer: Writer, numbers: Sequence[int]) -> None:
    """Write frames along time, each with pixels of its own."""
    for number in numbers:
        writer.put({"time": number}, frame_of(number, SIZE), {"Exposure": 5.0})


def drain(source: FrameSource) -> list[SourceEvent]:
    """Everything that comes until the source has finished."""
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(64, 0.2)
    return events


def frames_in(events: Sequence[SourceEvent]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def check(events: Sequence[SourceEvent], expected: Sequence[int]) -> None:
    """The frames are those expected, in order, and every pixel is right."""
    frames = frames_in(events)
    assert [frame.number for frame in frames] == list(expected)
    for frame in frames:
        np.testing.assert_array_equal(frame.data, frame_of(frame.number, SIZE))


def _no_camera(recipe: CameraRecipe) -> FrameSource:
    raise AssertionError(f"a follower must not start a camera, but asked for {recipe}")
