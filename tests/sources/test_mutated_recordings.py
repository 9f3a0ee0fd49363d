"""Recordings whose descriptions were damaged or changed: no frame is lost without a word, refusals are one line.

Pixels may change with what describes them; what is counted is frames: delivered, named as lost, or refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import strategies as st
from mmstack import write_mmstack
from mutations import mutated, mutations, try_mutations

from benchmarks.ndtiff_writers import JavaStyleWriter
from dblink_live.errors import DblinkError
from dblink_live.inspection import quiet_readers
from dblink_live.sources import open_source
from dblink_live.types import CameraRecipe, Frame, Gap, Segment

N_FRAMES = 12
STACK = np.random.default_rng(0).integers(90, 4000, (N_FRAMES, 16, 20)).astype(np.uint16)


def no_camera(recipe: CameraRecipe):
    raise AssertionError("no camera is opened")


def write_tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "s.tif", STACK, photometric="minisblack")
    return "tiff:s.tif"


def write_imagej(folder: Path) -> str:
    tifffile.imwrite(
        folder / "s.tif", STACK, imagej=True, resolution=(9.26, 9.26), metadata={"unit": "um", "axes": "TYX"}
    )
    return "tiff:s.tif"


def write_ome(folder: Path) -> str:
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.108, "PhysicalSizeY": 0.108}
    tifffile.imwrite(folder / "s.ome.tif", STACK, ome=True, photometric="minisblack", metadata=metadata)
    return "tiff:s.ome.tif"


def write_micromanager(folder: Path) -> str:
    summary = {"Frames": N_FRAMES, "Channels": 1, "Slices": 1, "Positions": 1, "ChNames": ["Default"]}
    write_mmstack(folder / "cell_MMStack_Pos0.tif", STACK, range(N_FRAMES), summary)
    return "tiff:cell_MMStack_Pos0.tif"


def write_blocks(folder: Path) -> str:
    for part in (STACK[:5], STACK[5:]):
        tifffile.imwrite(folder / "s.tif", part, append=(folder / "s.tif").exists(), photometric="minisblack")
    return "tiff:s.tif"


def write_ndtiff(folder: Path) -> str:
    writer = JavaStyleWriter(folder / "acq_1", {"PixelSize_um": 0.108})
    for number, frame in enumerate(STACK):
        writer.put({"time": number}, frame, {"Exposure": 10.0})
    writer.finish()
    return "ndtiff:acq_1?idle_s=0.01"


def write_ome_zarr(folder: Path) -> str:
    group = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=3)
    array = group.create_array("0", shape=STACK.shape, chunks=(1, 16, 20), dtype="uint16", compressors=None)
    array[:] = STACK
    axes = [{"name": "t", "type": "time"}, *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx")]
    scale = {"type": "scale", "scale": [1.0, 0.108, 0.108]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    return "zarr:s.zarr"


WRITERS: dict[str, Callable[[Path], str]] = {
    "TIFF": write_tiff,
    "ImageJ": write_imagej,
    "OME-TIFF": write_ome,
    "MMStack": write_micromanager,
    "appended stacks": write_blocks,
    "NDTiff": write_ndtiff,
    "OME-Zarr": write_ome_zarr,
}


WORDS = ("frames are there", "is not there", "belong to no page", "breaks off", "stopped growing")
"""Of notes that say that frames may be missing."""


def descriptions(content: bytes) -> list[range]:
    """Parts of a file that hold no pixels."""
    taken = sorted((at, at + frame.nbytes) for frame in STACK if (at := content.find(frame.tobytes())) >= 0)
    places, start = [], 0
    for begin, end in taken:
        places.append(range(start, begin))
        start = end
    places.append(range(start, len(content)))
    return [place for place in places if len(place)]


def taken_and_named(source: str) -> tuple[int, int]:
    """Frames that a recording delivers, and those that it names as not delivered."""
    with quiet_readers():
        opened = open_source(source, launch=no_camera)
        n_frames = n_named = 0
        try:
            opened.open()
            while not opened.is_finished:
                for event in opened.read(50, timeout_s=1.0):
                    n_frames += isinstance(event, Frame)
                    n_named += (event.count or N_FRAMES) if isinstance(event, Gap) else 0
                    assert isinstance(event, (Frame, Gap, Segment))
        finally:
            opened.close()
    # A note of frames that were planned, or are elsewhere, says so in its first words.
    said = [*getattr(opened, "notes", ()), getattr(opened, "ending", None) or ""]
    noted = any(word in text for text in said for word in WORDS)
    return n_frames, n_named + (N_FRAMES if noted else 0)


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_mutated_description_loses_no_frame_without_a_word(name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = WRITERS[name](Path(scratch))
        base = {path.relative_to(scratch): path.read_bytes() for path in Path(scratch).rglob("*") if path.is_file()}
    described = {path: places for path, content in base.items() if (places := descriptions(content))}
    scheme, _, target = source.partition(":")

    def check(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(described)))
        change = data.draw(mutations(described[path]))
        with tempfile.TemporaryDirectory() as scratch:
            for each, content in base.items():
                (Path(scratch) / each).parent.mkdir(parents=True, exist_ok=True)
                (Path(scratch) / each).write_bytes(mutated(content, change) if each == path else content)
            try:
                n_frames, n_named = taken_and_named(f"{scheme}:{scratch}/{target}")
            except DblinkError as error:
                assert len(str(error).splitlines()) == 1
                return
        assert n_frames + n_named >= N_FRAMES, (path, change)
        assert n_frames <= N_FRAMES, (path, change)

    try_mutations(check)


@pytest.mark.parametrize("name", list(WRITERS))
def test_unchanged_all_are_read(name: str, tmp_path: Path) -> None:
    scheme, _, target = WRITERS[name](tmp_path).partition(":")
    assert taken_and_named(f"{scheme}:{tmp_path}/{target}")[0] == N_FRAMES
