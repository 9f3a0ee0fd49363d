"""What is no dataset, is damaged or cannot be read: one clear line, after everything that lies before it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from ndtiff_follower import SIZE, check, follow, put

from benchmarks.ndtiff_writers import JavaStyleWriter, frame_of
from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # How long damage may be an image that has not arrived yet is a matter of slow disks, not of these tests.
    monkeypatch.setattr("dblink_live.sources.ndtiff.dataset.SETTLE_S", 0.1)
    monkeypatch.setattr("dblink_live.sources.ndtiff.follower.PATIENCE_S", 0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished dataset of ten frames."""
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    put(writer, range(10))
    writer.finish()
    return tmp_path / "acq_1"


def _read_until_error(text: str) -> tuple[list[SourceEvent], str]:
    source = follow(text)
    events: list[SourceEvent] = []
    try:
        source.open()
        with pytest.raises(SourceError) as caught:
            while not source.is_finished:
                events += source.read(64, 0.1)
        assert source.is_finished
    finally:
        source.close()
    return events, str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("nowhere", "found nothing at .*nowhere; check the path", id="no such folder"),
        pytest.param("acq_1/acq_NDTiffStack.tif", "found the file .*replay a single file with tiff:", id="a file"),
        pytest.param("?watch=false", "found no NDTiff.index; datasets in it: acq_1", id="no index"),
        pytest.param("acq_1?channel=red", "expected images of channel 'red', found no channel axis", id="no channels"),
        pytest.param("acq_1?position=3", "expected images of position '3', found no position axis", id="no positions"),
        pytest.param("acq_1?start=10", "expected frames from number 10 on .*, found 10; the dataset is fini", id="end"),
    ],
)
def test_what_cannot_be_followed_is_said_in_one_line(text: str, message: str, folder: Path) -> None:
    source = follow(f"ndtiff:{folder.parent}/{text}")
    with pytest.raises(SourceError, match=message) as caught:
        source.open()
    assert "\n" not in str(caught.value)
    source.close()


def test_a_channel_that_is_not_there_gets_the_names_of_those_that_are(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    for channel in ("red", "blue"):
        writer.put({"time": 0, "channel": channel}, frame_of(0, SIZE), {})
    writer.finish()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?channel=green")
    with pytest.raises(SourceError, match="expected images of channel 'green', found channel red, blue in "):
        source.open()
    source.close()


def test_a_channel_that_a_growing_dataset_does_not_list_is_refused_at_once(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {"ChNames": ["DAPI", "Cy5"]})
    writer.put({"time": 0, "channel": 0}, frame_of(0, SIZE), {})
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?channel=FITC")
    with pytest.raises(SourceError, match=r"expected the channel 'FITC' in .*, found DAPI, Cy5"):
        source.open()
    source.close()
    writer.finish()


def test_a_file_cut_in_mid_image_ends_after_the_images_before_it(folder: Path) -> None:
    data = folder / "acq_NDTiffStack.tif"
    data.write_bytes(data.read_bytes()[: data.stat().st_size * 7 // 10])
    events, message = _read_until_error(f"ndtiff:{folder}")
    n_whole = len(events)
    assert 5 <= n_whole <= 7
    check(events, range(n_whole))
    assert str(data) in message
    assert "not copied whole" in message


def test_an_image_whose_bytes_never_came_is_not_taken_for_a_dark_one(folder: Path) -> None:
    """A computer that lost power: the file has its length, and zeros where the last images should be."""
    data = folder / "acq_NDTiffStack.tif"
    content = data.read_bytes()
    cut = len(content) * 6 // 10
    data.write_bytes(content[:cut] + bytes(len(content) - cut))
    events, message = _read_until_error(f"ndtiff:{folder}")
    assert 4 <= len(events) <= 6
    check(events, range(len(events)))
    assert "not copied whole" in message


def test_a_damaged_index_ends_after_the_images_before_the_damage(folder: Path) -> None:
    path = folder / "NDTiff.index"
    content = bytearray(path.read_bytes())
    at = content.index(b'{"time":6}')
    content[at : at + 4] = b"\xff\xfe\xfd\xfc"
    path.write_bytes(content)
    events, message = _read_until_error(f"ndtiff:{folder}")
    check(events, range(6))
    assert f"NDTiff.index cannot be read at byte {at - 4}" in message


def test_a_data_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "acq_NDTiffStack.tif").unlink()
    source = follow(f"ndtiff:{folder}")
    with pytest.raises(SourceError, match=r"expected the data file .*acq_NDTiffStack\.tif"):
        source.open()
    source.close()


def test_a_data_file_of_another_kind_is_named(folder: Path) -> None:
    path = folder / "acq_NDTiffStack.tif"
    path.write_bytes(b"\x89PNG" + path.read_bytes()[4:])
    source = follow(f"ndtiff:{folder}")
    with pytest.raises(SourceError, match="expected the header of an NDTiff file"):
        source.open()
    source.close()


@pytest.mark.parametrize(
    ("pixels", "pixel_type", "message"),
    [
        pytest.param(np.zeros((4, 4, 3), np.uint8), 2, "found colour .RGB.; set the camera to a grey", id="RGB"),
        pytest.param(np.zeros((4, 4), np.uint32), 1, "8 to 16 bits .*, found 32 bits", id="32 bits"),
        pytest.param(np.zeros((4, 4), np.uint16), 9, "8 to 16 bits .*, found pixel type 9", id="unknown"),
    ],
)
def test_images_that_are_no_camera_counts_are_refused(
    pixels: np.ndarray, pixel_type: int, message: str, tmp_path: Path
) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    writer.put({"time": 0}, pixels, {}, pixel_type=pixel_type)
    writer.finish()
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}")
    with pytest.raises(SourceError, match=message):
        source.open()
    source.close()


def test_colour_in_the_middle_ends_after_the_grey_images(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    put(writer, range(3))
    writer.put({"time": 3}, np.zeros((4, 4, 3), np.uint8), {}, pixel_type=2)
    writer.finish()
    events, message = _read_until_error(f"ndtiff:{tmp_path / 'acq_1'}")
    check(events, range(3))
    assert "RGB" in message


def test_a_dataset_that_never_began_is_an_error(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {})
    source = follow(f"ndtiff:{tmp_path / 'acq_1'}?idle_s=0.2")
    with pytest.raises(SourceError, match=r"expected images in .*, none came within 0.2 s; start the acquisition"):
        source.open()
    source.close()
    writer.abandon()


@pytest.mark.skipif(sys.platform == "win32", reason="file modes of POSIX")
@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["NDTiff.index", "acq_NDTiffStack.tif"])
def test_no_permission_is_said(name: str, folder: Path) -> None:
    (folder / name).chmod(0)
    source = follow(f"ndtiff:{folder}")
    with pytest.raises(SourceError, match=f"{name}, found: .*[Pp]ermission"):
        source.open()
    source.close()


def test_a_source_is_opened_once_and_read_after_that(folder: Path) -> None:
    source = follow(f"ndtiff:{folder}")
    with pytest.raises(SourceError, match="is not open"):
        source.read(1, 0.0)
    source.open()
    with pytest.raises(SourceError, match="opened already"):
        source.open()
    source.close()
