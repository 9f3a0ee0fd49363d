"""Stages side by side: the same answers as one after the other, and an orderly end when one of them fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.config import RunConfig, run_config_from_plain
from dblink_live.errors import SourceError, StoreError
from dblink_live.localization import GaussianLocalizer
from dblink_live.models import StreamingReconstructor, load_model
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.pipeline.resume import open_resumed_run
from dblink_live.pipeline.stages import localize
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.store.arrays import encode_probability
from dblink_live.types import Camera, FrameArray, Grid, Localizations, Shape
from dblink_live.windows import WindowAccumulator

SIDE, N_FRAMES = 32, 215
CAMERA = {
    "pixel_size_nm": 160.0,
    "offset_adu": SCMOS.offset_adu,
    "electrons_per_adu": SCMOS.electrons_per_adu,
    "read_noise_e": SCMOS.read_noise_e,
}
CONFIG = run_config_from_plain({"camera": CAMERA, "localizer": {"psf_sigma_px": 0.875}, "reconstruct": {"hop": 2}})


@pytest.fixture(scope="module")
def frames() -> FrameArray:
    camera = make_camera("filaments", Shape(SIDE, SIDE), seed=5)
    return np.stack([camera.frame(n) for n in range(N_FRAMES)])


@pytest.fixture(scope="module")
def stack(frames: FrameArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stack") / "filaments.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def one_after_the_other(frames: FrameArray, config: RunConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps, stored pictures and localizations of whole windows, made in one thread without any stage."""
    localizations = GaussianLocalizer(SCMOS, psf_sigma_px=0.875).localize(frames, np.arange(len(frames)))
    grid = Grid.covering(Shape(SIDE, SIDE), 160.0, 40.0)
    windows = WindowAccumulator(grid, 160.0, config.windows.frames, segment=0, first_frame=0)
    completed = windows.add(np.arange(len(frames)), np.zeros(len(frames), np.int64), localizations)
    stream = StreamingReconstructor(
        load_model("filaments", device="cpu"), config.reconstruct.lookahead, config.reconstruct.hop
    )
    pictures = [picture for window in completed for picture in stream.push(window.map)] + stream.flush()
    return (
        np.stack([window.map.counts for window in completed]),
        np.stack([encode_probability(picture.image, "uint8") for picture in pictures]),
        np.concatenate([window.localizations for window in completed]),
    )


def test_a_run_is_the_same_to_the_bit_as_one_thread_makes_it(frames: FrameArray, stack: Path, tmp_path: Path) -> None:
    with open_live_run(f"tiff:{stack}", tmp_path / "a.run", CONFIG) as session:
        totals = session.run().totals
    maps, pictures, localizations = one_after_the_other(frames, CONFIG)
    with open_run(tmp_path / "a.run") as run:
        assert run.counts is not None and run.live is not None
        np.testing.assert_array_equal(run.counts[:], maps)
        np.testing.assert_array_equal(run.live[:], pictures)
        np.testing.assert_array_equal(run.localizations(), localizations)
    assert [stage.name for stage in totals.stages] == ["localize", "bin", "reconstruct", "store", "publish"]
    assert all(stage.depth == 0 and stage.busy_s > 0 for stage in totals.stages)
    assert totals.stages[2].delay_s is not None


class FailingLocalizer:
    """A localizer whose driver, say, gives up at frame 100."""

    name = "failing"

    def __init__(self, camera: Camera, psf_sigma_px: float | None = None) -> None:
        self._inner = GaussianLocalizer(camera, psf_sigma_px=psf_sigma_px)

    def localize(self, frames: FrameArray, frame_numbers: np.ndarray) -> Localizations:
        if frame_numbers[-1] >= 100:
            raise SourceError("expected the accelerator to answer, found it gone")
        return self._inner.localize(frames, frame_numbers)


def test_a_localizer_that_fails_ends_the_run_in_order_and_resume_takes_it_up(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localize, "get_localizer_factory", lambda name: FailingLocalizer)
    with (
        pytest.raises(SourceError, match="accelerator"),
        open_live_run(f"tiff:{stack}", tmp_path / "a.run", CONFIG) as session,
    ):
        session.run()
    monkeypatch.undo()
    assert verify_run(tmp_path / "a.run").ok
    with open_run(tmp_path / "a.run") as run:
        assert run.status == "interrupted"
        n_kept = len(run.windows("counts"))
        assert n_kept == 6  # 64 frames were localized before the batch that failed
        assert any("localize failed: expected the accelerator" in event.text for event in run.events)
    with open_resumed_run(tmp_path / "a.run") as session:
        session.run()
    assert verify_run(tmp_path / "a.run").ok
    with open_run(tmp_path / "a.run") as run:
        assert sum(row.stop - row.start for row in run.windows("counts")) == 60 + (N_FRAMES - 60) // 10 * 10


def test_a_store_that_fails_ends_the_run_and_nobody_waits_for_it(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunWriter.write_map
    n_written = 0

    def write_until_full(self: RunWriter, *arguments: object) -> None:
        nonlocal n_written
        n_written += 1
        if n_written > 3:
            raise StoreError("no space left on the device")
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RunWriter, "write_map", write_until_full)
    with (
        pytest.raises(StoreError, match="no space"),
        open_live_run(f"tiff:{stack}", tmp_path / "a.run", CONFIG) as session,
    ):
        session.run()
    assert verify_run(tmp_path / "a.run").ok
    with open_run(tmp_path / "a.run") as run:
        assert len(run.windows("counts")) == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stage-")]


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Set when the stage under test may go on; set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


def test_a_stage_keeps_the_order_and_holds_up_who_is_too_fast(held: threading.Event) -> None:
    done: list[int] = []

    def handle(item: int) -> None:
        held.wait()
        done.append(item)

    stage = Stage("slow", handle, capacity=3)
    stage.start()
    taken = 0
    while stage.put(taken, timeout_s=0.05):
        taken += 1
    assert taken in (3, 4)  # three wait, and one may be at hand
    assert not stage.offer(99)
    held.set()
    stage.close()
    assert stage.join(60)
    assert done == list(range(taken))


def test_a_stage_that_failed_discards_what_comes_and_says_what_it_was() -> None:
    def handle(item: int) -> None:
        raise ValueError(f"item {item}")

    stage = Stage("bad", handle, capacity=1)
    stage.start()
    assert all(stage.put(n) for n in range(10))
    assert stage.join(60)
    assert str(stage.error) == "item 0"
    assert stage.depth == 0
