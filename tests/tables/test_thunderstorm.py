"""Comma-separated tables: ThunderSTORM's, plainer ones, and those of DBlink's code."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import LocalizationTable, read_localizations, write_localizations
from dblink_live.types import LOCALIZATION_DTYPE, Shape, empty_localizations
from dblink_live.windows import bin_localizations

HEADER = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]","uncertainty_xy [nm]"'


def write(tmp_path: Path, *lines: str, name: str = "table.csv", end: str = "\n") -> Path:
    path = tmp_path / name
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix lines", "windows lines"])
@pytest.mark.parametrize("uncertainty", ["uncertainty [nm]", "uncertainty_xy [nm]"])
def test_columns_become_ours(tmp_path: Path, end: str, uncertainty: str) -> None:
    path = write(tmp_path, HEADER.replace("uncertainty_xy [nm]", uncertainty), "1,1,250,75,130,900,12,8", end=end)
    table = read_localizations(path, pixel_size_nm=100.0)
    (row,) = table.localizations
    # 250 nm from the corner is the centre of pixel 2; frames count from 0.
    assert row.tolist() == (0, 2.0, 0.25, 900.0, 1.3, 1.3, 12.0, 0.08, 0.08)
    assert (table.pixel_size_nm, table.shape, table.n_frames) == (100.0, None, None)
    assert table.field() == Shape(1, 3)


@pytest.mark.parametrize("pixel_size_nm", [None, 65.0, 108.0, 160.0])
def test_nanometres_do_not_depend_on_the_pixel_size(tmp_path: Path, pixel_size_nm: float | None) -> None:
    path = write(tmp_path, "frame,x [nm],y [nm]", "1,31836.993,0.001")
    table = read_localizations(path, pixel_size_nm)
    assert table.pixel_size_nm == (pixel_size_nm or 100.0)
    # A picometre in 32 um: float32 pixels could not hold it.
    nm = [(float(table.localizations[axis][0]) + 0.5) * table.pixel_size_nm for axis in ("x", "y")]
    assert nm == pytest.approx([31836.993, 0.001], rel=0, abs=1e-9)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("frame,x [nm],y [nm]", id="with units"),
        pytest.param("frame,x,y", id="bare"),
        pytest.param("Frame,X (nm),Y (nm)", id="capitals and round brackets"),
        pytest.param('"frame","x_nm","y_nm"', id="underscores"),
        pytest.param('"frame,""x [nm]"",""y [nm]"""', id="quoted as a whole"),
        pytest.param("\ufeffframe,x,y", id="byte order mark"),
        pytest.param(" frame , x , y ", id="spaces"),
    ],
)
def test_plain_tables_are_read(tmp_path: Path, header: str) -> None:
    table = read_localizations(write(tmp_path, header, "1,50,150", "3,2450,50"))
    assert table.localizations["frame"].tolist() == [0, 2]
    assert table.localizations["x"].tolist() == [0.0, 24.0]
    assert table.localizations["y"].tolist() == [1.0, 0.0]
    assert table.known_columns() == ("frame", "x", "y")


@pytest.mark.parametrize(
    ("unit", "nm_per_unit"),
    [("um", 1e3), ("µm", 1e3), ("px", 80.0)],
    ids=["micrometres", "the sign for micro", "pixels"],
)
def test_other_units_become_ours(tmp_path: Path, unit: str, nm_per_unit: float) -> None:
    header = ",".join(["frame", *(f"{name} [{unit}]" for name in ("x", "y", "sigma", "uncertainty"))])
    row = ",".join(["1", *(repr(nm / nm_per_unit) for nm in (200.0, 40.0, 120.0, 8.0))])
    table = read_localizations(write(tmp_path, header, row), 80.0)
    # All of them from the corner: ThunderSTORM only divides by the size of a pixel.
    row = table.localizations[["x", "y", "sx", "sy", "lpx", "lpy"]][0]
    assert row.tolist() == pytest.approx((2.0, 0.0, 1.5, 1.5, 0.1, 0.1))


