"""The hierarchy is valid OME-Zarr 0.5 at every moment, and says where its pixels lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from synthetic import GRID, INFO, WINDOW_FRAMES, make_map, make_segment, write_run, write_window

from dblink_live.store import RunWriter, verify_run
from dblink_live.types import Grid, Shape


def _metadata(path: Path) -> Any:
    return json.loads((path / "zarr.json").read_text())


def test_valid_from_the_first_segment_to_the_end(tmp_path: Path) -> None:
    """yaozarrs' warnings are errors here, as all warnings are in tests."""
    root = tmp_path / "run" / "run.ome.zarr"
    writer = RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
    assert not root.exists()
    assert verify_run(tmp_path / "run").ok
    with writer:
        writer.begin_segment(make_segment(), GRID)
        yaozarrs.validate_zarr_store(str(root))
        assert verify_run(tmp_path / "run").ok
        for window in range(5):
            write_window(writer, 0, window)
        yaozarrs.validate_zarr_store(str(root))
        writer.begin_segment(make_segment(1), Grid(pitch_nm=40.0, shape=Shape(9, 9)))
        yaozarrs.validate_zarr_store(str(root))
        writer.flush()
        assert verify_run(tmp_path / "run").ok
    yaozarrs.validate_zarr_store(str(root))
    assert _metadata(root / "OME")["attributes"]["ome"]["series"] == ["counts", "live", "counts_1", "live_1"]


def test_no_consolidated_metadata(tmp_path: Path) -> None:
    """It would go stale with each growth, and again when the full pass adds its series."""
    write_run(tmp_path / "run", n_windows=2)
    for path in (tmp_path / "run").rglob("zarr.json"):
        assert "consolidated_metadata" not in json.loads(path.read_text())


@pytest.mark.parametrize("finalize", [pytest.param(False, id="while-written"), pytest.param(True, id="finished")])
def test_plain_zarr_opens_it(tmp_path: Path, finalize: bool) -> None:
    writer = write_run(tmp_path / "run", n_windows=5, finalize=finalize)
    writer.close() if finalize else writer.flush()
    group = zarr.open_group(tmp_path / "run" / "run.ome.zarr", mode="r")
    array: Any = group["counts/0"]
    assert array.shape[0] == (5 if finalize else 256)
    assert array.metadata.dimension_names == ("t", "y", "x")
    np.testing.assert_array_equal(array[4], make_map(0, 4)[0].counts)
    writer.close()


def test_axes_units_and_pixel_centres(tmp_path: Path) -> None:
    grid = Grid(pitch_nm=40.0, shape=Shape(9, 11), origin_nm=(400.0, 80.0))
    with RunWriter.create(tmp_path / "run", INFO, window_frames=10) as writer:
        writer.begin_segment(make_segment(frame_interval_ms=20.0), grid)
    group = _metadata(tmp_path / "run" / "run.ome.zarr" / "live")
    (multiscale,) = group["attributes"]["ome"]["multiscales"]
    assert multiscale["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    # 10 frames of 20 ms; 40 nm pixels; the first pixel's centre lies half a pixel from the grid's corner.
    assert scale["scale"] == pytest.approx([0.2, 0.04, 0.04])
    assert translation["translation"] == pytest.approx([0.1, 0.42, 0.1])
    row, col = 3, 5
    place = [
        row * scale["scale"][1] + translation["translation"][1],
        col * scale["scale"][2] + translation["translation"][2],
    ]
    assert place == pytest.approx([nm / 1000 for nm in grid.centre_nm(row, col)])
    assert group["attributes"]["dblink_live"]["value_scale"] == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("interval_ms", "exposure_ms", "unit", "duration"),
    [
        pytest.param(20.0, 10.0, "second", 0.2, id="interval"),
        pytest.param(None, 10.0, "second", 0.1, id="exposure-stands-in"),
        pytest.param(None, None, None, 10.0, id="unknown-counts-frames"),
    ],
)
def test_the_time_axis_never_makes_up_seconds(
    tmp_path: Path, interval_ms: float | None, exposure_ms: float | None, unit: str | None, duration: float
) -> None:
    with RunWriter.create(tmp_path / "run", INFO, window_frames=10) as writer:
        writer.begin_segment(make_segment(frame_interval_ms=interval_ms, exposure_ms=exposure_ms), GRID)
    (multiscale,) = _metadata(tmp_path / "run" / "run.ome.zarr" / "counts")["attributes"]["ome"]["multiscales"]
    assert multiscale["axes"][0].get("unit") == unit
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"][0] == pytest.approx(duration)
    yaozarrs.validate_zarr_store(str(tmp_path / "run" / "run.ome.zarr"))


def test_a_window_is_one_shard_compressed_with_bitshuffle(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_windows=2, grid=Grid(pitch_nm=40.0, shape=Shape(700, 530)))
    level = tmp_path / "run" / "run.ome.zarr" / "counts" / "0"
    metadata = _metadata(level)
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 1024, 1024]
    (sharding,) = metadata["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [1, 512, 512]
    _, blosc = sharding["configuration"]["codecs"]
    assert (blosc["configuration"]["cname"], blosc["configuration"]["shuffle"]) == ("zstd", "bitshuffle")
    assert sorted(path.relative_to(level).as_posix() for path in (level / "c").rglob("*") if path.is_file()) == [
        "c/0/0/0",
        "c/1/0/0",
    ]
