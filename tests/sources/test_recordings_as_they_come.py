"""Recordings as people have them: sets with a file missing, gaps, one file per image, other axes."""

from __future__ import annotations

import importlib.util
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from dblink_live.cli import main
from dblink_live.cli.main import build_parser
from dblink_live.errors import SourceError
from dblink_live.inspection import inspect_path
from dblink_live.sources import open_source
from dblink_live.types import CameraRecipe, Frame, Gap

STACK = np.random.default_rng(0).integers(90, 4000, (12, 16, 20)).astype(np.uint16)


def no_camera(recipe: CameraRecipe):
    raise AssertionError("no camera is opened")


def replayed(source: str) -> tuple[dict[int, np.ndarray], list[Gap]]:
    """Frames by their numbers, and the gaps."""
    opened = open_source(source, launch=no_camera)
    frames, gaps = {}, []
    try:
        opened.open()
        while not opened.is_finished:
            for event in opened.read(5, timeout_s=1.0):
                if isinstance(event, Frame):
                    frames[event.number] = event.data
                elif isinstance(event, Gap):
                    gaps.append(event)
    finally:
        opened.close()
    return frames, gaps


def check(frames: dict[int, np.ndarray], numbers: Sequence[int]) -> None:
    assert list(frames) == list(numbers)
    for number in numbers:
        np.testing.assert_array_equal(frames[number], STACK[number])


def write_set(folder: Path, parts: dict[str, Sequence[int]], planned: int = 12, names: Sequence[str] = ("a",)) -> None:
    """An OME-TIFF set: each file states the planes of all of them, and its own identity."""
    folder.mkdir(parents=True, exist_ok=True)
    uuids = {name: f"urn:uuid:00000000-0000-0000-0000-{index:012d}" for index, name in enumerate(parts)}
    planes = "".join(
        f'<TiffData FirstC="0" FirstZ="0" FirstT="{time}" IFD="{page}" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuids[name]}</UUID></TiffData>'
        for name, times in parts.items()
        for page, time in enumerate(times)
    )
    for name, times in parts.items():
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[name]}"><Image ID="Image:0" Name="cell"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
            f'Type="uint16" SizeX="20" SizeY="16" SizeC="1" SizeZ="1" SizeT="{planned}" PhysicalSizeX="0.108" '
            f'PhysicalSizeY="0.108"><Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / name) as writer:
            for page, time in enumerate(times):
                writer.write(
                    STACK[time], contiguous=False, metadata=None, description=xml.encode() if page == 0 else None
                )


HALVES = {"s.ome.tif": range(8), "s_1.ome.tif": range(8, 12)}


@pytest.mark.parametrize("opened", list(HALVES))
def test_a_whole_set_is_read_from_any_of_its_files(tmp_path: Path, opened: str) -> None:
    write_set(tmp_path, HALVES)
    frames, gaps = replayed(f"tiff:{tmp_path / opened}")
    check(frames, range(12))
    assert gaps == []


@pytest.mark.parametrize(
    ("lacking", "left", "named"),
    [
        pytest.param("s_1.ome.tif", "s.ome.tif", "4 of 12 frames lie in s_1.ome.tif", id="the further file"),
        pytest.param("s.ome.tif", "s_1.ome.tif", "8 of 12 frames lie in s.ome.tif", id="the first file"),
    ],
)
def test_frames_in_an_absent_file_are_named_and_can_be_counted_as_lost(
    tmp_path: Path, lacking: str, left: str, named: str
) -> None:
    write_set(tmp_path, HALVES)
    (tmp_path / lacking).unlink()
    with pytest.raises(SourceError, match=f"{named}, which is not there"):
        replayed(f"tiff:{tmp_path / left}")
    frames, gaps = replayed(f"tiff:{tmp_path / left}?partial=true")
    check(frames, HALVES[left])
    assert sum(gap.count or 0 for gap in gaps) == 12 - len(frames)
    if lacking == "s_1.ome.tif":
        check(replayed(f"tiff:{tmp_path / left}?frames=8")[0], range(8))


def test_files_that_were_renamed_or_lie_in_brackets_are_found(tmp_path: Path) -> None:
    write_set(tmp_path / "cell [1] (copy)", HALVES)
    folder = tmp_path / "cell [1] (copy)"
    (folder / "s_1.ome.tif").rename(folder / "second part?.tif")
    (folder / "s.ome.tif").rename(folder / "[first].tif")
    check(replayed(f"tiff:{folder / '[first].tif'}")[0], range(12))
    check(replayed(f"tiff:{folder / 'second part?.tif'}")[0], range(12))