@pytest.mark.parametrize("header", ["frame,x [px],y [px]", "frame,x_px,y_px", "frame,x [nm],y [nm],sigma [px]"])
def test_pixels_without_their_size_are_refused(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, header, ",".join("1" * (header.count(",") + 1)))
    with pytest.raises(CalibrationError, match=r"size of the camera pixels .*'(x|sigma).* --pixel-size-nm"):
        read_localizations(path)
    assert len(read_localizations(path, 100.0)) == 1


def test_of_several_units_nanometres_are_taken(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "frame,x [px],y [px],y [nm],x [nm]", "1,7,7,150,50"))
    assert table.localizations[["x", "y"]].tolist() == [(0.0, 1.0)]


def test_a_table_without_names_is_read_by_place_as_dblink_reads_it(tmp_path: Path) -> None:
    # Further columns count for nothing, quotes neither.
    table = read_localizations(write(tmp_path, '"1","50.5","150.25","7"', "3,250.5,50.5,oops"), 100.0)
    assert table["frame"].tolist() == [0, 2]
    assert table["x"].tolist() + table["y"].tolist() == pytest.approx([0.005, 2.005, 1.0025, 0.005])
    assert "no column names: taken as frame, x and y in nm by place" in table.notes[0]
    assert table.known_columns() == ("frame", "x", "y")


def test_dblinks_code_bins_what_is_written_as_we_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = empty_localizations(500)
    rows["frame"] = np.sort(rng.integers(0, 40, 500))
    rows["x"], rows["y"] = rng.uniform(-0.5, 31.5, (2, 500))
    write_localizations(tmp_path / "t.csv", rows, Shape(32, 32), 160.0)
    # As its README and code say: the first line unread, then frame from 1, x and y in nm by place; truncated to pixels.
    with (tmp_path / "t.csv").open() as file:
        next(file)
        first_three = np.array([[float(field) for field in line.split(",")[:3]] for line in file])
    theirs = np.zeros((4, 128, 128))
    for frame, x_nm, y_nm in first_three:
        theirs[int((frame - 1) / 10), int(y_nm * 4 / 160), int(x_nm * 4 / 160)] += 1
    np.testing.assert_array_equal(theirs, bin_localizations(rows, (32, 32), 160.0, scale=4, window=10))


def test_a_frame_0_means_that_frames_count_from_0(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "frame,x_nm,y_nm", "0,1,1", "4.0,1,1"))
    assert table.localizations["frame"].tolist() == [0, 4]


def test_rows_come_sorted_by_frame_and_those_of_one_frame_in_their_order(tmp_path: Path) -> None:
    # Enough rows that a sort which is not stable would mix them.
    lines = [f"{3 - index % 2},1,1,{index}" for index in range(200)]
    rows = read_localizations(write(tmp_path, "frame,x_nm,y_nm,photons", *lines)).localizations
    assert rows["frame"].tolist() == [1] * 100 + [2] * 100
    assert rows["photons"].tolist() == [*range(1, 200, 2), *range(0, 200, 2)]


def test_elliptic_widths_fill_both_axes(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "frame,x_nm,y_nm,sigma1 [nm],sigma2 [nm]", "1,1,1,130,260"), 100.0)
    assert table.localizations[["sx", "sy"]].tolist() == [(1.3, 2.6)]


@pytest.mark.parametrize("lines", [[], [""], ["", ""]], ids=["nothing", "a blank line", "blank lines"])
def test_a_table_without_rows_is_empty(tmp_path: Path, lines: list[str]) -> None:
    table = read_localizations(write(tmp_path, HEADER, *lines))
    assert len(table.localizations) == 0
    assert table.field() == Shape(1, 1)


