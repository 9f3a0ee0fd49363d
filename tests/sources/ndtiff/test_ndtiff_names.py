"""Datasets of Micro-Manager's own Java writer, and names that it wrote in the code page of its machine.

``java_datasets`` was written by NDTiffStorage 2.18.4 on Java 17: image ``i``, of channel ``c`` and position ``p`` by
number, has the pixel ``7 k + 131 i + 1009 c + 5003 p`` at place ``k``, and its first pixel is ``i``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ndtiff_follower import SIZE, check, drain, follow, frames_in

from benchmarks.ndtiff_writers import JavaStyleWriter, frame_of
from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.types import Frame, Segment

DATASETS = Path(__file__).with_name("java_datasets")


@pytest.fixture(autouse=True)
def _settle_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dblink_live.sources.ndtiff.dataset.SETTLE_S", 0.1)


def read(text: str) -> tuple[Segment, list[SourceEvent]]:
    source = follow(text)
    try:
        return source.open(), drain(source)
    finally:
        source.close()


def check_java(frames: Sequence[Frame], images: Sequence[int], channel: int = 0, position: int = 0) -> None:
    assert [frame.number for frame in frames] == list(range(len(images)))
    for frame, image in zip(frames, images, strict=True):
        expected = (7 * np.arange(32 * 32) + 131 * image + 1009 * channel + 5003 * position).astype(np.uint16)
        expected[0] = image
        np.testing.assert_array_equal(frame.data, expected.reshape(32, 32))


@pytest.mark.parametrize(
    ("dataset", "channel", "position", "images"),
    [
        pytest.param("studio_1", None, None, range(12), id="integer axes"),
        pytest.param("engine_1", ("DAPI", 0), ("A", 0), range(0, 24, 4), id="first channel and position"),
        pytest.param("engine_1", ("Cy5", 1), ("B", 1), range(3, 24, 4), id="last channel and position"),
        pytest.param("Zelle_grün_1", None, None, range(6), id="a file name of code page 1252"),
        pytest.param("cp1252_channel_1", ("Grün", 0), None, range(0, 12, 2), id="a channel of code page 1252"),
        pytest.param("cp1252_channel_1", ("Rot", 1), None, range(1, 12, 2), id="the channel beside it"),
    ],
)
def test_what_java_wrote_is_read_exactly(
    dataset: str, channel: tuple[str, int] | None, position: tuple[str, int] | None, images: range
) -> None:
    wanted = [f"{axis}={value[0]}" for axis, value in (("channel", channel), ("position", position)) if value]
    segment, events = read(f"ndtiff:{DATASETS / dataset}?{'&'.join(wanted)}")
    check_java(frames_in(events), images, *(value[1] if value else 0 for value in (channel, position)))
    assert segment.channel == (channel[0] if channel else None)
    assert segment.position == (position[0] if position else None)
    assert segment.pixel_size_nm == 108.0


@pytest.mark.parametrize(
    ("code_page", "name", "channels"),
    [
        pytest.param("cp1252", "Zelle grün", ("Grün", "Rot"), id="western"),
        pytest.param("cp1252", "β-actin", ("βδ", "θλ"), id="western, without these letters"),
        pytest.param("cp1251", "Клетка", ("зелёный", "красный"), id="Cyrillic"),
        pytest.param("cp932", "細胞表", ("表", "赤"), id="Japanese, with a letter whose second byte is a backslash"),
        pytest.param("utf-8", "Zelle grün", ("Grün", "Rot"), id="Java 18 and later"),
    ],
)
def test_names_are_what_they_were_whatever_the_code_page(
    tmp_path: Path, code_page: str, name: str, channels: tuple[str, str]
) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {}, name=name, code_page=code_page)
    for number in range(10):
        for index, channel in enumerate(channels):
            writer.put({"channel": channel, "time": number}, frame_of(number + 1000 * index, SIZE), {})
    writer.finish()
    for index, channel in enumerate(channels):
        segment, events = read(f"ndtiff:{tmp_path / 'acq_1'}?channel={channel}")
        assert segment.channel == channel
        frames = frames_in(events)
        assert [frame.number for frame in frames] == list(range(10))
        for frame in frames:
            np.testing.assert_array_equal(frame.data, frame_of(frame.number + 1000 * index, SIZE))


def test_an_absent_channel_lists_the_names_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Grün, Rot"):
        read(f"ndtiff:{DATASETS / 'cp1252_channel_1'}?channel=Blau")


def test_a_data_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {}, name="Zelle grün", code_page="cp1252")
    writer.put({"time": 0}, frame_of(0, SIZE), {})
    writer.finish()
    (tmp_path / "acq_1" / "Zelle grün_NDTiffStack.tif").rename(tmp_path / "acq_1" / "other.tif")
    monkeypatch.setattr("dblink_live.sources.ndtiff.follower.PATIENCE_S", 0.1)
    with pytest.raises(SourceError, match=r"other\.tif"):
        read(f"ndtiff:{tmp_path / 'acq_1'}")


def test_a_plain_index_needs_no_metadata_to_be_read(tmp_path: Path) -> None:
    writer = JavaStyleWriter(tmp_path / "acq_1", {}, name="plain", code_page="cp1252")
    for number in range(3):
        writer.put({"time": number}, frame_of(number, SIZE), {"Axes": {"time": 99}})
    writer.finish()
    check(read(f"ndtiff:{tmp_path / 'acq_1'}")[1], range(3))