def test_dropped_time_points_are_lost_by_the_camera(tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 9]
    write_set(tmp_path, {"s.ome.tif": times})
    frames, gaps = replayed(f"tiff:{tmp_path / 's.ome.tif'}")
    check(frames, times)
    assert [(gap.after, gap.count) for gap in gaps] == [(2, 2), (6, 2)]


def test_an_acquisition_that_was_stopped_early_gives_what_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, HALVES, planned=1000)
    check(replayed(f"tiff:{tmp_path / 's.ome.tif'}")[0], range(12))
    assert "12 of 1000 planned frames are there" in caplog.text


def test_a_time_point_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, {"s.ome.tif": [0, 1, 1, 2]})
    with pytest.raises(SourceError, match="expected one image per time point"):
        replayed(f"tiff:{tmp_path / 's.ome.tif'}")


def test_channels_of_a_tiff_are_asked_for_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    data = np.stack([STACK, STACK + 1], axis=1)
    tifffile.imwrite(path, data, metadata={"axes": "TCYX", "Channel": {"Name": ["red", "blue"]}})
    with pytest.raises(SourceError, match="found the channels red, blue; choose one"):
        replayed(f"tiff:{path}")
    check(replayed(f"tiff:{path}?channel=red")[0], range(12))
    frames, _ = replayed(f"tiff:{path}?channel=1")
    np.testing.assert_array_equal(frames[3], STACK[3] + 1)
    with pytest.raises(SourceError, match="expected the channel 'green'"):
        replayed(f"tiff:{path}?channel=green")


def test_pages_that_were_appended_one_by_one_are_frames(tmp_path: Path) -> None:
    for frame in STACK:
        tifffile.imwrite(tmp_path / "loop.tif", frame, append=True)
    check(replayed(f"tiff:{tmp_path / 'loop.tif'}")[0], range(12))


PARTS = (STACK[:5], STACK[5:7], STACK[7:])


@pytest.mark.parametrize(
    "settings",
    [{}, {"metadata": {"axes": "TYX"}}, {"compression": "zlib"}, {"metadata": None}, {"byteorder": ">"}],
    ids=["plain", "named axis", "compressed", "undescribed", "big-endian"],
)
def test_stacks_that_were_appended_are_one_recording(tmp_path: Path, settings: dict[str, object]) -> None:
    path = tmp_path / "blocks.tif"
    for part in PARTS:
        tifffile.imwrite(path, part, append=path.exists(), photometric="minisblack", **settings)
    check(replayed(f"tiff:{path}")[0], range(12))
    if settings.get("metadata", {}) is not None:
        assert "3 stacks that were appended (5, 2, 5 frames)" in " ".join(inspect_path(path).odd)


def test_appended_stacks_of_which_only_the_first_page_is_listed_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "truncated.tif"
    with tifffile.TiffWriter(path) as writer:
        for part in PARTS:
            writer.write(part, photometric="minisblack", truncate=True)
    check(replayed(f"tiff:{path}")[0], range(12))


def test_a_cut_behind_appended_stacks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    for part in PARTS:
        tifffile.imwrite(path, part, append=path.exists(), photometric="minisblack")
    whole = path.read_bytes()
    for share in (0.5, 0.8, 0.97):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SourceError, match="cannot be read"):
            replayed(f"tiff:{path}")


@pytest.mark.parametrize(
    ("second", "settings"),
    [
        pytest.param(STACK[:, :8], {}, id="another size"),
        pytest.param(STACK.astype(np.uint8), {}, id="another type"),
        pytest.param(STACK, {"metadata": {"channel": "red"}}, id="another channel"),
        pytest.param(STACK[:2], {"metadata": {"axes": "CYX"}}, id="colours"),
        pytest.param(np.stack([STACK, STACK]), {}, id="two axes"),
    ],
)
@pytest.mark.parametrize("truncate", [False, True])
def test_appended_stacks_that_are_not_alike_are_refused(
    tmp_path: Path, second: np.ndarray, settings: dict[str, object], truncate: bool
) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK, photometric="minisblack", truncate=truncate)
        writer.write(second, photometric="minisblack", truncate=truncate, **settings)
    with pytest.raises(SourceError, match=r"stacks of the same kind that follow each other, found 2"):
        replayed(f"tiff:{path}")


def write_imagej(path: Path, stored: np.ndarray, calibration: str) -> None:
    text = f"ImageJ=1.54f\nimages={len(stored)}\nframes={len(stored)}\n{calibration}"
    with tifffile.TiffWriter(path) as writer:
        for page, frame in enumerate(stored):
            writer.write(frame, contiguous=False, metadata=None, description=text if page == 0 else None)


