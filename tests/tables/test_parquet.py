"""Parquet files: data frames with a table's columns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import TABLE_DTYPE, LocalizationTable, read_localizations, write_localizations
from dblink_live.types import Shape

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install 'dblink-live[parquet]'")
parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS: dict[str, Any] = {"frame": [5, 1], "x [nm]": [250.0, 50.0], "y [nm]": [75.0, 150.0]}


def save(path: Path, columns: dict[str, Any] = COLUMNS, camera: object = None) -> Path:
    table = pa.table(columns)
    if camera is not None:
        table = table.replace_schema_metadata({"dblink_live": json.dumps(camera)})
    parquet.write_table(table, path)
    return path


def test_columns_are_those_of_a_csv(tmp_path: Path) -> None:
    columns = COLUMNS | {"sigma [nm]": [130.0, 120.0], "intensity [photon]": pa.array([900, 800], pa.uint16())}
    table = read_localizations(save(tmp_path / "t.parquet", columns), 100.0)
    assert table.localizations[["frame", "x", "y", "photons", "sx", "sy"]].tolist() == [
        (0, 0.0, 1.0, 800.0, 1.2, 1.2),
        (4, 2.0, 0.25, 900.0, 1.3, 1.3),
    ]
    names = ["frame", "x [nm]", "y [nm]", "sigma [nm]", "intensity [photon]"]
    with (tmp_path / "t.csv").open("w") as file:
        file.write(",".join(names) + "\n5,250,75,130,900\n1,50,150,120,800\n")
    from_text = read_localizations(tmp_path / "t.csv", 100.0)
    for name in TABLE_DTYPE.names:
        np.testing.assert_array_equal(table[name], from_text[name])


def test_what_is_written_says_which_camera_it_was(tmp_path: Path) -> None:
    rows = np.zeros(3, TABLE_DTYPE)
    rows["frame"], rows["x"] = [2, 0, 1], [1.25, 2.5, 3.75]
    write_localizations(tmp_path / "t.parquet", rows, Shape(4, 5), 108.0, n_frames=7)
    table = read_localizations(tmp_path / "t.parquet")
    assert (table.pixel_size_nm, table.shape, table.n_frames) == (108.0, Shape(4, 5), 7)
    assert table["frame"].tolist() == [0, 1, 2]
    assert table["x"] == pytest.approx([2.5, 3.75, 1.25], rel=0, abs=1e-12)
    with pytest.raises(CalibrationError, match="108 nm, found 100 nm"):
        read_localizations(tmp_path / "t.parquet", 100.0)


def test_a_camera_that_nobody_named_is_not_stated(tmp_path: Path) -> None:
    table = read_localizations(save(tmp_path / "t.parquet"))
    assert not table.is_pixel_size_known
    write_localizations(tmp_path / "u.parquet", table)
    again = read_localizations(tmp_path / "u.parquet", 65.0)
    assert (again.pixel_size_nm, again.shape) == (65.0, None)
    # To the rounding of doubles of 250 nm.
    np.testing.assert_allclose((again["x"] + 0.5) * 65.0, (table["x"] + 0.5) * 100.0, rtol=0, atol=1e-10)


def test_what_is_written_names_units_for_other_readers(tmp_path: Path) -> None:
    rows = np.zeros(1, TABLE_DTYPE)
    rows["frame"], rows["x"], rows["y"], rows["sx"], rows["lpy"] = 6, 1.0, 2.0, 1.5, 0.1
    write_localizations(tmp_path / "t.parquet", LocalizationTable(rows, 100.0))
    (row,) = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert row == pytest.approx(
        {
            "frame": 7,
            "x [nm]": 150.0,
            "y [nm]": 250.0,
            "sigma1 [nm]": 150.0,
            "offset [photon]": 0.0,
            "uncertainty_y [nm]": 10.0,
        }
    )


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        pytest.param({"frame": [1], "x [nm]": [1.0]}, r"expected a column 'y \[nm\]' .* found frame, x", id="no y"),
        pytest.param({}, "column 'frame' .* found nothing", id="no columns"),
        pytest.param(COLUMNS | {"frame": ["a", "b"]}, "one number per row in frame", id="text"),
        pytest.param(COLUMNS | {"x [nm]": [[1.0], [2.0]]}, r"one number per row in x \[nm\]", id="lists"),
        pytest.param(COLUMNS | {"x [nm]": [1.0, None]}, "finite x .* found nan in row 2", id="a hole"),
        pytest.param(COLUMNS | {"frame": [1, None]}, "finite frame .* row 2", id="a frame that is missing"),
        pytest.param(COLUMNS | {"frame": [1.0, 1.5]}, "found 1.5 in row 2", id="half a frame"),
        pytest.param({"frame": [1], "x [nm]": [1.0], "y [um]": [1.0]}, "in one unit", id="mixed units"),
        pytest.param({"frame": [1], "x": [1.0], "y": [1.0], "lpx": [0.1]}, "lpx beside them", id="Picasso's names"),
    ],
)
def test_columns_that_cannot_be_used_are_named(tmp_path: Path, columns: dict[str, Any], named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(save(tmp_path / "t.parquet", columns))


@pytest.mark.parametrize("camera", [3, {"shape": [1]}, {"shape": "ab"}, {"n_frames": -1}, {"shape": [1.5, 2]}])
def test_a_description_of_the_camera_that_is_none_is_refused(tmp_path: Path, camera: object) -> None:
    with pytest.raises(SourceError, match="description of the camera under dblink_live"):
        read_localizations(save(tmp_path / "t.parquet", camera=camera))


WITHOUT_PYARROW = """
import sys
# What Python itself does for a module that must not be imported.
sys.modules["pyarrow"] = None
from dblink_live.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("table", "out"), [("t.parquet", "u.csv"), ("t.csv", "u.parquet")])
def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path, table: str, out: str) -> None:
    write_localizations(tmp_path / table, np.zeros(1, TABLE_DTYPE), Shape(4, 5), 108.0)
    command = [sys.executable, "-c", WITHOUT_PYARROW, "convert", table, out]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'pip install "dblink-live[parquet]"' in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / out).exists()


def test_convert_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n1,50,150\n3,2500,50\n")
    assert main(["convert", str(tmp_path / "t.csv"), str(tmp_path / "t.parquet")]) == 0
    assert main(["convert", str(tmp_path / "t.parquet"), str(tmp_path / "u.csv")]) == 0
    before, after = (read_localizations(tmp_path / name) for name in ("t.csv", "u.csv"))
    for name in TABLE_DTYPE.names:
        np.testing.assert_array_equal(before[name], after[name])
    assert "2 localizations" in capsys.readouterr().out