def test_what_is_not_needed_may_be_unknown(tmp_path: Path) -> None:
    # ThunderSTORM states NaN or Infinity where a fit gives no uncertainty.
    table = read_localizations(write(tmp_path, HEADER, "1,1,250,75,130,900,12,NaN", "2,1,250,75,130,900,12,Infinity"))
    assert np.isnan(table.localizations["lpx"][0])
    assert np.isinf(table.localizations["lpx"][1])


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        pytest.param([], "expected a column 'frame' .* found nothing", id="empty file"),
        pytest.param(["frame,y [nm]", "1,2"], r"expected a column 'x \[nm\]'", id="no x"),
        pytest.param(["frame,x [inch],y [inch]", "1,2,3"], r"in nm, um or px .* found 'x \[inch\]'", id="inches"),
        pytest.param(["frame,x [nm],y [um]", "1,2,3"], r"one unit, found 'x \[nm\]' and 'y \[um\]'", id="mixed units"),
        pytest.param(["frame,x [nm],y", "1,2,3"], r"one unit, found 'x \[nm\]' and 'y'", id="half a unit"),
        pytest.param(["frame,x [nm],x [nm],y [nm]", "1,2,3,4"], r"expected one column 'x \[nm\]'", id="x twice"),
        pytest.param(["frame,x,y,lpx,lpy", "1,2,3,4,5"], "lpx, lpy beside them, which Picasso", id="Picasso's names"),
        pytest.param(["x [nm],y [nm]", "1,2"], "expected a column 'frame'", id="no frame"),
        pytest.param(["1,2", "1,2"], "first three columns .* names none, found 2", id="no names, two columns"),
        pytest.param(["1,7,2,3", "2,7,4,5", "3,8,1,1"], "numbers in more than the first", id="no names, numbered"),
        pytest.param(["1,2,3", "1.5,2,3"], "found 1.5 in line 2", id="no names, half a frame"),
        pytest.param(["1,2,3", "1,2"], "found 2 in line 2", id="no names, cut short"),
        pytest.param(["1,2,3", "1,2,oops"], "line 2, column 3 .* found 'oops'", id="no names, a word"),
        pytest.param(["frame;x", "1;2"], "expected a column 'y", id="semicolons"),
        pytest.param(["frame,x,y", "1,2,3", "", "1,2"], "found 2 in line 4", id="cut short"),
        pytest.param(["frame,x,y", "1,2,3", "1,2,3,4"], "found 4 in line 3", id="a value too many"),
        pytest.param(["frame,x,y", "1,2,3", "", "1,oops,3"], "line 4, column 2 .* found 'oops'", id="a word"),
        pytest.param(["frame,x,y", "1,,3"], "line 2, column 2 .* found ''", id="a hole"),
        pytest.param(["frame,x_nm,y_nm", "1,2,3", "", "1,nan,3"], "finite x .* found nan in line 4", id="NaN"),
        pytest.param(["frame,x_nm,y_nm", "1,2,3", "1,2,-inf"], "finite y .* found -inf in line 3", id="infinity"),
        pytest.param(["frame,x_nm,y_nm", "nan,2,3"], "finite frame .* line 2", id="frame NaN"),
        pytest.param(["frame,x_nm,y_nm", "1,2,3", "1.5,2,3"], "found 1.5 in line 3", id="half a frame"),
        pytest.param(["frame,x_nm,y_nm", "-1,2,3"], "found -1 in line 2", id="frame below 0"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(write(tmp_path, *lines))


def test_a_file_cut_within_its_last_row_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "1,1,250,75,130,900,12,8", "2,1,250,75,130,900,12,8")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SourceError, match="found 5 in line 3"):
        read_localizations(path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = empty_localizations(45_000)  # more than one block of rows
    rows["frame"] = np.sort(rng.integers(0, 10_000, len(rows)))
    for name in LOCALIZATION_DTYPE.names[1:]:
        rows[name] = rng.uniform(-0.5 if name in "xy" else 0.0, 500.0, len(rows))
    rows["sy"], rows["lpy"] = rows["sx"], rows["lpx"]
    write_localizations(tmp_path / "t.csv", rows, Shape(500, 500), 108.0)
    back = read_localizations(tmp_path / "t.csv", 108.0).localizations
    np.testing.assert_array_equal(back["frame"], rows["frame"])
    for name in LOCALIZATION_DTYPE.names[1:]:
        # Five decimals are written; lengths were divided by 108 nm.
        atol = 0.51e-5 if name in ("photons", "bg") else 0.51e-5 / 108.0
        np.testing.assert_allclose(back[name], rows[name], rtol=0, atol=atol)
    # Once written, nothing is lost any more.
    write_localizations(tmp_path / "u.csv", back, Shape(500, 500), 108.0)
    assert (tmp_path / "u.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_precisions_that_differ_are_averaged_and_widths_are_kept(tmp_path: Path) -> None:
    rows = empty_localizations(1)
    rows["sx"], rows["sy"], rows["lpx"], rows["lpy"] = 1.0, 7.0, 1.0, 7.0
    write_localizations(tmp_path / "t.csv", rows, Shape(9, 9), 100.0)
    row = read_localizations(tmp_path / "t.csv", 100.0).localizations[["sx", "sy", "lpx", "lpy"]][0]
    # Root mean square: sqrt((1 + 49) / 2) = 5.
    assert row.tolist() == (1.0, 7.0, 5.0, 5.0)
    assert pd.read_csv(tmp_path / "t.csv")["sigma [nm]"].tolist() == [500.0]


def test_three_dimensions_have_a_width_per_axis(tmp_path: Path) -> None:
    rows = empty_localizations(2)
    rows["sx"], rows["sy"] = 1.5, 1.5
    write_localizations(tmp_path / "t.csv", LocalizationTable(rows, 100.0, extra={"z_nm": np.array([-30.0, 40.0])}))
    read = pd.read_csv(tmp_path / "t.csv")
    assert "sigma [nm]" not in read
    assert read["sigma1 [nm]"].tolist() == read["sigma2 [nm]"].tolist() == [150.0, 150.0]
    assert read_localizations(tmp_path / "t.csv", 100.0).localizations["sy"].tolist() == [1.5, 1.5]


def test_an_empty_table_is_written_with_its_header(tmp_path: Path) -> None:
    write_localizations(tmp_path / "t.csv", empty_localizations(), Shape(5, 5), 100.0)
    assert (tmp_path / "t.csv").read_text() == HEADER.removeprefix('"id",') + "\n"
    assert len(read_localizations(tmp_path / "t.csv").localizations) == 0


@pytest.mark.parametrize(
    ("name", "n_rows", "first", "last"),
    [
        ("tab_ecoli_storm/01_storm.csv", 29_995, 0, 1850),
        ("gt_deepstorm_tubulins/ground_truth.csv", 81_178, 0, 360),
        ("gt_deepstorm_tubulins/training_random_20f_gt.csv", 4956, 0, 19),
        ("format_zoo_locan/Thunderstorm_dstorm_data.csv", 19, 2000, 2000),
    ],
)
def test_real_tables(shared_data: Path, tmp_path: Path, name: str, n_rows: int, first: int, last: int) -> None:
    table = read_localizations(shared_data / name, 160.0)
    rows = table.localizations
    assert len(rows) == n_rows
    assert (rows["frame"][0], rows["frame"][-1]) == (first, last)
    with (shared_data / name).open(newline="") as file:
        lines = list(csv.reader(file))
    # Positions as they stand in the file's last row, found from its header by hand.
    header = lines[0] if len(lines[0]) > 1 else next(csv.reader(lines[0]))
    frame, x_nm, y_nm = (float(lines[-1][header.index(column)]) for column in ("frame", "x [nm]", "y [nm]"))
    same_frame = rows[rows["frame"] == frame - 1][-1]
    assert (same_frame["x"] + 0.5) * 160.0 == pytest.approx(x_nm, rel=0, abs=1e-9)
    assert (same_frame["y"] + 0.5) * 160.0 == pytest.approx(y_nm, rel=0, abs=1e-9)
    write_localizations(tmp_path / "copy.csv", rows, table.field(), 160.0)
    copy = read_localizations(tmp_path / "copy.csv", 160.0).localizations
    for column in ("frame", "x", "y", "photons", "sx", "bg", "lpx"):
        np.testing.assert_allclose(copy[column], rows[column], rtol=0, atol=0.51e-5)
