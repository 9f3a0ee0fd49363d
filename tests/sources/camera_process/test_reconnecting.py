"""A camera of another program that goes away and comes back: found again, in a new process, as a new segment."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil
import pytest

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources.camera_process import CameraProcess, ReconnectingCamera, launch_camera, reconnecting
from dblink_live.types import CameraRecipe, Frame, Gap, GapCause, Segment, Shape


def _recipe(function: str, **settings: object) -> CameraRecipe:
    builder = f"camera_builders:{function}"
    return CameraRecipe(name=function, builder=builder, reopens=True, **settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "RETRY_S", 0.05)


def test_the_recipe_says_which_it_is(tmp_path: Path) -> None:
    assert isinstance(launch_camera(_recipe("leaving")), ReconnectingCamera)
    assert isinstance(launch_camera(CameraRecipe("owned", "camera_builders:snake")), CameraProcess)
    assert isinstance(launch_camera(_recipe("leaving")), FrameSource)


def test_it_is_found_again_after_trying_in_vain(tmp_path: Path) -> None:
    with closing(ReconnectingCamera(_recipe("leaving", options={"count": str(tmp_path / "times")}))) as source:
        events: list[SourceEvent] = [source.open()]
        first = source.pid
        while len(events) < 9:
            events += source.read(64, 0.2)
        assert source.lost_because == ""
        assert source.pid != first
        source.stop()
        while not source.is_finished:
            events += source.read(64, 0.2)
        last = source.pid
    told = [event.number if isinstance(event, Frame) else event for event in events]
    assert isinstance(told[0], Segment)
    assert told[1:5] == [0, 1, 2, Gap(0, 2, None, GapCause.PREVIEW)]
    again = told[5]
    assert isinstance(again, Segment)
    # Larger frames than before: the ring is another one.
    assert (again.reason, again.shape) == ("restart", Shape(40, 60))
    assert told[6:] == [0, 1, 2]
    assert (tmp_path / "times").read_text() == "xxx"
    assert not psutil.pid_exists(first or 0)
    assert not psutil.pid_exists(last or 0)


def test_so_many_frames_end_it_over_all_times(tmp_path: Path) -> None:
    recipe = _recipe("leaving", options={"count": str(tmp_path / "times")}, n_frames=5)
    with closing(ReconnectingCamera(recipe)) as source:
        events: list[SourceEvent] = [source.open()]
        while not source.is_finished:
            events += source.read(64, 0.2)
    assert [event.number for event in events if isinstance(event, Frame)] == [0, 1, 2, 0, 1]


def test_who_stops_while_nobody_is_there_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "RETRY_S", 600.0)
    with closing(ReconnectingCamera(_recipe("leaving", options={"count": str(tmp_path / "times")}))) as source:
        source.open()
        while not source.lost_because:
            source.read(64, 0.2)
        assert source.lost_because == "the other program was closed"
        assert not source.is_finished
        source.stop()
        assert source.is_finished
        assert source.read(64, 0.0) == []


def test_what_fails_for_good_is_not_tried_again() -> None:
    with closing(ReconnectingCamera(_recipe("fails_for_good"))) as source:
        source.open()
        with pytest.raises(SourceError, match="found colour"):
            while True:
                source.read(64, 0.2)
