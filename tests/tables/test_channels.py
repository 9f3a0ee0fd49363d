"""Tables of several channels, files or positions; the third dimension; columns that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import read_localizations, unknown_rows, write_localizations
from dblink_live.tables.table import LocalizationTable

NAMES = ["Channel", "channel_index", "Color", "colour", "ch", "filenumber", "File Number", "fov", "camera", "dye"]


def two(path: Path, column: str, values: tuple[str, str] = ("0", "1")) -> Path:
    rows = [f"{values[i % 2]},{10 + i},{1000 + i},2000.5" for i in range(5)]
    path.write_text("\n".join([f"{column},frame,x [nm],y [nm]", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("column", NAMES)
def test_several_channels_are_refused_by_name_and_one_is_taken(tmp_path: Path, column: str) -> None:
    path = two(tmp_path / "t.csv", column)
    with pytest.raises(SourceError, match=rf"found {column} 0 \(3 rows\), 1 \(2 rows\); give --channel 0"):
        read_localizations(path)
    table = read_localizations(path, channel="1")
    assert table["frame"].tolist() == [10, 12]
    assert table.notes == ("3 of 5 rows are of other channels and are left out",)
    assert len(read_localizations(path, channel=f"{column}=0")) == 3
    with pytest.raises(SourceError, match="expected rows of channel 7"):
        read_localizations(path, channel="7")


def test_channels_may_have_names_of_their_own(tmp_path: Path) -> None:
    path = two(tmp_path / "t.csv", "Channel Name", ("Cy5", "AF488"))
    with pytest.raises(SourceError, match=r"AF488 \(2 rows\), Cy5 \(3 rows\)"):
        read_localizations(path)
    assert len(read_localizations(path, channel="Cy5")) == 3


def test_one_value_throughout_is_no_question(tmp_path: Path) -> None:
    assert len(read_localizations(two(tmp_path / "t.csv", "channel", ("2", "2")))) == 5


def test_of_two_columns_each_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "channel,filenumber,frame,x [nm],y [nm]\n0,1,1,5000,1\n1,1,1,5000,1\n0,2,1,5000,1\n1,2,2,5000,1\n"
    )
    with pytest.raises(SourceError, match="channel=0,filenumber=1"):
        read_localizations(tmp_path / "t.csv")
    with pytest.raises(SourceError, match="which of channel, filenumber is 1"):
        read_localizations(tmp_path / "t.csv", channel="1")
    with pytest.raises(SourceError, match="filenumber 1"):
        read_localizations(tmp_path / "t.csv", channel="channel=0")
    assert len(read_localizations(tmp_path / "t.csv", channel="channel=1,filenumber=2")) == 1


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".mat", ".smlm"])
def test_channels_and_z_are_kept_where_the_format_holds_them(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    rows = unknown_rows(4)
    rows["frame"], rows["x"], rows["y"] = [3, 0, 1, 2], [1, 2, 3, 4], 5.0
    extra = {
        "z_nm": np.array([30.0, -10.0, 0.0, 20.0]),
        "lpz_nm": np.full(4, 25.0),
        "channel": np.array([1.0, 2, 1, 2]),
    }
    lost = write_localizations(tmp_path / f"t{suffix}", LocalizationTable(rows, 100.0, extra=extra))
    assert lost == ()
    table = read_localizations(tmp_path / f"t{suffix}", 100.0, channel="all")
    assert table["frame"].tolist() == [0, 1, 2, 3]
    assert table["z_nm"].tolist() == [-10.0, 0.0, 20.0, 30.0]
    assert table["lpz_nm"].tolist() == [25.0] * 4
    assert table["channel"].tolist() == [2.0, 1.0, 2.0, 1.0]
    assert len(read_localizations(tmp_path / f"t{suffix}", 100.0, channel="1")) == 2


@pytest.mark.parametrize("suffix", [".csv", ".hdf5", ".mat", ".h5", ".smlm", ".txt"])
def test_z_goes_through_every_format_with_its_sign(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "t.csv").write_text(
        "frame,x [nm],y [nm],z [nm],uncertainty_z [nm]\n1,1000,2000,-350,25\n2,1000,2000,350,25\n"
    )
    out = tmp_path / f"u{suffix}"
    assert main(["convert", str(tmp_path / "t.csv"), str(out), "--pixel-size-nm", "100", "--json"]) == 0
    table = read_localizations(out, 100.0)
    assert table["z_nm"].tolist() == [-350.0, 350.0]


def test_what_a_format_cannot_hold_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(
        "id,frame,x [nm],y [nm],sigma [nm],intensity [photon],uncertainty [nm],chi2\n1,1,1000,2000,130,500,9,1.5\n"
    )
    assert main(["convert", str(tmp_path / "t.csv"), str(tmp_path / "u.txt"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["left_out"] == ["id", "chi2", "sx", "sy", "lpx", "lpy"]
    assert figures["unknown"] == ["bg"]


def test_what_nobody_knows_is_never_written_as_0(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n1,1000,1300\n2,1100,1200\n")
    for suffix in (".hdf5", ".mat", ".h5", ".smlm", ".csv"):
        assert (
            main(
                [
                    "convert",
                    str(tmp_path / "t.csv"),
                    str(tmp_path / f"u{suffix}"),
                    "--pixel-size-nm",
                    "100",
                    "--overwrite",
                ]
            )
            == 0
        )
        table = read_localizations(tmp_path / f"u{suffix}", 100.0)
        assert table.known_columns() == ("frame", "x", "y"), suffix
    with h5py.File(tmp_path / "u.hdf5") as file:
        assert file["locs"].dtype.names == ("frame", "x", "y")


def test_a_conversion_without_rows_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n")
    assert main(["convert", str(tmp_path / "t.csv"), str(tmp_path / "u.csv")]) == 2
    assert "no row below the column names" in capsys.readouterr().err
    assert not (tmp_path / "u.csv").exists()


@pytest.mark.parametrize(
    ("nm", "hint"),
    [("0.108", "108"), ("6500", "65 or 108"), ("6.5", "65 or 108"), ("1.08e-7", "108"), ("108000", "108")],
)
def test_a_pixel_of_another_unit_is_refused_with_the_likely_one(
    tmp_path: Path, nm: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n1,1000,1300\n2,1100,1200\n")
    given = ["convert", str(tmp_path / "t.csv"), str(tmp_path / "u.hdf5"), "--pixel-size-nm"]
    assert main([*given, nm]) == 2
    assert f"give --pixel-size-nm {hint}" in capsys.readouterr().err
    with pytest.raises(CalibrationError, match="20 to 1000 nm"):
        read_localizations(tmp_path / "t.csv", float(nm))
    assert main([*given, "12!"]) == 0
