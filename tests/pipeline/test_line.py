"""The live line, with real sources, a real store and the shipped network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.camera.resolve import resolve_camera
from dblink_live.config import CameraConfig, RunConfig, run_config_from_plain
from dblink_live.errors import CalibrationError, ConfigError, ModelError, SourceError, StoreError
from dblink_live.interfaces import SourceEvent
from dblink_live.ledger import Ledger
from dblink_live.localization import GaussianLocalizer
from dblink_live.models import load_model, reconstruct
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.live_run import LiveRun, open_live_run
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Frame, Gap, GapCause, RunInfo, Segment, Shape
from dblink_live.windows import bin_localizations

SIDE = 32
CAMERA = {
    "pixel_size_nm": 160.0,
    "offset_adu": SCMOS.offset_adu,
    "electrons_per_adu": SCMOS.electrons_per_adu,
    "read_noise_e": SCMOS.read_noise_e,
}
CONFIG = run_config_from_plain({"camera": CAMERA, "localizer": {"psf_sigma_px": 0.875}})


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """215 frames of moving filaments: 21 windows and 5 frames."""
    camera = make_camera("filaments", Shape(SIDE, SIDE), seed=11)
    return np.stack([camera.frame(n) for n in range(215)])


@pytest.fixture(scope="module")
def stack(frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stack") / "filaments.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def finished(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    folder = tmp_path_factory.mktemp("runs") / "stack.run"
    with open_live_run(f"tiff:{stack}", folder, CONFIG) as session:
        return session.run()


def test_every_frame_of_a_stack_is_accounted_for(finished: LiveRun) -> None:
    totals = finished.totals
    assert (totals.frames_seen, totals.frames_committed, totals.frames_tail) == (215, 210, 5)
    assert totals.lost == {}
    assert totals.windows_counts == totals.windows_live == 21
    report = verify_run(finished.folder)
    assert report.ok, report.problems
    with open_run(finished.folder) as run:
        assert Ledger.from_plain({**run.ledger[0], "segment": 0}).balances()


def test_the_stored_maps_are_those_of_the_localizer_offline(finished: LiveRun, frames: np.ndarray) -> None:
    table = GaussianLocalizer(SCMOS, psf_sigma_px=0.875).localize(frames, np.arange(len(frames)))
    expected = bin_localizations(table, (SIDE, SIDE), 160.0)[:21]
    with open_run(finished.folder) as run:
        assert run.counts is not None
        assert np.array_equal(run.counts[:], expected)
        stored = run.localizations()
    assert np.array_equal(stored["frame"], table["frame"][table["frame"] < 210])


def test_the_stored_pictures_are_those_of_the_stream_offline(finished: LiveRun) -> None:
    with open_run(finished.folder) as run:
        assert run.counts is not None
        assert run.live is not None
        offline = reconstruct(run.counts[:], load_model("filaments", device="cpu"), lookahead=8)
        live = run.live[:].astype(np.float32) * run.live.value_scale
    # Stored as 8 bits: half a step of 1/255.
    assert np.abs(live - offline).max() <= 0.5 / 255 + 1e-6


def test_a_real_micromanager_recording_runs_through(shared_data: Path, tmp_path: Path) -> None:
    stack = shared_data / "raw_dnapaint_micromanager" / "3C_30px_100f.tif"
    config = run_config_from_plain({"camera": {"pixel_size_nm": 130.0}})
    with open_live_run(f"tiff:{stack}", tmp_path / "paint.run", config) as session:
        totals = session.run().totals
    assert (totals.frames_seen, totals.frames_committed, totals.windows_live) == (100, 100, 10)
    assert not totals.is_calibrated
    assert verify_run(tmp_path / "paint.run").ok
    with open_run(tmp_path / "paint.run") as run:
        assert len(run.localizations()) > 100


def test_a_stack_without_a_pixel_size_is_asked_for_it_and_nothing_is_written(stack: Path, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"camera\.pixel_size_nm"):
        open_live_run(f"tiff:{stack}", tmp_path / "x.run", RunConfig())
    assert not (tmp_path / "x.run").exists()


def test_an_existing_run_is_never_overwritten(finished: LiveRun, stack: Path) -> None:
    with pytest.raises(StoreError, match=r"stack\.run"):
        open_live_run(f"tiff:{stack}", finished.folder, CONFIG)
    assert verify_run(finished.folder).ok


def test_an_unknown_model_is_refused_before_anything_is_written(stack: Path, tmp_path: Path) -> None:
    config = run_config_from_plain({"camera": CAMERA, "reconstruct": {"model": "filamnets"}})
    with pytest.raises(ModelError, match="filaments"):
        open_live_run(f"tiff:{stack}", tmp_path / "x.run", config)
    assert not (tmp_path / "x.run").exists()


def test_what_a_localizer_cannot_do_is_refused_before_anything_is_written(stack: Path, tmp_path: Path) -> None:
    config = run_config_from_plain({"camera": CAMERA, "localizer": {"name": "dense", "fit": "free"}})
    with pytest.raises(ConfigError, match="no fit for the dense localizer"):
        open_live_run(f"tiff:{stack}", tmp_path / "x.run", config)
    assert not (tmp_path / "x.run").exists()


def test_stopping_early_leaves_a_valid_run(stack: Path, tmp_path: Path) -> None:
    with open_live_run(f"tiff:{stack}", tmp_path / "early.run", CONFIG) as session:
        seen: list[int] = []
        totals = session.run(on_progress=seen.append, should_stop=lambda: bool(seen) and seen[-1] >= 64).totals
    assert totals.stopped_early
    assert 64 <= totals.frames_seen < 215
    assert verify_run(tmp_path / "early.run").ok


def test_a_truncated_stack_fails_after_committing_what_came_before(stack: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tif"
    cut.write_bytes(stack.read_bytes()[: stack.stat().st_size // 2])
    with pytest.raises(SourceError), open_live_run(f"tiff:{cut}", tmp_path / "cut.run", CONFIG) as session:
        session.run()
    report = verify_run(tmp_path / "cut.run")
    assert report.ok, report.problems
    with open_run(tmp_path / "cut.run") as run:
        assert run.status == "interrupted"
        assert len(run.windows("counts")) > 5


class ScriptedSource:
    """Real frames in an order of our choosing: what a camera with losses delivers."""

    name = "scripted"
    is_live = True
    n_frames_expected = None

    def __init__(self, events: list[SourceEvent]) -> None:
        self._events = events

    def open(self) -> Segment:
        return SEGMENT

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        taken, self._events = self._events[:max_frames], self._events[max_frames:]
        return taken

    @property
    def is_finished(self) -> bool:
        return not self._events

    def stop(self) -> None:
        self._events = []

    def close(self) -> None:
        pass


SEGMENT = Segment(index=0, shape=Shape(SIDE, SIDE), dtype="uint16", frame_interval_ms=20.0)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
    with RunWriter.create(tmp_path / "scripted.run", info, window_frames=10) as writer:
        yield writer


def camera_events(frames: np.ndarray, lost: dict[int, tuple[int | None, GapCause]]) -> list[SourceEvent]:
    """Frames in order, but from each key of ``lost`` on so many are missing."""
    events: list[SourceEvent] = []
    n = 0
    while n < len(frames):
        if n in lost:
            count, cause = lost[n]
            events.append(Gap(0, n - 1, count, cause))
            n += count or 7  # nobody is told of the seven
            lost = {key: value for key, value in lost.items() if key >= n}
            continue
        events.append(Frame(0, n, 1 + n * 20_000_000, frames[n]))
        n += 1
    return events


def test_gaps_stay_in_their_windows_and_in_the_ledger(frames: np.ndarray, writer: RunWriter) -> None:
    lost = {23: (4, GapCause.CAMERA), 58: (34, GapCause.RECONSTRUCT)}
    source = ScriptedSource(camera_events(frames, dict(lost)))
    totals = LiveLoop(source, load_model("filaments", device="cpu"), CONFIG, writer).run(SEGMENT)
    writer.finalize()
    assert totals.lost == {"camera": 4, "reconstruct": 34}
    assert totals.frames_seen == 215
    assert totals.frames_committed == 210 - 38
    with open_run(writer.path) as run:
        missing = [window.n_frames_missing for window in run.windows("counts")]
        assert run.counts is not None
        assert run.counts[6].sum() == 0  # window 6 is missing as a whole
    assert missing[2] == 4
    assert missing[5:10] == [2, 10, 10, 10, 2]
    assert sum(missing) == 38
    assert verify_run(writer.path).ok


def test_a_loss_of_unknown_size_starts_a_segment_and_is_never_called_zero(
    frames: np.ndarray, writer: RunWriter
) -> None:
    source = ScriptedSource(camera_events(frames, {104: (None, GapCause.CAMERA)}))
    totals = LiveLoop(source, load_model("filaments", device="cpu"), CONFIG, writer).run(SEGMENT)
    writer.finalize()
    assert totals.has_unknown_loss
    assert totals.frames_seen == 104 + (215 - 111)
    with open_run(writer.path) as run:
        assert len(run.segments) == 2
        # The second segment's windows are counted from its own first frame.
        assert run.windows("counts", segment=1)[0].start == 111
    assert verify_run(writer.path).ok


def test_a_segment_that_is_announced_after_an_unknown_loss_follows_it(frames: np.ndarray, writer: RunWriter) -> None:
    """As when Micro-Manager was started again: no empty segment lies between."""
    events = camera_events(frames[:100], {})
    again = replace(SEGMENT, index=1, reason="restart", is_preview=True)
    events += [Gap(0, 99, None, GapCause.PREVIEW), again, *camera_events(frames[:50], {})]
    events += [Gap(0, 49, None, GapCause.PREVIEW)]
    totals = LiveLoop(ScriptedSource(events), load_model("filaments", device="cpu"), CONFIG, writer).run(SEGMENT)
    writer.finalize()
    assert totals.is_preview
    assert totals.has_unknown_loss
    with open_run(writer.path) as run:
        assert [stored.segment.reason for stored in run.segments] == ["start", "restart"]
        assert [stored.segment.is_preview for stored in run.segments] == [False, True]
    assert verify_run(writer.path).ok


def test_a_long_gap_starts_a_segment(frames: np.ndarray, writer: RunWriter) -> None:
    config = run_config_from_plain({"camera": CAMERA, "windows": {"max_gap_windows": 3}})
    source = ScriptedSource(camera_events(frames, {60: (50, GapCause.CAMERA)}))
    totals = LiveLoop(source, load_model("filaments", device="cpu"), config, writer).run(SEGMENT)
    writer.finalize()
    assert totals.lost == {"camera": 50}
    with open_run(writer.path) as run:
        assert [stored.segment.reason for stored in run.segments] == ["start", "gap (camera)"]
    assert verify_run(writer.path).ok


@pytest.mark.parametrize(("is_recorded", "n_segments"), [(False, 2), (True, 1)])
def test_windows_that_were_too_much_are_made_up_only_for_a_recording_to_fill(
    is_recorded: bool, n_segments: int, frames: np.ndarray, writer: RunWriter
) -> None:
    plain = {"camera": CAMERA, "reconstruct": {"lookahead": 2, "hop": 1}, "store": {"record": is_recorded}}
    source = ScriptedSource(camera_events(frames, {60: (50, GapCause.RECONSTRUCT)}))
    totals = LiveLoop(source, load_model("filaments", device="cpu"), run_config_from_plain(plain), writer).run(SEGMENT)
    writer.finalize()
    assert totals.lost == {"reconstruct": 50}
    with open_run(writer.path) as run:
        assert len(run.segments) == n_segments
    assert verify_run(writer.path).ok


def test_frames_of_other_channels_are_counted_however_many(frames: np.ndarray, writer: RunWriter) -> None:
    config = run_config_from_plain({"camera": CAMERA, "windows": {"max_gap_windows": 3}})
    events = camera_events(frames, {})
    events.insert(60, Gap(0, 59, 5000, GapCause.DESELECTED))
    totals = LiveLoop(ScriptedSource(events), load_model("filaments", device="cpu"), config, writer).run(SEGMENT)
    writer.finalize()
    assert totals.frames_committed == 210
    with open_run(writer.path) as run:
        assert [stored.segment.reason for stored in run.segments] == ["start"]
        assert sum(window.n_frames_missing for window in run.windows("counts")) == 0
    report = verify_run(writer.path)
    assert report.ok
    assert report.ledger[0]["deselected"] == 5000


@pytest.mark.parametrize(("stated", "bit_depth"), [(None, 16), (12, 12)])
def test_the_bit_depth_that_a_source_states_is_taken(stated: int | None, bit_depth: int) -> None:
    segment = replace(SEGMENT, bit_depth=stated)
    assert resolve_camera(CameraConfig(pixel_size_nm=100.0), segment).bit_depth == bit_depth
    assert resolve_camera(CameraConfig(pixel_size_nm=100.0, bit_depth=14), segment).bit_depth == 14
