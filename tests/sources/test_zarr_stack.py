"""Replay of Zarr stacks: both formats, OME-Zarr of either version, and what is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.types import CameraRecipe, Frame, Segment

N_FRAMES = 20
STACK = np.random.default_rng(5).integers(1, 60_000, (N_FRAMES, 24, 32), dtype=np.uint16)

Write = Callable[[Path], None]


def _no_camera(recipe: CameraRecipe) -> FrameSource:
    raise AssertionError(f"a replay must not start a camera, but asked for {recipe}")


def _read(path: Path, options: str = "", n_kept: int = 0) -> tuple[Segment, dict[int, np.ndarray]]:
    source = open_source(f"zarr:{path}{options}", launch=_no_camera, n_kept=n_kept)
    segment = source.open()
    events: list[SourceEvent] = []
    try:
        while not source.is_finished:
            events += source.read(7, 1.0)
    finally:
        source.close()
    return segment, {event.number: event.data for event in events if isinstance(event, Frame)}


def _bare(path: Path, data: np.ndarray = STACK, **options: Any) -> None:
    settings = {"chunks": (6, *data.shape[1:]), "zarr_format": 3, **options}
    array = zarr.create_array(path, shape=data.shape, dtype=data.dtype, **settings)
    array[...] = data


def _image(
    path: Path, *, version: str = "0.5", axes: str = "tyx", scale: tuple[float, ...] = (0.02, 0.108, 0.108)
) -> None:
    """An OME-Zarr image: its finest level holds the stack, with further axes of length 1 where ``axes`` names them."""
    zarr_format: Any = 2 if version == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format)
    shape = tuple(dict(zip("tyx", STACK.shape, strict=True)).get(axis, 1) for axis in axes)
    group.create_array("0", shape=shape, dtype=STACK.dtype, chunks=shape)[...] = STACK.reshape(shape)
    kinds = {"t": ("time", "second"), "y": ("space", "micrometer"), "x": ("space", "micrometer"), "z": ("space", None)}
    described = []
    for axis in axes:
        kind, unit = kinds.get(axis, ("channel", None))
        described.append({"name": axis, "type": kind, **({"unit": unit} if unit else {})})
    sizes = dict(zip("tyx", scale, strict=True))
    level = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [sizes.get(axis, 1.0) for axis in axes]}],
    }
    multiscales = [{"axes": described, "datasets": [level], "version": version}]
    group.attrs.update(
        {"multiscales": multiscales} if version == "0.4" else {"ome": {"version": version, "multiscales": multiscales}}
    )


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(_bare, id="format 3"),
        pytest.param(lambda path: _bare(path, zarr_format=2), id="format 2"),
        pytest.param(lambda path: _bare(path, chunks=(1, 8, 8)), id="tiles"),
        pytest.param(lambda path: _bare(path, chunks=(2, 24, 32), shards=(10, 24, 32)), id="shards"),
        pytest.param(lambda path: _bare(path, STACK.astype(">u2"), zarr_format=2), id="big-endian"),
        pytest.param(lambda path: _bare(path, dimension_names=("t", "y", "x")), id="named axes"),
        pytest.param(_image, id="OME-Zarr 0.5"),
        pytest.param(lambda path: _image(path, version="0.4", axes="tczyx"), id="OME-Zarr 0.4, five axes"),
    ],
)
def test_every_dialect_gives_the_same_frames(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "stack.zarr")
    segment, frames = _read(tmp_path / "stack.zarr")
    assert (segment.shape, segment.dtype) == ((24, 32), "uint16")
    assert list(frames) == list(range(N_FRAMES))
    np.testing.assert_array_equal(np.stack(list(frames.values())), STACK)
    assert all(frame.dtype.isnative for frame in frames.values())


def test_an_image_states_its_pixel_size_and_interval_and_an_array_does_not(tmp_path: Path) -> None:
    _image(tmp_path / "image.zarr")
    segment, _ = _read(tmp_path / "image.zarr")
    assert (segment.pixel_size_nm, segment.frame_interval_ms) == (108.0, 20.0)
    _bare(tmp_path / "bare.zarr")
    segment, _ = _read(tmp_path / "bare.zarr")
    assert (segment.pixel_size_nm, segment.frame_interval_ms) == (None, None)


def test_a_part_is_replayed_and_taken_up_again(tmp_path: Path) -> None:
    _bare(tmp_path / "stack.zarr", (STACK >> 8).astype(np.uint8))
    segment, frames = _read(tmp_path / "stack.zarr", "?frames=12", n_kept=5)
    assert segment.dtype == "uint8"
    assert list(frames) == list(range(5, 12))
    np.testing.assert_array_equal(frames[11], STACK[11] >> 8)


def test_a_chunk_that_is_not_stored_is_black_and_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _bare(tmp_path / "stack.zarr")
    (tmp_path / "stack.zarr" / "c" / "2" / "0" / "0").unlink()
    _, frames = _read(tmp_path / "stack.zarr")
    assert len(frames) == 20
    assert not any(frames[index].any() for index in range(12, 18))
    np.testing.assert_array_equal(frames[18], STACK[18])
    assert "1 of 4 chunks along time are not stored" in caplog.text


def test_behind_the_last_stored_chunk_nothing_was_acquired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _bare(tmp_path / "stack.zarr")
    for chunk in "23":
        (tmp_path / "stack.zarr" / "c" / chunk / "0" / "0").unlink()
    _, frames = _read(tmp_path / "stack.zarr")
    assert len(frames) == 12
    assert "12 of 20 frames are there" in caplog.text


def test_a_damaged_chunk_is_named_by_its_frame(tmp_path: Path) -> None:
    _bare(tmp_path / "stack.zarr")
    chunk = tmp_path / "stack.zarr" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:100])
    source = open_source(f"zarr:{tmp_path / 'stack.zarr'}", launch=_no_camera)
    source.open()
    assert len(source.read(100, 1.0)) == 6
    with pytest.raises(SourceError, match=r"frame 7 of 20 .* cannot be read .*copy it again"):
        source.read(100, 1.0)
    source.close()


def _group_of_two(path: Path) -> None:
    group = zarr.create_group(path)
    group.create_array("raw", data=STACK)
    group.create_array("counts", data=STACK)


def _image_without_its_level(path: Path) -> None:
    _image(path)
    shutil.rmtree(path / "0")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda path: None, "found nothing at .*stack.zarr; check the path", id="nothing"),
        pytest.param(lambda path: path.mkdir(), "found neither", id="an empty folder"),
        pytest.param(lambda path: path.write_text("x"), "found neither", id="a file"),
        pytest.param(_group_of_two, "a group of counts, raw; name the one: zarr:.*NAME", id="a group"),
        pytest.param(_image_without_its_level, "finest level missing", id="no level"),
        pytest.param(lambda path: _bare(path, STACK[0], chunks=(24, 32)), r"found 2 axes: \(24, 32\)", id="one frame"),
        pytest.param(lambda path: _bare(path, STACK[:0]), "found none: its shape is", id="no frames"),
        pytest.param(lambda path: _bare(path, STACK.astype(np.float32)), "found float32", id="floats"),
        pytest.param(lambda path: _bare(path, STACK.astype(np.int16)), "found int16", id="signed"),
        pytest.param(
            lambda path: _bare(path, dimension_names=("c", "y", "x")), "found the axes c=20, y=24, x=32", id="channels"
        ),
        pytest.param(
            lambda path: _bare(path, dimension_names=("y", "x", "t")), "found the axes y=20, x=24, t=32", id="order"
        ),
        pytest.param(
            lambda path: _image(path, scale=(0.02, 0.1, 0.2)), "square camera pixels .* 200 x 100 nm", id="not square"
        ),
    ],
)
def test_what_is_no_stack_is_said_in_one_line(write: Write, message: str, tmp_path: Path) -> None:
    write(tmp_path / "stack.zarr")
    source = open_source(f"zarr:{tmp_path / 'stack.zarr'}", launch=_no_camera)
    with pytest.raises(SourceError, match=message):
        source.open()
    source.close()
