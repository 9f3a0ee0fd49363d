"""``mm:acquisition``: pycromanager's Acquisition on a real core, started in the camera process from a user's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")

from dblink_live.acquire import launch_camera
from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape

Opener = Callable[..., FrameSource]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return path

    return write


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


def _deselected(events: list[SourceEvent]) -> int:
    gaps = [event for event in events if isinstance(event, Gap)]
    assert all(gap.cause is GapCause.DESELECTED for gap in gaps)
    return sum(gap.count or 0 for gap in gaps)


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


def test_channels_and_positions_that_are_not_chosen_are_counted(
    acquisition: Opener, plan: Callable[[str], Path]
) -> None:
    events = plan(
        """
        num_time_points = 4
        channel_group = "Channel"
        channels = ["DAPI", "FITC"]
        channel_exposures_ms = [5, 8]
        xy_positions = [[0, 0], [20, 30]]
        position_labels = ["left", "right"]
        """
    )
    found = _run(acquisition(events, channel="FITC", position="right"))
    segment = found[0]
    assert isinstance(segment, Segment)
    assert (segment.channel, segment.position, segment.exposure_ms) == ("FITC", "right", 8.0)
    assert _numbers(found) == [0, 1, 2, 3]
    assert _deselected(found) == 12


def test_a_useq_plan_is_understood(acquisition: Opener, plan: Callable[[str], Path]) -> None:
    events = plan(
        """
        axis_order = "tpcz"
        stage_positions = [{x = 10, y = 20, name = "cell"}]
        [time_plan]
        interval = 0
        loops = 3
        [[channels]]
        group = "Channel"
        config = "Cy5"
        exposure = 6
        [[channels]]
        group = "Channel"
        config = "DAPI"
        exposure = 7
        """
    )
    found = _run(acquisition(events, channel=1))
    segment = found[0]
    assert isinstance(segment, Segment)
    assert (segment.channel, segment.position, segment.exposure_ms) == ("DAPI", "cell", 7.0)
    assert _numbers(found) == [0, 1, 2]
    assert _deselected(found) == 3


def test_exposure_and_binning_of_the_plan_begin_segments(acquisition: Opener, plan: Callable[[str], Path]) -> None:
    events = plan(
        "\n".join(
            f"[[events]]\naxes = {{time = {time}}}\nexposure = {exposure}\n"
            f"properties = [['Camera', 'Binning', '{binning}']]"
            for time, exposure, binning in [(0, 5, 1), (1, 5, 1), (2, 9, 1), (3, 9, 1), (4, 9, 2), (5, 9, 2), (6, 9, 1)]
        )
    )
    found = _run(acquisition(events))
    told = [(event.reason, event.shape.height) if isinstance(event, Segment) else event.number for event in found]
    assert told == [("start", 512), 0, 1, ("exposure", 512), 0, 1, ("binning", 256), 0, 1, ("binning", 512), 0]


def test_what_is_saved_is_what_was_seen(acquisition: Opener, tmp_path: Path) -> None:
    from ndstorage import Dataset

    found = _run(acquisition(frames=6, exposure_ms=2, roi="0,0,32,24", save=tmp_path / "kept"))
    stored = Dataset(str(tmp_path / "kept" / "dblink_1"))
    frames = [event.data for event in found if isinstance(event, Frame)]
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, stored.read_image(time=number))
    stored.close()


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


def test_an_interrupted_plan_is_taken_up_behind_what_is_kept(plan: Callable[[str], Path]) -> None:
    events = plan("num_time_points = 6\nchannel_group = 'Channel'\nchannels = ['DAPI', 'FITC']")
    spec = f"mm:acquisition?config=MMConfig_demo.cfg&events={events}&channel=DAPI"
    source = open_source(spec, launch=launch_camera, n_kept=4)
    found = _run(source)
    source.close()
    assert _numbers(found) == [0, 1]
    # That of the fourth time point still belongs to what was interrupted.
    assert _deselected(found) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "found nothing at", id="no file"),
        pytest.param("num_time_points = ", "expected TOML", id="no toml"),
        pytest.param("num_timepoints = 5", "did you mean 'num_time_points'", id="typing error"),
        pytest.param("num_time_points = 'many'", "expected a plan", id="wrong type"),
        pytest.param("events = []", "expected at least one image", id="nothing"),
        pytest.param("[[events]]\nexposure = 5", "expected axes of each event", id="no axes"),
        pytest.param("[[events]]\naxes = {time = 1}\n[[events]]\naxes = {time = 1}", "twice", id="same axes"),
        pytest.param("[[events]]\naxes = {time = 1}\nexposre = 5", "did you mean 'exposure'", id="event key"),
        pytest.param("[time_plan]\nloops = 2", "expected a plan", id="half a useq plan"),
        pytest.param(
            "channel_group = 'Channel'\nchannels = ['GFP']", "found the presets Cy5, DAPI", id="missing preset"
        ),
        pytest.param("channel_group = 'Chanel'\nchannels = ['DAPI']", "found no such group", id="missing group"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(
    acquisition: Opener, plan: Callable[[str], Path], tmp_path: Path, text: str | None, message: str
) -> None:
    source = acquisition(tmp_path / "absent.toml" if text is None else plan(text))
    with pytest.raises(SourceError, match=message) as caught:
        source.open()
    assert "\n" not in str(caught.value)


def test_a_channel_that_the_plan_lacks_is_refused(acquisition: Opener, plan: Callable[[str], Path]) -> None:
    events = plan("channel_group = 'Channel'\nchannels = ['DAPI', 'FITC']")
    with pytest.raises(SourceError, match="expected images of channel 'Cy5' .*, found channels DAPI, FITC"):
        acquisition(events, channel="Cy5").open()


def test_a_folder_that_cannot_be_written_is_refused(acquisition: Opener, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(SourceError, match="expected a folder that can be written"):
        acquisition(frames=3, save=tmp_path / "taken").open()


def test_a_failing_device_ends_it_with_its_own_words(
    acquisition: Opener, plan: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    events = plan(
        "[[events]]\naxes = {time = 0}\n[[events]]\naxes = {time = 1}\nproperties = [['Camera', 'Binning', '77']]"
    )
    source = acquisition(events)
    found: list[SourceEvent] = [source.open()]
    with pytest.raises(SourceError, match="ended after 1 of 2 frames") as caught:
        while True:
            found += source.read(64, 0.2)
    assert "77" in str(caught.value) or "Binning" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert _numbers(found) == [0]
    assert found[-1] == Gap(0, 0, None, GapCause.CAMERA)
    source.close()
    assert "Traceback" not in "".join(capfd.readouterr())
