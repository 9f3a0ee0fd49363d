"""Text tables as programs, spreadsheets and countries write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.tables import read_localizations

NAMES = ["frame", "x [nm]", "y [nm]", "sigma [nm]", "uncertainty [nm]"]
ROWS = [["1", "1000.5", "2000.25", "120.0", "9.5"], ["2", "3200.75", "1500.5", "118.0", "10.5"]]


def joined(delimiter: str, *, decimal: str = ".", end: str = "\n", spare: str = "") -> str:
    rows = [[cell.replace(".", decimal) for cell in row] for row in ROWS]
    lines = [delimiter.join(NAMES), *(delimiter.join(row) + spare for row in rows)]
    return end.join(lines) + end


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(joined(","), id="commas"),
        pytest.param(joined(";"), id="semicolons"),
        pytest.param(joined(";", decimal=","), id="semicolons and decimal commas"),
        pytest.param(joined("\t", decimal=","), id="tabs and decimal commas"),
        pytest.param(joined("|"), id="bars"),
        pytest.param(joined(",", end="\r"), id="carriage returns"),
        pytest.param(joined(",", end="\r\n"), id="Windows ends"),
        pytest.param("sep=;\n" + joined(";", decimal=","), id="sep="),
        pytest.param('"sep=\t"\n' + joined("\t"), id="quoted sep="),
        pytest.param("# by a macro\n% and another\n" + joined(","), id="comments"),
        pytest.param("# " + joined(","), id="names in a comment"),
        pytest.param(joined(",", spare=","), id="a comma at the end of each row"),
        pytest.param(joined(",") + ",,,,\n,,,,\n", id="rows of empty cells"),
        pytest.param("\n\n" + joined(","), id="blank lines first"),
        pytest.param(joined(",").replace("120.0", '"120.0"'), id="a quoted number"),
        pytest.param("\n".join('"' + line + '"' for line in joined(",").splitlines()), id="each row quoted"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_layout_gives_the_same_rows(tmp_path: Path, content: str, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode(encoding))
    table = read_localizations(path, 100.0)
    assert table["frame"].tolist() == [0, 1]
    np.testing.assert_allclose(table["x"], [9.505, 31.5075])
    np.testing.assert_allclose(table["lpx"], [0.095, 0.105])


def test_names_in_windows_letters_are_understood(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("frame,x [µm],y [µm]\n1,1.5,2.5\n".encode("cp1252"))
    assert read_localizations(tmp_path / "t.csv", 100.0)["x"].tolist() == [14.5]


@pytest.mark.parametrize("cell", ["", " ", "NaN", "nan", "NA", "N/A", "null", "None", "-", "1.#QNAN"])
def test_a_cell_that_is_not_needed_may_be_unknown(tmp_path: Path, cell: str) -> None:
    (tmp_path / "t.csv").write_text(f"frame,x [nm],y [nm],sigma [nm]\n1,1000.5,2000,130\n2,3000,2000,{cell}\n")
    table = read_localizations(tmp_path / "t.csv", 100.0)
    assert table["sx"][0] == 1.3
    assert np.isnan(table["sx"][1])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param("frame,x [nm],y [nm]\n1,1000,5,2000,25\n", "found 5 in line 2; with decimal commas", id="commas"),
        pytest.param("frame;x [nm];y [nm]\n1;1,234;2,345\n", "1,234, which may be 1.234 or 1234", id="thousands"),
        pytest.param("frame;x [nm];y [nm]\n1;1.234,5;2,3\n", "found '1.234,5'", id="points and commas"),
        pytest.param("frame;x [nm];y [nm]\n1;1,5;2,3\n2;1.234;2,3\n", "found '1.234'", id="a point among commas"),
        pytest.param("frame,x [nm],y [nm]\n1,,3\n", "line 2, column 2 .* found ''", id="an empty position"),
        pytest.param("1,1000,5,2000,25\n1,3200,75,1500,5\n", "whole numbers in more than the first", id="halves"),
        pytest.param("1000,2000,1\n3200,1500,1\n", "whole numbers in more than the first", id="x, y, frame"),
        pytest.param("1,10.5,20.5,3\n2,11.5,9.5,4\n", "another column that may be the frame", id="two counters"),
        pytest.param("frame,x,y\n1,0.5,0.25\n2,12.5,3.5\n", "give --unit nm, um or px", id="no unit"),
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(SourceError, match=named):
        read_localizations(tmp_path / "t.csv")


@pytest.mark.parametrize(("unit", "x"), [("nm", 2000.0), ("um", 2e6), ("px", 2e5)])
def test_the_unit_of_bare_names_is_told(tmp_path: Path, unit: str, x: float) -> None:
    (tmp_path / "t.csv").write_text("frame,x,y\n1,2000,1000\n")
    table = read_localizations(tmp_path / "t.csv", 100.0, unit=unit)
    assert (table["x"][0] + 0.5) * 100.0 == pytest.approx(x)


NIKON = "Channel Name\tX\tY\tXc\tYc\tFrame\tLength\tZ\tZc\tPhotons\tLateral Localization Accuracy\tXw\tYw\tXwc\tYwc"


def test_a_molecule_list_of_nikon_is_read_with_its_corrected_positions(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text(f"{NIKON}\n647\t1\t2\t3\t4\t6\t1\t250\t260\t2380.5\t15\t5\t6\t1050\t2050\n")
    table = read_localizations(path, 100.0)
    assert [table[name][0] for name in ("frame", "x", "y", "photons", "z_nm")] == [5, 10.0, 20.0, 2380.5, 260.0]
    assert "Xwc and Ywc, corrected for drift and warp" in table.notes[0]
    two = path.read_text() + "488\t1\t2\t3\t4\t6\t1\t0\t0\t99\t15\t5\t6\t50\t50\n"
    path.write_text(two)
    with pytest.raises(SourceError, match=r"Channel Name 488 \(1 rows\), 647 \(1 rows\)"):
        read_localizations(path)
    assert read_localizations(path, channel="488")["photons"].tolist() == [99.0]


@pytest.mark.parametrize("column", ["acquisition", "well", "tile", "sample"])
def test_rows_of_several_acquisitions_are_not_merged(tmp_path: Path, column: str) -> None:
    (tmp_path / "t.csv").write_text(f"frame,x [nm],y [nm],{column}\n1,3000,4000,1\n1,3100,4100,2\n")
    with pytest.raises(SourceError, match=f"found {column} 1 "):
        read_localizations(tmp_path / "t.csv")


def test_precisions_below_0_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm],uncertainty [nm]\n1,3000,4000,-1\n2,3100,4100,8\n")
    table = read_localizations(tmp_path / "t.csv", 100.0)
    np.testing.assert_allclose(table["lpx"], [np.nan, 0.08])
    assert any("below 0 are taken as unknown: 1 of lpx" in note for note in table.notes)


def test_packed_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"frame,x [nm],y [nm]\n1,3000,4000\n"))
    with pytest.raises(SourceError, match="packed by gzip; unpack it"):
        read_localizations(tmp_path / "t.csv")
