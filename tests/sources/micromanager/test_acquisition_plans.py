"""What is taken by plans of each form: on a real core of this process, through pycromanager's own Acquisition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")

from mmpycorex import terminate_core_instances

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import HostClock, ProducerPlan, StopSignal
from dblink_live.sources.micromanager.acquisition import AcquisitionProducer
from dblink_live.sources.micromanager.acquisition_events import read_events, time_lapse
from dblink_live.sources.micromanager.acquisition_plan import AcquisitionPlan
from dblink_live.sources.micromanager.captured_output import kept
from dblink_live.sources.micromanager.core import build_core
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.types import FrameArray, Gap, GapCause, Segment

CHANNELS = "channel_group = 'Channel'\nchannels = ['DAPI', 'FITC']\n"


@pytest.fixture(scope="module")
def core() -> Iterator[CameraCore]:
    """One for all: pycromanager allows one core a process."""
    core = CameraCore(build_core("MMConfig_demo.cfg"))
    yield core
    terminate_core_instances()


@pytest.fixture
def camera(core: CameraCore) -> CameraCore:
    """As a user has set it before."""
    core.set_binning(1)
    core.set_roi(0, 0, 64, 48)
    core.set_exposure_ms(2.0)
    return core


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return path

    return write


class Sink:
    """Takes what the ring would take."""

    def __init__(self) -> None:
        self.told: list[int | Segment | Gap] = []
        """Frames by their numbers."""
        self.pictures: list[FrameArray] = []

    def write_segment(self, segment: Segment) -> None:
        self.told.append(segment)

    def write_frame(self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0) -> None:
        self.told.append(number)
        self.pictures.append(data.copy())

    def write_gap(self, gap: Gap) -> None:
        self.told.append(gap)

    @property
    def numbers(self) -> list[int]:
        return [item for item in self.told if isinstance(item, int)]

    @property
    def n_deselected(self) -> int:
        gaps = [item for item in self.told if isinstance(item, Gap)]
        assert all(gap.cause is GapCause.DESELECTED for gap in gaps)
        return sum(gap.count or 0 for gap in gaps)


def _run(camera: CameraCore, plan: AcquisitionPlan, folder: Path | None = None) -> tuple[ProducerPlan, Sink]:
    plan.check(camera)
    sink = Sink()
    tee = AcquisitionProducer(camera, plan, port=None, folder=folder)
    ready = tee.prepare(HostClock.now())
    # The camera outlives the acquisition, for the next test: the tee is not closed.
    tee.run(sink, lambda: StopSignal.GO_ON)
    return ready, sink


def test_channels_and_positions_that_are_not_chosen_are_counted(
    camera: CameraCore, plan: Callable[[str], Path]
) -> None:
    events = read_events(
        plan(
            "num_time_points = 4\nchannel_exposures_ms = [5, 8]\nxy_positions = [[0, 0], [20, 30]]\n"
            "position_labels = ['left', 'right']\n" + CHANNELS
        )
    )
    ready, sink = _run(camera, AcquisitionPlan.of(events, channel="FITC", position="right"))
    first = ready.segment
    assert (first.channel, first.position, first.exposure_ms, first.is_preview) == ("FITC", "right", 8.0, False)
    assert sink.numbers == [0, 1, 2, 3]
    assert sink.n_deselected == 12


def test_a_useq_plan_is_understood(camera: CameraCore, plan: Callable[[str], Path]) -> None:
    events = read_events(
        plan(
            """
            axis_order = "tpcz"
            stage_positions = [{x = 10, y = 20, name = "cell"}]
            channels = [
                {group = "Channel", config = "Cy5", exposure = 6},
                {group = "Channel", config = "DAPI", exposure = 7},
            ]
            [time_plan]
            interval = 0
            loops = 3
            """
        )
    )
    ready, sink = _run(camera, AcquisitionPlan.of(events, channel="1"))
    assert (ready.segment.channel, ready.segment.position, ready.segment.exposure_ms) == ("DAPI", "cell", 7.0)
    assert sink.numbers == [0, 1, 2]
    assert sink.n_deselected == 3


def test_exposure_and_binning_of_the_plan_begin_segments(camera: CameraCore, plan: Callable[[str], Path]) -> None:
    rows = [(0, 5, 1), (1, 5, 1), (2, 9, 1), (3, 9, 1), (4, 9, 2), (5, 9, 2), (6, 9, 1)]
    text = "\n".join(
        f"[[events]]\naxes = {{time = {time}}}\nexposure = {exposure}\n"
        f"properties = [['Camera', 'Binning', '{binning}']]"
        for time, exposure, binning in rows
    )
    camera.clear_roi()
    ready, sink = _run(camera, AcquisitionPlan.of(read_events(plan(text))))
    told = [(item.reason, item.shape.height) if isinstance(item, Segment) else item for item in sink.told]
    assert ready.segment.shape.height == 512
    assert told == [0, 1, ("exposure", 512), 0, 1, ("binning", 256), 0, 1, ("binning", 512), 0]


def test_what_is_saved_is_what_was_seen(camera: CameraCore, tmp_path: Path) -> None:
    _, sink = _run(camera, AcquisitionPlan.of(time_lapse(6)), folder=tmp_path)
    with tifffile.TiffFile(tmp_path / "dblink_1" / "dblink_NDTiffStack.tif") as stored:
        pages = [page.asarray() for page in stored.pages]
    assert len(sink.pictures) == len(pages) == 6
    for picture, page in zip(sink.pictures, pages, strict=True):
        np.testing.assert_array_equal(picture, page)


def test_an_interrupted_plan_is_taken_up_behind_what_is_kept(camera: CameraCore, plan: Callable[[str], Path]) -> None:
    events = read_events(plan("num_time_points = 6\n" + CHANNELS))
    _, sink = _run(camera, AcquisitionPlan.of(events, channel="DAPI", n_skip=4))
    assert sink.numbers == [0, 1]
    # Of the last kept time point, the other channel's image is still due.
    assert sink.n_deselected == 3


def test_so_many_frames_end_it(camera: CameraCore, plan: Callable[[str], Path]) -> None:
    events = read_events(plan("num_time_points = 6\n" + CHANNELS))
    _, sink = _run(camera, AcquisitionPlan.of(events, channel="FITC", n_frames=2))
    assert sink.numbers == [0, 1]
    assert sink.n_deselected == 2


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
        pytest.param(
            "[[events]]\naxes = {time = 1}\nproperties = [['Camera', 'Binning', '3']]",
            "found the values 1, 2, 4, 8",
            id="wrong value",
        ),
        pytest.param(
            "[[events]]\naxes = {time = 1}\nproperties = [['Laser', 'Power', '3']]", "no such property", id="no device"
        ),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(
    core: CameraCore, plan: Callable[[str], Path], tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "absent.toml" if text is None else plan(text)
    with pytest.raises(SourceError, match=message) as caught:
        AcquisitionPlan.of(read_events(path)).check(core)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", ["Cy5", "2"])
def test_a_channel_that_the_plan_lacks_is_refused(plan: Callable[[str], Path], asked: str) -> None:
    events = read_events(plan(CHANNELS))
    with pytest.raises(SourceError, match=f"expected images of channel '{asked}'") as caught:
        AcquisitionPlan.of(events, channel=asked)
    assert "found channels DAPI, FITC" in str(caught.value)


def test_the_reason_is_found_in_what_an_engine_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with kept() as words:
        print("Timeout\nTraceback (most recent call last):\nmod.HardwareControlException: Error executing event")
        assert words.reason() is None
        print("  File x\nRuntimeError: stage stuck\n")
    assert words.reason() == "stage stuck"
    assert capsys.readouterr().out == ""