def test_signed_counts_of_imagej_lose_what_it_added(tmp_path: Path) -> None:
    write_imagej(tmp_path / "s.tif", STACK + 32768, "cf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n")
    check(replayed(f"tiff:{tmp_path / 's.tif'}")[0], range(12))
    write_imagej(tmp_path / "n.tif", STACK + 32000, "cf=0\nc0=-32768.0\nc1=1.0\n")
    with pytest.raises(SourceError, match="expected counts of 0 or more on page 1"):
        replayed(f"tiff:{tmp_path / 'n.tif'}")


def image_files(folder: Path, name: str, numbers: Sequence[int], frames: Sequence[int] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for number, frame in zip(numbers, frames or numbers, strict=True):
        tifffile.imwrite(folder / name.format(number), STACK[frame])


def test_one_file_per_image_of_micromanager_2(tmp_path: Path) -> None:
    image_files(tmp_path / "p", "img_channel000_position000_time{:09d}_z000.tif", [0, 1, 2, 5, 11])
    frames, gaps = replayed(f"tiff:{tmp_path / 'p'}")
    check(frames, [0, 1, 2, 5, 11])
    assert [gap.count for gap in gaps] == [2, 5]
    image_files(tmp_path / "p", "img_channel001_position000_time{:09d}_z000.tif", [0, 1])
    with pytest.raises(SourceError, match=r"expected one channel .* found 2: 0, 1"):
        replayed(f"tiff:{tmp_path / 'p'}")
    check(replayed(f"tiff:{tmp_path / 'p'}?channel=1")[0], [0, 1])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        pytest.param("img_{:09d}_Default_000.tif", "", id="Micro-Manager 1.4"),
        pytest.param("frame{}.tif", "", id="numbers without zeros"),
        pytest.param("cell 2 t{:03d}.tif", "/cell 2 t*.tif", id="a pattern"),
        pytest.param("a{:02d}.tif", "/a??.tif", id="question marks"),
    ],
)
def test_one_file_per_image_in_the_order_of_numbers(tmp_path: Path, name: str, given: str) -> None:
    image_files(tmp_path / "p", name, range(12))
    check(replayed(f"tiff:{tmp_path / 'p'}{given}")[0], range(12))


def test_files_that_differ_in_two_numbers_are_refused(tmp_path: Path) -> None:
    image_files(tmp_path / "p", "c0_t{}.tif", [0, 1])
    image_files(tmp_path / "p", "c1_t{}.tif", [0, 1])
    with pytest.raises(SourceError, match="differ in one number"):
        replayed(f"tiff:{tmp_path / 'p'}")


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_older_versions_of_ome_zarr(tmp_path: Path, version: str) -> None:
    group = zarr.create_group(tmp_path / "i.zarr", zarr_format=2)
    group.create_array("0", data=STACK[:, None, None])
    image: dict[str, object] = {"version": version, "datasets": [{"path": "0"}]}
    if version == "0.3":
        image["axes"] = ["t", "c", "z", "y", "x"]
    group.attrs["multiscales"] = [image]
    check(replayed(f"zarr:{tmp_path / 'i.zarr'}")[0], range(12))


def test_a_unit_without_a_scale_is_no_pixel_size(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "i.zarr")
    group.create_array("0", data=STACK)
    axes = [{"name": "t", "type": "time"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    opened = open_source(f"zarr:{tmp_path / 'i.zarr'}", launch=no_camera)
    assert opened.open().pixel_size_nm is None
    opened.close()


def test_a_channel_of_a_zarr_is_asked_for(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "s.zarr", data=np.stack([STACK, STACK + 1], axis=1), dimension_names=list("tcyx"))
    with pytest.raises(SourceError, match="choose a channel"):
        replayed(f"zarr:{tmp_path / 's.zarr'}")
    frames, _ = replayed(f"zarr:{tmp_path / 's.zarr'}?channel=1")
    np.testing.assert_array_equal(frames[0], STACK[0] + 1)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Frames": "12.0"}, id="float frames"),
        pytest.param({"Frames": "'12'"}, id="frames as text"),
        pytest.param({"Data Type": "<u2"}, id="a type of NumPy"),
        pytest.param({"Byte Order": "little"}, id="the order as a word"),
        pytest.param({"Comment": "Brennweite 100 µm"}, id="Latin letters"),
        pytest.param({"Any": "!!python/object/apply:os.system ['false']"}, id="an object of Python"),
    ],
)
def test_descriptions_of_picasso_as_they_come(tmp_path: Path, changes: dict[str, str]) -> None:
    STACK.astype("<u2").tofile(tmp_path / "m.raw")
    facts = {"Byte Order": "<", "Data Type": "uint16", "Frames": "12", "Height": "16", "Width": "20"} | changes
    (tmp_path / "m.yaml").write_bytes("".join(f"{k}: {v}\n" for k, v in facts.items()).encode("latin-1"))
    check(replayed(f"raw:{tmp_path / 'm.raw'}")[0], range(12))


