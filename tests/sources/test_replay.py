"""Replay of TIFF stacks and Picasso movies: real recordings, every dialect, and every kind of damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources import open_source
from dblink_live.types import CameraRecipe, Frame, Shape

N_FRAMES = 20
STACK = np.random.default_rng(3).integers(0, 60_000, (N_FRAMES, 24, 32), dtype=np.uint16)


def _no_camera(recipe: CameraRecipe) -> FrameSource:
    raise AssertionError(f"a replay must not start a camera, but asked for {recipe}")


def _open(text: str) -> FrameSource:
    return open_source(text, launch=_no_camera)


def _read_all(source: FrameSource) -> np.ndarray:
    events: list[SourceEvent] = []
    while not source.is_finished:
        events += source.read(7, 1.0)
    source.close()
    assert [event.number for event in events if isinstance(event, Frame)] == list(range(len(events)))
    return np.stack([event.data for event in events if isinstance(event, Frame)])


def _write_pages(path: Path, stack: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, metadata=None, photometric="minisblack")


DIALECTS: dict[str, Callable[[Path], None]] = {
    "plain": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None),
    "page by page": lambda path: _write_pages(path, STACK),
    "tifffile": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "one page": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", truncate=True),
    "imagej": lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"}),
    "imagej one page": lambda path: tifffile.imwrite(path, STACK, imagej=True, truncate=True, metadata={"axes": "TYX"}),
    "ome": lambda path: tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TYX"}),
    "big-endian": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", byteorder=">"),
    "bigtiff": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", bigtiff=True),
    "deflate": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib"),
}


@pytest.mark.parametrize("dialect", [pytest.param(name, id=name) for name in DIALECTS])
def test_every_dialect_of_tiff_delivers_every_frame(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    DIALECTS[dialect](path)
    source = _open(f"tiff:{path}")
    segment = source.open()
    assert segment.shape == Shape(24, 32)
    assert segment.dtype == "uint16"
    assert source.n_frames_expected == N_FRAMES
    assert not source.is_live
    frames = _read_all(source)
    assert frames.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(frames, STACK)


@pytest.mark.parametrize("dialect", [pytest.param(name, id=name) for name in DIALECTS])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.97])
def test_a_truncated_tiff_delivers_what_is_whole_then_names_the_first_bad_page(
    dialect: str, kept: float, tmp_path: Path
) -> None:
    path = tmp_path / "stack.tif"
    DIALECTS[dialect](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    source = _open(f"tiff:{path}")
    events: list[SourceEvent] = []
    message = ""
    try:
        source.open()
        while not source.is_finished:
            events += source.read(7, 1.0)
    except SourceError as error:
        message = str(error)
    source.close()
    frames = [event.data for event in events if isinstance(event, Frame)]
    for frame, expected in zip(frames, STACK, strict=False):
        np.testing.assert_array_equal(frame, expected)
    if len(frames) == N_FRAMES:
        # The page table lies behind the pixels: where the pixels are known to follow each other, none is missing.
        assert kept == 0.97 and dialect in ("tifffile", "imagej", "big-endian", "bigtiff")
    else:
        assert f"page {len(frames) + 1} of" in message
        assert str(path) in message


def test_a_tiff_of_eight_bits_keeps_them_and_counts_saturation(tmp_path: Path) -> None:
    stack = np.zeros((3, 8, 8), np.uint8)
    stack[1, 2, 3] = 255
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    source = _open(f"tiff:{tmp_path / 'x.tif'}")
    assert source.open().dtype == "uint8"
    frames = source.read(9, 0.0)
    source.close()
    assert [frame.n_saturated for frame in frames if isinstance(frame, Frame)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("metadata", "arguments", "expected_nm"),
    [
        pytest.param({"PhysicalSizeX": 0.108, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.108}, {"ome": True}, 108.0),
        pytest.param({"PhysicalSizeX": 65.0, "PhysicalSizeXUnit": "nm"}, {"ome": True}, 65.0, id="nm"),
        pytest.param({"unit": "um"}, {"imagej": True, "resolution": (1 / 0.16, 1 / 0.16)}, 160.0, id="imagej"),
        pytest.param({}, {"imagej": True, "resolution": (300.0, 300.0)}, None, id="dots an inch say nothing"),
        pytest.param({}, {"ome": True}, None, id="silent"),
    ],
)
def test_a_stated_pixel_size_is_read_and_none_is_invented(
    metadata: dict[str, object], arguments: dict[str, object], expected_nm: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX", **metadata}, **arguments)  # type: ignore[arg-type]
    source = _open(f"tiff:{path}")
    found = source.open().pixel_size_nm
    source.close()
    # Resolution is stored as a fraction of 32-bit integers.
    assert found == (pytest.approx(expected_nm, rel=1e-6) if expected_nm else None)


def test_micromanagers_own_tag_is_read_and_its_zero_is_no_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tag = '{"PixelSizeUm": 0.0, "Exposure-ms": 30.0, "BitDepth": 12, "Binning": "2"}'
    tifffile.imwrite(path, STACK, photometric="minisblack", extratags=[(51123, 2, 0, tag, True)])
    source = _open(f"tiff:{path}")
    segment = source.open()
    source.close()
    assert segment.pixel_size_nm is None
    assert (segment.exposure_ms, segment.bit_depth, segment.binning) == (30.0, 12, 2)


def _two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK[0], contiguous=False, metadata=None)
        writer.write(STACK[1][:8, :8], contiguous=False, metadata=None)


REFUSED: list[tuple[str, Callable[[Path], object], str]] = [
    ("rgb", lambda p: tifffile.imwrite(p, np.zeros((4, 16, 16, 3), np.uint8), photometric="rgb"), "found colour"),
    ("one rgb", lambda p: tifffile.imwrite(p, np.zeros((16, 16, 3), np.uint8), photometric="rgb"), "found colour"),
    (
        "float",
        lambda p: tifffile.imwrite(p, np.full((4, 8, 8), np.nan, np.float32), photometric="minisblack"),
        "found float32",
    ),
    (
        "32 bits",
        lambda p: tifffile.imwrite(p, np.zeros((4, 8, 8), np.uint32), photometric="minisblack"),
        "found uint32",
    ),
    ("signed", lambda p: tifffile.imwrite(p, np.zeros((4, 8, 8), np.int16), photometric="minisblack"), "found int16"),
    (
        "channels",
        lambda p: tifffile.imwrite(p, np.zeros((4, 2, 8, 8), np.uint16), imagej=True, metadata={"axes": "TCYX"}),
        "found the axes T=4, C=2",
    ),
    ("two sizes", _two_sizes, "found 2 series"),
    ("text", lambda p: p.write_text("not a picture"), "expected a TIFF file"),
    ("empty", lambda p: p.write_bytes(b""), "expected a TIFF file"),
    ("folder", lambda p: p.mkdir(), "in the folder .*, found none"),
    ("missing", lambda p: None, "found nothing at"),
    (
        "oblong pixels",
        lambda p: tifffile.imwrite(
            p, STACK, ome=True, metadata={"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2}
        ),
        "expected square camera pixels",
    ),
]


@pytest.mark.parametrize(("write", "message"), [pytest.param(w, m, id=name) for name, w, m in REFUSED])
def test_what_is_no_stack_of_camera_frames_is_refused(
    write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    write(path)
    with pytest.raises(SourceError, match=message):
        _open(f"tiff:{path}").open()


def test_frames_limits_a_replay(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack")
    source = _open(f"tiff:{path}?frames=5")
    source.open()
    assert source.n_frames_expected == 5
    np.testing.assert_array_equal(_read_all(source), STACK[:5])


def test_a_paced_replay_hands_out_only_what_is_due(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack")
    # At one frame in 1000 s only the first is due.
    source = _open(f"tiff:{path}?fps=0.001")
    source.open()
    assert [frame.number for frame in source.read(9, 0.0) if isinstance(frame, Frame)] == [0]
    assert source.read(9, 0.01) == []
    assert not source.is_finished
    source.stop()
    assert source.is_finished
    source.close()


def test_a_paced_replay_states_when_each_frame_was_due(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack")
    source = _open(f"tiff:{path}?fps=1000")
    source.open()
    frames: list[SourceEvent] = []
    while not source.is_finished:
        frames += source.read(3, 1.0)
    source.close()
    times = [frame.t_host_ns for frame in frames if isinstance(frame, Frame)]
    assert len(times) == N_FRAMES
    assert np.diff(times).tolist() == [1_000_000] * (N_FRAMES - 1)


def test_the_real_micromanager_stack_and_its_big_endian_twin_agree(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "raw_dnapaint_micromanager"
    source = _open(f"tiff:{folder / '3C_30px_100f.tif'}")
    segment = source.open()
    assert segment.shape == Shape(30, 30)
    assert segment.pixel_size_nm is None
    from_tiff = _read_all(source)
    assert from_tiff.shape == (100, 30, 30)

    raw = tmp_path / "movie.ome.raw"
    raw.write_bytes((folder / "3C_30px_100frames.ome.raw").read_bytes())
    raw.with_suffix(".yaml").write_text(
        "Byte Order: '>'\nData Type: uint16\nFrames: 100\nHeight: 30\nWidth: 30\n---\nGenerated by: a second step\n"
    )
    source = _open(f"raw:{raw}")
    source.open()
    np.testing.assert_array_equal(_read_all(source), from_tiff)


def test_the_picasso_movie_is_replayed_with_its_facts(shared_data: Path) -> None:
    path = shared_data / "gt_picasso_sim" / "testdata.raw"
    source = _open(f"raw:{path}")
    segment = source.open()
    assert segment.shape == Shape(32, 32)
    assert segment.pixel_size_nm == 160.0
    assert segment.exposure_ms == 300.0
    expected = np.fromfile(path, "<u2").reshape(1000, 32, 32)
    np.testing.assert_array_equal(_read_all(source), expected)


GOOD_YAML = "Byte Order: <\nData Type: uint16\nFrames: 4\nHeight: 8\nWidth: 8\n"


@pytest.mark.parametrize(
    ("description", "n_bytes", "message"),
    [
        pytest.param(None, 512, r"expected the description .*x\.yaml", id="no yaml"),
        pytest.param(GOOD_YAML, 511, "expected 512 bytes .* found 511", id="too short"),
        pytest.param(GOOD_YAML, 640, "found 640, which is 5 frames", id="too long"),
        pytest.param(GOOD_YAML.replace("Frames: 4\n", ""), 512, "expected Frames as a whole number", id="no frames"),
        pytest.param(GOOD_YAML.replace("Height: 8", "Height: -8"), 512, "found -8", id="negative"),
        pytest.param(GOOD_YAML.replace("uint16", "float32"), 1024, "found 'float32'", id="float"),
        pytest.param(GOOD_YAML.replace("<", "middle"), 512, "expected Byte Order", id="byte order"),
        pytest.param("[1, 2]", 512, "expected keys and values", id="no mapping"),
        pytest.param("a: [", 512, "expected a description", id="no yaml in it"),
        pytest.param("", 512, "expected keys and values", id="empty"),
    ],
)
def test_a_picasso_movie_that_contradicts_its_description_is_refused(
    description: str | None, n_bytes: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(n_bytes))
    if description is not None:
        path.with_suffix(".yaml").write_text(description)
    with pytest.raises(SourceError, match=message):
        _open(f"raw:{path}").open()


def test_a_missing_movie_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found no file"):
        _open(f"raw:{tmp_path / 'x.raw'}").open()
