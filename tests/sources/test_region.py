"""A region of a recording, and an exposure that the user states."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource
from dblink_live.sources import open_source, parse_source
from dblink_live.types import CameraRecipe, Frame, Shape

STACK = np.random.default_rng(5).integers(0, 65_535, (6, 20, 30)).astype(np.uint16)


def no_camera(recipe: CameraRecipe) -> FrameSource:
    raise AssertionError("a recording needs no camera")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    frames = STACK.copy()
    frames[2, 0, 0] = frames[3, 8, 9] = 65_535
    tifffile.imwrite(tmp_path / "stack.tif", frames)
    return tmp_path / "stack.tif"


def test_only_the_region_is_read_and_its_saturated_pixels_counted(stack: Path) -> None:
    source = open_source(f"tiff:{stack}?roi=5,4,10,8&exposure_ms=25", launch=no_camera)
    segment = source.open()
    assert (segment.shape, segment.exposure_ms, segment.roi) == (Shape(8, 10), 25.0, None)
    frames = [event for event in source.read(10, 1.0) if isinstance(event, Frame)]
    source.close()
    for frame, whole in zip(frames, tifffile.imread(stack), strict=True):
        assert np.array_equal(frame.data, whole[4:12, 5:15])
    assert [frame.n_saturated for frame in frames] == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("roi", ["25,0,10,8", "0,15,10,8", "0,0,31,20"])
def test_a_region_beyond_the_frames_is_refused(stack: Path, roi: str) -> None:
    source = open_source(f"tiff:{stack}?roi={roi}", launch=no_camera)
    with pytest.raises(SourceError, match=r"within the frames of 30 x 20 pixels"):
        source.open()
    source.close()


def test_another_exposure_than_the_file_states_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from dblink_live.sources.region import RegionSource
    from dblink_live.types import Segment

    class Stated:
        name, is_live, is_finished, n_frames_expected = "stated", False, True, 0

        def open(self) -> Segment:
            return Segment(0, Shape(20, 30), "uint16", exposure_ms=30.0, roi=(100, 50, 30, 20))

        def read(self, max_frames: int, timeout_s: float) -> list[Segment]:
            return []

        def stop(self) -> None: ...

        def close(self) -> None: ...

    with caplog.at_level(logging.WARNING):
        segment = RegionSource(Stated(), (5, 4, 10, 8), 25.0).open()  # type: ignore[arg-type]
    assert (segment.exposure_ms, segment.roi) == (25.0, (105, 54, 10, 8))
    assert "states an exposure of 30 ms; 25 ms is taken" in caplog.text


@pytest.mark.parametrize("text", ["mm:live?roi=0,0,8,8", "sim:filaments?exposure_ms=5"])
def test_where_another_program_decides_there_is_no_region(text: str) -> None:
    with pytest.raises(SourceError, match="unknown option"):
        parse_source(text)