def test_a_dataset_without_its_index_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "d_NDTiffStack.tif").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(SourceError, match=r"expected the index .*NDTiff.index beside d_NDTiffStack.tif"):
        replayed(f"ndtiff:{tmp_path}")


def test_inspect_says_what_a_recording_is_and_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path, HALVES, planned=1000)
    found = inspect_path(tmp_path / "s.ome.tif")
    assert (found.kind, found.format, found.facts["frames"], found.facts["pixel size nm"]) == (
        "recording",
        "TIFF",
        12,
        108.0,
    )
    assert any("12 of 1000 planned frames" in sentence for sentence in found.odd)
    assert found.command is not None
    named = build_parser().parse_args(shlex.split(found.command)[1:])
    assert (named.verb, named.source) == ("run", f"tiff:{tmp_path / 's.ome.tif'}")
    (tmp_path / "s_1.ome.tif").unlink()
    assert main(["inspect", str(tmp_path / "s.ome.tif"), "--json"]) == 1
    assert "which is not there" in json.loads(capsys.readouterr().out)["problem"]
    assert main(["inspect", str(tmp_path / "absent.tif")]) == 2
    (tmp_path / "t.csv").write_text("Channel,frame,x [nm],y [nm]\n0,1,1000,2000\n1,2,1000,2000\n")
    assert main(["inspect", str(tmp_path / "t.csv")]) == 1
    shown = capsys.readouterr().out
    assert "localizations    2" in shown
    assert "Channel 0 (1 rows), 1 (1 rows)" in shown


@pytest.mark.parametrize("axes", ["TCYX", "CTYX"])
def test_a_channel_of_an_imagej_stack_is_chosen_by_number(tmp_path: Path, axes: str) -> None:
    data = np.stack([STACK, STACK + 1], axis=axes.index("C"))
    path = tmp_path / "two.tif"
    # ImageJ itself stores its axes in the order T, Z, C; other orders are described by tifffile.
    tifffile.imwrite(path, data, imagej=axes == "TCYX", photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(SourceError, match=r"found the axes .*C=2.*; choose one with \?channel=NUMBER"):
        replayed(f"tiff:{path}")
    check(replayed(f"tiff:{path}?channel=0")[0], range(12))
    np.testing.assert_array_equal(replayed(f"tiff:{path}?channel=1")[0][5], STACK[5] + 1)
    with pytest.raises(SourceError, match="expected a channel from 0 to 1"):
        replayed(f"tiff:{path}?channel=2")


def test_stacks_in_a_folder_of_images_are_named(tmp_path: Path) -> None:
    for number, part in enumerate((STACK[:6], STACK[6:])):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", part)
    with pytest.raises(SourceError, match=r"found the stack a_0.tif of 6 pages; give tiff:"):
        replayed(f"tiff:{tmp_path}")


def test_a_compression_without_its_decoder_is_named(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in STACK]
    pictures[0].save(tmp_path / "s.tif", save_all=True, append_images=pictures[1:], compression="tiff_adobe_deflate")
    check(replayed(f"tiff:{tmp_path / 's.tif'}")[0], range(12))
    if importlib.util.find_spec("imagecodecs") is None:
        pictures[0].save(tmp_path / "l.tif", save_all=True, append_images=pictures[1:], compression="tiff_lzw")
        with pytest.raises(SourceError, match="pip install imagecodecs"):
            replayed(f"tiff:{tmp_path / 'l.tif'}")


def test_counts_that_are_stated_to_be_inverted_are_noted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "w.tif", STACK, photometric="miniswhite")
    check(replayed(f"tiff:{tmp_path / 'w.tif'}")[0], range(12))
    assert any("inverted" in note for note in inspect_path(tmp_path / "w.tif").odd)


def test_frames_along_z_are_noted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "z.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    check(replayed(f"tiff:{tmp_path / 'z.tif'}")[0], range(12))
    assert any("taken along z" in note for note in inspect_path(tmp_path / "z.tif").odd)
