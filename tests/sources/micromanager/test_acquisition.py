"""``mm:acquisition`` in the camera process: pycromanager's Acquisition on a real core, started from a specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")

from bridge_client import RunningMicroManager

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.sources.camera_process import launch_camera
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape

Opener = Callable[..., FrameSource]


@pytest.fixture
def acquisition() -> Iterator[Opener]:
    """Makes sources, and closes them."""
    sources: list[FrameSource] = []

    def make(events: Path | None = None, **options: object) -> FrameSource:
        given = {"config": "MMConfig_demo.cfg", "events": events, **options}
        query = "&".join(f"{key}={value}" for key, value in given.items() if value is not None)
        sources.append(open_source(f"mm:acquisition?{query}", launch=launch_camera))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


def _run(source: FrameSource) -> list[SourceEvent]:
    events: list[SourceEvent] = [source.open()]
    while not source.is_finished:
        events += source.read(64, 0.2)
    return events


def _numbers(events: list[SourceEvent]) -> list[int]:
    return [event.number for event in events if isinstance(event, Frame)]


def test_a_time_lapse_arrives_whole_and_in_order(acquisition: Opener) -> None:
    source = acquisition(frames=50, exposure_ms=2, roi="8,4,64,48")
    events = _run(source)
    segment = events[0]
    assert isinstance(segment, Segment)
    assert (segment.shape, segment.roi, segment.exposure_ms) == (Shape(48, 64), (8, 4, 64, 48), 2.0)
    assert not segment.is_preview
    assert _numbers(events) == list(range(50))
    frames = [event for event in events if isinstance(event, Frame)]
    times = np.array([frame.t_host_ns for frame in frames])
    # Each was received by the core after the one before; pycromanager's hands put them in that order, too.
    assert (np.diff(times) > 0).all()
    assert len(events) == 51


def test_stop_ends_it_and_leaves_no_process(acquisition: Opener) -> None:
    source = acquisition(frames=100_000, exposure_ms=5, roi="0,0,32,24")
    events: list[SourceEvent] = [source.open()]
    while len(_numbers(events)) < 3:
        events += source.read(64, 0.2)
    source.stop()
    while not source.is_finished:
        events += source.read(64, 0.2)
    assert _numbers(events) == list(range(len(events) - 1))
    pid = source.pid  # type: ignore[attr-defined]
    source.close()
    assert not psutil.pid_exists(pid)


def test_a_folder_that_cannot_be_written_is_refused(acquisition: Opener, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(SourceError, match="expected a folder that can be written"):
        acquisition(frames=3, save=tmp_path / "taken").open()


def test_a_failing_device_ends_it_in_one_line(
    acquisition: Opener, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "plan.toml"
    events.write_text("[[events]]\naxes = {time = 0}\n[[events]]\naxes = {time = 1}\ncamera = 'Nope'\n")
    source = acquisition(events)
    found: list[SourceEvent] = [source.open()]
    with pytest.raises(SourceError, match='of 2 frames: No device with label "Nope"') as caught:
        while True:
            found += source.read(64, 0.2)
    assert "\n" not in str(caught.value)
    assert isinstance(found[-1], Gap)
    assert (found[-1].count, found[-1].cause) == (None, GapCause.CAMERA)
    source.close()
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.fixture
def running() -> Iterator[RunningMicroManager]:
    micromanager = RunningMicroManager()
    yield micromanager
    micromanager.kill()


def test_an_acquisition_in_a_running_micromanager_is_seen_as_well(
    acquisition: Opener, running: RunningMicroManager, tmp_path: Path
) -> None:
    """The Java backend of the same class, over the bridge."""
    running.do("setROI", 0, 0, 64, 48)
    events = tmp_path / "plan.toml"
    events.write_text(
        "num_time_points = 5\nchannel_group = 'Channel'\nchannels = ['DAPI', 'FITC']\nchannel_exposures_ms = [4, 6]\n"
    )
    found = _run(acquisition(events, config=None, port=running.port, channel="FITC"))
    segment = found[0]
    assert isinstance(segment, Segment)
    assert (segment.shape, segment.channel, segment.exposure_ms) == (Shape(48, 64), "FITC", 6.0)
    assert _numbers(found) == [0, 1, 2, 3, 4]
    gaps = [event for event in found if isinstance(event, Gap)]
    assert sum(gap.count or 0 for gap in gaps) == 5
    assert all(gap.cause is GapCause.DESELECTED for gap in gaps)


def test_a_sequence_over_the_bridge_arrives_whole(acquisition: Opener, running: RunningMicroManager) -> None:
    running.do("setROI", 0, 0, 64, 48)
    assert _numbers(_run(acquisition(config=None, port=running.port, frames=40))) == list(range(40))


def test_a_micromanager_that_is_closed_ends_it_with_the_reason(
    acquisition: Opener, running: RunningMicroManager
) -> None:
    running.do("setROI", 0, 0, 64, 48)
    running.do("setExposure", 20.0)
    source = acquisition(config=None, port=running.port, frames=100_000)
    found: list[SourceEvent] = [source.open()]
    while len(_numbers(found)) < 2:
        found += source.read(64, 0.2)
    running.kill()
    with pytest.raises(SourceError, match=f"Micro-Manager at port {running.port} was closed"):
        while True:
            found += source.read(64, 0.2)
    assert isinstance(found[-1], Gap)
    assert found[-1].count is None


def test_a_busy_camera_is_left_alone(acquisition: Opener, running: RunningMicroManager) -> None:
    running.start_live()
    with pytest.raises(SourceError, match="found 'Camera' busy with a sequence; end Live"):
        acquisition(config=None, port=running.port, frames=5).open()
    assert running.do("isSequenceRunning")


def test_settings_of_a_running_micromanager_are_its_own(acquisition: Opener) -> None:
    with pytest.raises(SourceError, match="set them in its window"):
        acquisition(config=None, port=4827, frames=5, binning=2).open()
