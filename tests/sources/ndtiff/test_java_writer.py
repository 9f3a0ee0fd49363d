"""Datasets that Micro-Manager's own Java library is writing, followed; skipped where it is not here."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ndtiff_java
from benchmarks.ndtiff_writers import frame_of
from dblink_live.sources.ndtiff.follower import NdtiffFollower, NdtiffOptions
from dblink_live.types import Frame

pytestmark = pytest.mark.skipif(ndtiff_java.missing() is not None, reason=str(ndtiff_java.missing()))
SIZE, N_FRAMES = 64, 600


def follow_next(folder: Path) -> NdtiffFollower:
    """Follow the dataset that is being begun in ``folder``."""
    while not (folder / "acq_1" / "NDTiff.index").exists():
        time.sleep(0.001)
    return NdtiffFollower(folder / "acq_1", NdtiffOptions(watch=False, idle_s=3.0))


@pytest.mark.parametrize("fps", [pytest.param(300.0, id="300 fps"), pytest.param(None, id="as fast as it goes")])
def test_every_frame_is_there_and_right_while_java_writes(tmp_path: Path, fps: float | None) -> None:
    frames: list[Frame] = []
    with ndtiff_java.JavaWriter() as writer:
        writer.begin(tmp_path, N_FRAMES, SIZE, fps)
        source = follow_next(tmp_path)
        segment = source.open()
        while not source.is_finished:
            frames += [event for event in source.read(64, 0.1) if isinstance(event, Frame)]
        writer.finish()
    source.close()
    assert segment.pixel_size_nm == 100.0
    assert [frame.number for frame in frames] == list(range(N_FRAMES))
    for frame in frames:
        np.testing.assert_array_equal(frame.data, frame_of(frame.number, SIZE))


def test_a_dataset_of_a_java_that_was_killed_is_read_up_to_there(tmp_path: Path) -> None:
    frames: list[Frame] = []
    with ndtiff_java.JavaWriter() as writer:
        writer.begin(tmp_path, 100_000, SIZE, 500.0)
        source = follow_next(tmp_path)
        source.open()
        while len(frames) < 200:
            frames += [event for event in source.read(64, 0.1) if isinstance(event, Frame)]
    while not source.is_finished:
        frames += [event for event in source.read(64, 0.1) if isinstance(event, Frame)]
    source.close()
    assert source.ending is not None and "stopped growing" in source.ending
    assert [frame.number for frame in frames] == list(range(len(frames)))
    for frame in frames:
        np.testing.assert_array_equal(frame.data, frame_of(frame.number, SIZE))
