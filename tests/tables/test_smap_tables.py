"""SMAP's MATLAB files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations
from dblink_live.types import Shape

INFO = {"Width": 64.0, "Height": 48.0, "cam_pixelsize_um": [0.1, 0.1], "roi": [0.0, 0.0, 64.0, 48.0]}
LOC = {"frame": [5.0, 1.0], "xnm": [100.0, 350.0], "ynm": [200.0, 100.0]}


def save(path: Path, loc: dict[str, list[float]] = LOC, **info: object) -> Path:
    """A file of MATLAB 7, the one that SciPy can write."""
    savemat(path, {"saveloc": {"loc": loc, "file": {"info": INFO | info}}}, do_compression=True)
    return path


def test_pixels_and_frames_count_from_1(tmp_path: Path) -> None:
    loc = LOC | {"phot": [9.0, 8.0], "bg": [2.0, 3.0], "PSFxnm": [130.0, 120.0], "locprecnm": [10.0, 20.0]}
    table = read_localizations(save(tmp_path / "t.mat", loc))
    # Sorted by frame; the centre of the first pixel is 100 nm in SMAP and 0 with us.
    expected = [(0, 2.5, 0.0, 8.0, 1.2, 1.2, 3.0, 0.2, 0.2), (4, 0.0, 1.0, 9.0, 1.3, 1.3, 2.0, 0.1, 0.1)]
    for row, wanted in zip(table.localizations.tolist(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-12)
    assert (table.pixel_size_nm, table.shape) == (100.0, Shape(48, 64))


def test_the_region_of_the_sensor_is_taken_off(tmp_path: Path) -> None:
    table = read_localizations(save(tmp_path / "t.mat", roi=[2.0, 1.0, 64.0, 48.0]))
    assert table["x"] == pytest.approx([0.5, -2.0])
    assert table["y"] == pytest.approx([-1.0, 0.0])


def test_errors_of_each_axis_come_before_their_mean(tmp_path: Path) -> None:
    loc = LOC | {"xnmerr": [10.0, 10.0], "ynmerr": [30.0, 30.0], "locprecnm": [22.0, 22.0], "PSFynm": [150.0, 150.0]}
    row = read_localizations(save(tmp_path / "t.mat", loc)).localizations[0]
    assert (row["lpx"], row["lpy"], row["sy"]) == pytest.approx((0.1, 0.3, 1.5))


def test_pixels_that_are_not_square_keep_their_nanometres(tmp_path: Path) -> None:
    path = save(tmp_path / "t.mat", cam_pixelsize_um=[0.1, 0.2])
    table = read_localizations(path)
    assert (table.pixel_size_nm, table.is_pixel_size_known, table.shape) == (100.0, False, None)
    # SMAP's 350 x 100 nm are 300 nm from the outer corner in x, and the middle of the row above the first in y.
    assert (table["x"][0] + 0.5) * 100 == pytest.approx(300.0)
    assert (table["y"][0] + 0.5) * 100 == pytest.approx((100 / 200 - 0.5) * 200)
    finer = read_localizations(path, 50.0)
    assert finer.is_pixel_size_known
    np.testing.assert_allclose((finer["y"] + 0.5) * 50, (table["y"] + 0.5) * 100)


def test_a_pixel_size_that_is_not_stated_must_be_given(tmp_path: Path) -> None:
    path = save(tmp_path / "t.mat", cam_pixelsize_um=[])
    with pytest.raises(CalibrationError, match="pixel size in cam_pixelsize_um"):
        read_localizations(path)
    assert read_localizations(path, 50.0)["x"] == pytest.approx([6.0, 1.0])
    with pytest.raises(CalibrationError, match="100 nm, found 50 nm"):
        read_localizations(save(path), 50.0)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("version", ["7", "7.3"])
def test_any_number_of_rows(tmp_path: Path, version: str, n: int) -> None:
    path = tmp_path / "t.mat"
    if version == "7":
        save(path, {name: [1.0] * n for name in LOC})
    else:
        write_localizations(path, np.zeros(n, TABLE_DTYPE), Shape(4, 5), 100.0)
    assert len(read_localizations(path)) == n


def test_what_matlab_looks_at_is_there(tmp_path: Path) -> None:
    rows = np.zeros(2, TABLE_DTYPE)
    rows["frame"], rows["x"] = [0, 3], 1.5
    write_localizations(tmp_path / "t.mat", rows, Shape(4, 5), 100.0)
    header = (tmp_path / "t.mat").read_bytes()[:512]
    # MathWorks, "MAT-File Format": 116 bytes of text, 8 that may be zero, version 0x0200, byte order.
    assert header.startswith(b"MATLAB 7.3 MAT-file")
    assert header[124:128] == b"\x00\x02IM"
    with h5py.File(tmp_path / "t.mat") as file:
        assert file.userblock_size == 512
        groups: list[str] = []
        file.visititems(lambda _, item: groups.append(item.attrs["MATLAB_class"].decode()))
        assert set(groups) == {"struct", "double", "single", "char"}
        assert file["saveloc/loc/xnm"][()].tolist() == [[250.0, 250.0]]
        assert file["saveloc/loc/frame"][()].tolist() == [[1.0, 4.0]]
        assert bytes(file["fileformat/name"][()].astype(np.uint8)) == b"sml"


@pytest.mark.parametrize(
    ("loc", "named"),
    [
        pytest.param({"frame": [1.0], "xnm": [1.0]}, "column ynm", id="no y"),
        pytest.param({"xpix": [1.0]}, "column frame, xnm, ynm", id="none of them"),
        pytest.param(LOC | {"bg": [1.0]}, "frame 2, .* bg 1", id="of several lengths"),
        pytest.param(LOC | {"xnm": [np.nan, 1.0]}, "finite x .* found nan in row 1", id="not finite"),
        pytest.param(LOC | {"frame": [1.5, 1.0]}, "whole frame .* found 1.5 in row 1", id="half a frame"),
        pytest.param(LOC | {"frame": "text"}, "one number per row in frame", id="no numbers"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, loc: dict[str, list[float]], named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(save(tmp_path / "t.mat", loc))


def test_several_movies_in_one_file_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "t.mat", {"saveloc": {"loc": LOC, "file": np.array([{"info": INFO}, {"info": INFO}])}})
    with pytest.raises(SourceError, match=r"one movie .* found 2 movies"):
        read_localizations(tmp_path / "t.mat")
    write_localizations(tmp_path / "u.mat", np.zeros(1, TABLE_DTYPE), Shape(4, 5), 100.0)
    with h5py.File(tmp_path / "u.mat", "r+") as file:
        movie = file["saveloc/file"]
        movie.move("info", "first")
        movie["info"] = np.array([movie["first"].ref, movie["first"].ref], h5py.ref_dtype)
    with pytest.raises(SourceError, match=r"one movie .* found 2 movies"):
        read_localizations(tmp_path / "u.mat")


def test_another_matlab_file_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "t.mat", {"picture": np.zeros((2, 2))})
    with pytest.raises(SourceError, match=r"table saveloc\.loc .* supported are"):
        read_localizations(tmp_path / "t.mat")


def test_a_real_table(shared_data: Path) -> None:
    path = shared_data / "format_zoo_locan" / "smap_dstorm_data.mat"
    table = read_localizations(path)
    assert (len(table), table.pixel_size_nm, table.shape, table.n_frames) == (4884, 104.0, Shape(256, 256), 1001)
    with h5py.File(path) as file:
        # SMAP's own column of pixels, from 1.
        np.testing.assert_allclose(table["x"], file["saveloc/loc/xpix"][0] - 1.0, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(table["frame"], file["saveloc/loc/frame"][0] - 1)
