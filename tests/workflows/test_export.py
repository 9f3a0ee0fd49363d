"""Results of a run as files that other programs open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dblink_live.cli import main
from dblink_live.errors import ConfigError, StoreError
from dblink_live.store import LiveStep, RunWriter, open_run
from dblink_live.tables import read_localizations
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Localizations,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)
from dblink_live.workflows.export import export
from dblink_live.workflows.inputs.run_excerpt import choose_excerpt
from dblink_live.workflows.videos import export_files
from dblink_live.workflows.videos.stored_video import StoredVideo

CAMERA = Shape(20, 24)
PIXEL_NM = 160.0
GRID = Grid.covering(CAMERA, PIXEL_NM, 40.0)
N_WINDOWS, FRAMES, INTERVAL_MS = 30, 10, 20.0
WINDOW_S = 0.2
NO_PICTURE = 11
"""The window that lacks one."""


def rows_of(window: int) -> Localizations:
    """Five localizations, the first in the middle of camera pixel (y, x) = (2, window % 24)."""
    rows = empty_localizations(5)
    rng = np.random.default_rng(window)
    rows["frame"] = FRAMES * window + np.arange(5)
    rows["y"], rows["x"] = rng.uniform(0, 19, 5), rng.uniform(0, 23, 5)
    rows["y"][0], rows["x"][0] = 2.0, window % 24
    rows["photons"], rows["lpx"], rows["lpy"] = 500.0, 0.1, 0.1
    return rows


def picture_of(window: int) -> np.ndarray:
    """A diagonal line that moves to the right by a pixel per window."""
    return np.roll(np.eye(*GRID.shape, dtype=np.float32), window, axis=1)


def counts_of(window: int) -> np.ndarray:
    rows, counts = rows_of(window), np.zeros(GRID.shape, np.uint16)
    np.add.at(counts, GRID.index_of(rows["y"], rows["x"], PIXEL_NM), 1)
    return counts


def write_run(
    folder: Path,
    interval_ms: float | None = INTERVAL_MS,
    pixel_size_nm: float | None = PIXEL_NM,
    live_regions: tuple[tuple[int, int, int, int], ...] = (),
) -> Path:
    info = RunInfo("7", "2026-01-01T00:00:00", {}, "filaments", "ab" * 32)
    with RunWriter.create(folder, info, window_frames=FRAMES) as writer:
        segment = Segment(0, CAMERA, "uint16", frame_interval_ms=interval_ms, pixel_size_nm=pixel_size_nm)
        writer.begin_segment(segment, GRID, pixel_size_nm)
        for window in range(N_WINDOWS):
            span = (FRAMES * window, FRAMES * (window + 1))
            writer.write_map(LocalizationMap(0, window, *span, counts_of(window), GRID), rows_of(window))
            if window != NO_PICTURE:
                writer.write_reconstruction(Reconstruction(0, window, picture_of(window), "bounded", lookahead=8))
                if live_regions:
                    writer.record_live_step(LiveStep(0, window, "whole", live_regions[window % len(live_regions)]))
    return folder


def test_live_pictures_are_exported_where_they_were_live_and_molecules_everywhere(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "part.run", live_regions=((4, 2, 8, 8), (6, 2, 8, 10)))
    excerpt = choose_excerpt(open_run(folder))
    assert excerpt.product == "live"
    assert excerpt.slices == (slice(8, 48), slice(16, 56))  # of 4 grid pixels per camera pixel
    assert len(excerpt.localizations()) == 5 * N_WINDOWS
    assert choose_excerpt(open_run(folder), "sum").slices == (slice(0, 80), slice(0, 96))
    asked = choose_excerpt(open_run(folder), region=(0, 0, 4, 4))
    assert asked.slices == (slice(0, 16), slice(0, 16))


def test_live_pictures_of_which_one_is_whole_are_exported_whole(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "whole.run")
    assert choose_excerpt(open_run(folder)).slices == (slice(0, 80), slice(0, 96))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("export") / "cell1.run")


def test_imagej_finds_scale_and_time_in_the_tiff(run: Path, tmp_path: Path) -> None:
    (written,) = export(run, tiff=tmp_path / "cell1.tif")
    assert (written.kind, written.n_items) == ("tiff", N_WINDOWS)
    with tifffile.TiffFile(written.path) as tiff:
        facts = tiff.imagej_metadata
        assert facts is not None and tiff.is_imagej
        assert (facts["unit"], facts["frames"], facts["hyperstack"]) == ("um", N_WINDOWS, True)
        assert facts["finterval"] == pytest.approx(WINDOW_S)
        assert "drawn by a neural network" in facts["Info"] and "8 later windows" in facts["Info"]
        # Pixels per unit: 25 of 40 nm in a micrometre.
        for tag in ("XResolution", "YResolution"):
            pixels, units = tiff.pages[0].tags[tag].value
            assert pixels / units == pytest.approx(25.0)
        assert tiff.series[0].axes == "TYX"
        video = tiff.asarray()
    assert (video.dtype, video.shape) == (np.float32, (N_WINDOWS, *GRID.shape))
    assert np.isnan(video[NO_PICTURE]).all()
    for window in (0, 10, 29):
        np.testing.assert_allclose(video[window], picture_of(window), atol=1 / 255)


def test_windows_read_together_are_those_read_one_by_one(run: Path) -> None:
    with open_run(run) as opened:
        rows = opened.windows("live")
        region = (slice(3, 60), slice(10, 31))
        for chosen in (rows, rows[::4], [rows[i] for i in (0, 1, 2, 9, 4, 6, 8, 28)], rows[:1]):
            expected = np.stack([opened.read_picture(row, region) for row in chosen])
            np.testing.assert_array_equal(opened.read_pictures(chosen, region), expected)
        video = StoredVideo(opened, opened.segments[0], "live", range(N_WINDOWS), region)
        for window in (29, 0, NO_PICTURE, 15):
            stored = np.zeros((57, 21)) if window == NO_PICTURE else picture_of(window)[region]
            np.testing.assert_allclose(video[window : window + 1], stored[None], atol=1 / 255)


def test_the_plain_sum_is_that_of_25_windows(run: Path, tmp_path: Path) -> None:
    export(run, tiff=tmp_path / "sum.tif", product="sum")
    video = tifffile.imread(tmp_path / "sum.tif")
    for window in (0, 10, 26, 29):
        expected = sum(counts_of(one).astype(int) for one in range(max(0, window - 24), window + 1))
        np.testing.assert_array_equal(video[window], expected)


def test_a_range_of_time_and_a_region_are_cut_out(run: Path, tmp_path: Path) -> None:
    region = (4.0, 1.0, 10.5, 8.0)
    # Windows begin every 0.2 s: 15 at 3.0 s, 20 at 4.0 s.
    files = export(
        run,
        tiff=tmp_path / "part.tif",
        locs=tmp_path / "part.csv",
        region=region,
        from_s=2.9,
        to_s=4.0,
    )
    video = tifffile.imread(tmp_path / "part.tif")
    assert video.shape == (6, 32, 42)
    np.testing.assert_allclose(video[0], picture_of(15)[4:36, 16:58], atol=1 / 255)
    rows = np.concatenate([rows_of(window) for window in range(15, 21)])
    x, y, width, height = region
    inside = (rows["x"] + 0.5 >= x) & (rows["x"] + 0.5 < x + width)
    inside &= (rows["y"] + 0.5 >= y) & (rows["y"] + 0.5 < y + height)
    table = read_localizations(tmp_path / "part.csv", PIXEL_NM)
    assert {file.kind: file.n_items for file in files} == {"tiff": 6, "locs": np.count_nonzero(inside)}
    # Positions stay those of the whole field.
    np.testing.assert_allclose(np.sort(table["x"]), np.sort(rows["x"][inside]), atol=1e-4)
    np.testing.assert_array_equal(np.unique(table["frame"]), np.unique(rows["frame"][inside]))


@pytest.mark.parametrize("name", ["locs.csv", "locs.hdf5", "locs.txt"])
def test_all_localizations_come_back(run: Path, tmp_path: Path, name: str) -> None:
    (written,) = export(run, locs=tmp_path / name)
    table = read_localizations(written.path, PIXEL_NM)
    expected = np.concatenate([rows_of(window) for window in range(N_WINDOWS)])
    assert written.n_items == len(table) == len(expected)
    np.testing.assert_allclose(table["x"], expected["x"], atol=1e-4)
    np.testing.assert_allclose(table["y"], expected["y"], atol=1e-4)
    np.testing.assert_array_equal(table["frame"], expected["frame"])


def test_the_movie_has_a_picture_per_window_and_words_below(run: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the report's extra is not installed")
    export(run, movie=tmp_path / "cell1.mp4")
    with av.open(str(tmp_path / "cell1.mp4")) as movie:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in movie.decode(video=0)]
    assert len(frames) == N_WINDOWS
    height, width, _ = frames[0].shape
    picture_height = round(width * GRID.shape.height / GRID.shape.width)
    first, last = frames[0], frames[-1]
    # Words on a dark ground, which change with the time stamp.
    footer = slice(picture_height, height)
    assert (first[footer].max(axis=2) > 180).sum() > 200
    assert np.abs(first[footer, width // 2 :] - last[footer, width // 2 :]).max() > 100
    # A scale bar of 500 nm is a seventh of the field of 3.84 um, and white.
    corner = first[picture_height - 40 : picture_height, : width // 3]
    white = (corner.min(axis=2) > 200).sum(axis=1).max()
    assert white / width == pytest.approx(0.5 / 3.84, abs=0.02)
    # What a window lacks is not shown: its picture is black but for the scale bar.
    assert (frames[NO_PICTURE][: picture_height - 60].max() < 60) and (first[: picture_height - 60].max() > 150)


def test_the_picture_is_the_newest_of_the_range(run: Path, tmp_path: Path) -> None:
    for name, to_s, scale_bar in (
        ("all.png", None, False),
        ("early.png", 11 * WINDOW_S, False),
        ("bar.png", None, True),
    ):
        export(run, picture=tmp_path / name, to_s=to_s, scale_bar=scale_bar)
    drawn = {path.stem: np.asarray(Image.open(path).convert("RGB")).astype(int) for path in tmp_path.glob("*.png")}
    factor = drawn["all"].shape[1] // GRID.shape.width
    assert drawn["all"].shape == (factor * GRID.shape.height, factor * GRID.shape.width, 3)
    for name, window in (("all", 29), ("early", 10)):  # the window before the one without a picture
        bright = drawn[name][factor // 2 :: factor, factor // 2 :: factor].max(axis=2) > 128
        np.testing.assert_array_equal(bright, picture_of(window) > 0.5)
    changed = np.argwhere((drawn["bar"] != drawn["all"]).any(axis=2))
    assert len(changed) and changed[:, 0].min() > 0.8 * drawn["all"].shape[0]
    description = Image.open(tmp_path / "early.png").text["Description"]  # type: ignore[attr-defined]
    assert "drawn by a neural network" in description and "2.00 s" in description


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param([], "expected something to export", id="nothing"),
        pytest.param(["--tiff", "a.png"], ".tif or .tiff", id="ending of another kind"),
        pytest.param(["--locs", "a.docx"], ".csv", id="unknown table"),
        pytest.param(["--movie", "a.avi"], ".mp4", id="unknown movie"),
        pytest.param(["--picture", "there.png"], "already exists", id="file that is there"),
        pytest.param(["--picture", "none/a.png"], "expected a folder", id="no such folder"),
        pytest.param(["--tiff", "a.tif", "--product", "full"], "refine", id="no full pass"),
        pytest.param(["--tiff", "a.tif", "--segment", "3"], "expected a segment among 0", id="no such segment"),
        pytest.param(["--tiff", "a.tif", "--from", "100"], "begin every 0.2 s", id="after the end"),
        pytest.param(["--tiff", "a.tif", "--from", "3", "--to", "2"], "begins before it ends", id="backwards"),
        pytest.param(["--tiff", "a.tif", "--from", "2.05", "--to", "2.15"], "beginning of a window", id="between"),
        pytest.param(["--tiff", "a.tif", "--region", "0,0,30,5"], "24 x 20 camera pixels", id="outside"),
        pytest.param(["--tiff", "a.tif", "--region", "0,0,0,5"], "inside the field", id="empty region"),
        pytest.param(["--tiff", "a.tif", "--region", "0,0,nan,5"], "inside the field", id="no number"),
        pytest.param(["--tiff", "a.tif", "--region", "0,0,5"], "four numbers", id="three numbers"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.png").write_bytes(b"mine")
    assert main(["export", str(run), *asked]) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert says in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert Path("there.png").read_bytes() == b"mine"


def test_the_verb_says_where_everything_went(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "a.tif"
    there.write_bytes(b"old")
    told = ["export", str(run), "--tiff", str(there), "--locs", str(tmp_path / "a.csv"), "--overwrite"]
    assert main([*told, "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files["tiff"] == {"path": str(there), "items": N_WINDOWS}
    assert files["locs"]["items"] == 5 * N_WINDOWS
    assert tifffile.imread(there).shape == (N_WINDOWS, *GRID.shape)
    assert main(told) == 0
    assert f"tiff: {there} (30 pictures)" in capsys.readouterr().out


def test_a_failure_on_the_way_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "damaged.run")
    for chunk in (run / "run.ome.zarr" / "live" / "0" / "c").rglob("*"):
        if chunk.is_file() and chunk.parts[-3] == "20":
            chunk.write_bytes(b"damaged")
    old = tmp_path / "old.tif"
    old.write_bytes(b"old")
    assert main(["export", str(run), "--tiff", str(old), "--overwrite"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.run", "old.tif"]


def test_a_stack_that_imagej_cannot_open_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "MAX_TIFF_BYTES", 4 * N_WINDOWS * GRID.shape.height * GRID.shape.width - 1)
    with pytest.raises(ConfigError, match="ImageJ's TIFF"):
        export(run, tiff=tmp_path / "large.tif")
    assert not list(tmp_path.iterdir())


def test_what_a_run_does_not_state_is_left_out_or_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "table.run", interval_ms=None, pixel_size_nm=None)
    export(run, tiff=tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.imagej_metadata is not None and "finterval" not in tiff.imagej_metadata
    for asked in ({"from_s": 1.0}, {"region": (0, 0, 5, 5)}):
        with pytest.raises(ConfigError, match="does not state"):
            export(run, tiff=tmp_path / "b.tif", **asked)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="camera pixel"):
        export(run, locs=tmp_path / "b.csv")
    with pytest.raises(StoreError):
        export(tmp_path / "none.run", tiff=tmp_path / "b.tif")


def test_an_open_run_is_taken_and_stays_open(run: Path, tmp_path: Path) -> None:
    with open_run(run) as opened:
        export(opened, tiff=tmp_path / "a.tif", to_s=0.0)
        assert opened.committed_count("live") == N_WINDOWS - 1
    assert tifffile.imread(tmp_path / "a.tif").shape == GRID.shape
