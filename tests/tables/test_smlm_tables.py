"""Archives in the SMLM file format."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations
from dblink_live.types import Shape

HEADERS = {"frame": ("uint32", ""), "x": ("float32", "nm"), "y": ("float32", "nm"), "intensity": ("float32", "photon")}
ROWS = [(5, 250.0, 75.0, 900.0), (1, 50.0, 150.0, 800.0)]


def manifest(headers: dict[str, tuple[str, str]] = HEADERS, n_rows: int = 2) -> dict[str, Any]:
    return {
        "format_version": "0.2",
        "formats": {
            "f": {
                "type": "table",
                "mode": "binary",
                "columns": len(headers),
                "headers": list(headers),
                "dtype": [dtype for dtype, _ in headers.values()],
                "shape": [1] * len(headers),
                "units": [unit for _, unit in headers.values()],
            }
        },
        "files": [{"name": "t.bin", "type": "table", "format": "f", "channel": "a", "rows": n_rows, "offset": {}}],
    }


def save(
    path: Path,
    headers: dict[str, tuple[str, str]] = HEADERS,
    rows: list[tuple[float, ...]] = ROWS,
    told: dict[str, Any] | None = None,
) -> Path:
    packed = np.array(rows, [(name, dtype) for name, (dtype, _) in headers.items()])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest(headers, len(rows)) if told is None else told))
        archive.writestr("t.bin", packed.tobytes())
    return path


def test_positions_count_from_the_corner_and_frames_from_1(tmp_path: Path) -> None:
    table = read_localizations(save(tmp_path / "t.smlm"), 100.0)
    assert table.localizations[["frame", "x", "y", "photons"]].tolist() == [(0, 0.0, 1.0, 800.0), (4, 2.0, 0.25, 900.0)]
    assert table.is_pixel_size_known


def test_a_frame_0_means_that_frames_count_from_0(tmp_path: Path) -> None:
    table = read_localizations(save(tmp_path / "t.smlm", rows=[(0, 1, 1, 1), (4, 1, 1, 1)]))
    assert table["frame"].tolist() == [0, 4]
    assert not table.is_pixel_size_known


@pytest.mark.parametrize(
    ("names", "units"),
    [
        pytest.param(("frame", "x", "y", "sigma"), ("", "", "", "nm"), id="no units mean nm"),
        pytest.param(("frame", "x", "y", "sigma"), ("frame", "um", "um", "um"), id="micrometres"),
        pytest.param(("frame", "position_x", "position_y", "sigma"), ("", "1", "1", ""), id="locan's names"),
    ],
)
def test_columns_are_found_by_name_and_converted(
    tmp_path: Path, names: tuple[str, ...], units: tuple[str, ...]
) -> None:
    scale = 1e-3 if "um" in units else 1.0
    headers = {name: ("float64", unit) for name, unit in zip(names, units, strict=True)}
    path = save(tmp_path / "t.smlm", headers, [(1, 150 * scale, 250 * scale, 130 * scale)])
    row = read_localizations(path, 100.0).localizations[0]
    assert (row["x"], row["y"], row["sx"], row["sy"]) == pytest.approx((1.0, 2.0, 1.3, 1.3))


def test_counts_of_a_camera_are_no_photons(tmp_path: Path) -> None:
    path = save(tmp_path / "t.smlm", HEADERS | {"intensity": ("float32", "A/D count")})
    assert np.isnan(read_localizations(path)["photons"]).all()


def test_offsets_are_added_and_columns_of_several_numbers_passed_over(tmp_path: Path) -> None:
    told = manifest({"patch": ("uint8", ""), **HEADERS}, 1)
    told["formats"]["f"]["shape"][0] = [2, 3]
    told["files"][0]["offset"] = {"x": -100.0}
    packed = np.zeros(1, [("patch", "u1", 6), ("frame", "<u4"), ("x", "<f4"), ("y", "<f4"), ("intensity", "<f4")])
    packed["x"], packed["frame"] = 250.0, 1
    with zipfile.ZipFile(tmp_path / "t.smlm", "w") as archive:
        archive.writestr("manifest.json", json.dumps(told))
        archive.writestr("t.bin", packed.tobytes())
    assert read_localizations(tmp_path / "t.smlm", 100.0)["x"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        pytest.param({k: v for k, v in HEADERS.items() if k != "y"}, "column y", id="no y"),
        pytest.param({"x": HEADERS["x"]}, "column y, frame", id="neither y nor frames"),
        pytest.param(HEADERS | {"x": ("float32", "px"), "y": ("float32", "px")}, "found the unit 'px'", id="pixels"),
        pytest.param(HEADERS | {"y": ("float32", "um")}, "one unit .* x in nm, y in um", id="mixed units"),
        pytest.param(HEADERS | {"x": ("float16", "nm")}, "float16", id="unknown type"),
    ],
)
def test_columns_that_cannot_be_used_are_named(tmp_path: Path, headers: dict[str, tuple[str, str]], named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(save(tmp_path / "t.smlm", headers, [tuple([1.0] * len(headers))]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"format_version": "0.3"}, "found '0.3'", id="another version"),
        pytest.param({"files": []}, "one table .* found none", id="no table"),
        pytest.param({"files": manifest()["files"] * 2}, "found t.bin, t.bin", id="two tables"),
        pytest.param({"formats": {}}, "specification", id="no description"),
        pytest.param({"files": [manifest()["files"][0] | {"rows": 3}]}, "3 rows, 48 bytes", id="rows are missing"),
        pytest.param({"files": [manifest()["files"][0] | {"name": "absent"}]}, "absent", id="no such table"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    told = copy.deepcopy(manifest()) | change
    with pytest.raises(SourceError, match=named):
        read_localizations(save(tmp_path / "t.smlm", told=told))


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        pytest.param("manifest.json", "{", "expected JSON", id="not JSON"),
        pytest.param("manifest.json", "[]", "found None", id="another JSON"),
        pytest.param("xl/workbook.xml", "", "found xl/workbook.xml; supported are", id="a spreadsheet"),
    ],
)
def test_another_archive_is_refused(tmp_path: Path, name: str, content: str, named: str) -> None:
    with zipfile.ZipFile(tmp_path / "t.smlm", "w") as archive:
        archive.writestr(name, content)
    with pytest.raises(SourceError, match=named):
        read_localizations(tmp_path / "t.smlm")


def test_a_text_table_in_it_is_named(tmp_path: Path) -> None:
    told = manifest()
    told["formats"]["f"]["mode"] = "text"
    with pytest.raises(SourceError, match="found mode 'text'"):
        read_localizations(save(tmp_path / "t.smlm", told=told))


def test_a_frame_beyond_the_format_is_not_written(tmp_path: Path) -> None:
    rows = np.zeros(1, TABLE_DTYPE)
    rows["frame"] = 2**32 - 1
    with pytest.raises(SourceError, match=r"0 to 4294967294 for \.smlm"):
        write_localizations(tmp_path / "t.smlm", rows, Shape(4, 5), 100.0)
    assert not list(tmp_path.iterdir())


def test_a_real_table(shared_data: Path) -> None:
    table = read_localizations(shared_data / "format_zoo_locan" / "SMLM_dstorm_data.smlm", 128.3)
    assert table["frame"].tolist() == [0] * 10
    nm = (table["x"] + 0.5) * 128.3
    # The extremes that its manifest states.
    assert (nm.min(), nm.max()) == pytest.approx((1653.34, 14215.5))
