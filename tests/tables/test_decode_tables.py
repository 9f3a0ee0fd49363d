"""DECODE's HDF5 files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations
from dblink_live.types import Shape

META = {"xy_unit": "px", "px_size": [100.0, 100.0]}
DATA = {"frame_ix": np.array([7, 2]), "xyz": np.array([[0.0, 10.0, 300.0], [1.5, 20.0, -200.0]])}


def save(path: Path, data: dict[str, np.ndarray] = DATA, meta: dict[str, object] = META) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("meta").attrs.update(meta)
        group = file.create_group("data")
        for name, values in data.items():
            group[name] = values
        group["bg_cr"] = h5py.Empty("f")
    return path


def test_the_first_coordinate_is_the_row_and_frames_count_from_0(tmp_path: Path) -> None:
    sigma = np.array([[0.1, 0.2, 50.0], [0.3, 0.4, 50.0]])
    data = DATA | {"phot": np.array([900.0, 800.0]), "bg": np.array([5.0, 6.0]), "xyz_sig": sigma}
    table = read_localizations(save(tmp_path / "t.h5", data))
    assert table.pixel_size_nm == 100.0
    assert table.localizations[["frame", "x", "y", "photons", "bg", "lpx", "lpy"]].tolist() == [
        (2, 20.0, 1.5, 800.0, 6.0, 0.4, 0.3),
        (7, 10.0, 0.0, 900.0, 5.0, 0.2, 0.1),
    ]
    # z is in nm whatever the unit of the others; DECODE has no widths.
    assert (table["z_nm"].tolist(), table["lpz_nm"].tolist()) == ([-200.0, 300.0], [50.0, 50.0])
    assert np.isnan(table["sx"]).all()


def test_nanometres_count_from_the_centre_of_the_first_pixel(tmp_path: Path) -> None:
    data = {"frame_ix": np.array([0]), "xyz": np.array([[50.0, 200.0, 0.0]]), "xyz_sig": np.array([[10.0, 20.0, 0.0]])}
    row = read_localizations(save(tmp_path / "t.h5", data, META | {"xy_unit": "nm"})).localizations[0]
    assert (row["x"], row["y"], row["lpx"], row["lpy"]) == pytest.approx((2.0, 0.5, 0.2, 0.1))


@pytest.mark.parametrize("unit", ["px", "nm"])
def test_pixels_that_are_not_square_keep_their_nanometres(tmp_path: Path, unit: str) -> None:
    sides = np.array([200.0, 100.0, 1.0])
    data = {"frame_ix": np.array([0]), "xyz": np.array([[3.0, 8.0, 0.0]]), "xyz_sig": np.array([[0.1, 0.1, 0.0]])}
    if unit == "nm":
        data |= {name: data[name] * sides for name in ("xyz", "xyz_sig")}
    path = save(tmp_path / "t.h5", data, {"xy_unit": unit, "px_size": sides[:2]})
    for given_nm in (None, 50.0):
        table = read_localizations(path, given_nm)
        assert table.is_pixel_size_known == (given_nm is not None)
        row, nm = table.localizations[0], table.pixel_size_nm
        # From the outer corner: rows are 200 nm high, columns 100 nm wide.
        assert ((row["y"] + 0.5) * nm, (row["x"] + 0.5) * nm) == pytest.approx((700.0, 850.0))
        assert (row["lpy"] * nm, row["lpx"] * nm) == pytest.approx((20.0, 10.0))


def test_a_pixel_size_that_is_not_stated_must_be_given(tmp_path: Path) -> None:
    path = save(tmp_path / "t.h5", meta={"xy_unit": "px"})
    with pytest.raises(CalibrationError, match="pixel size in px_size"):
        read_localizations(path)
    assert read_localizations(path, 80.0).pixel_size_nm == 80.0
    with pytest.raises(CalibrationError, match="100 nm, found 80 nm"):
        read_localizations(save(path), 80.0)


@pytest.mark.parametrize(
    ("data", "meta", "named"),
    [
        pytest.param({"frame_ix": np.zeros(1)}, META, "column xyz", id="no positions"),
        pytest.param(DATA | {"xyz": np.zeros(2)}, META, "2 or 3 numbers per row", id="positions of one number"),
        pytest.param(DATA | {"phot": np.zeros(3)}, META, "x 2, .*photons 3", id="of several lengths"),
        pytest.param(DATA | {"frame_ix": np.array([0, -1])}, META, "found -1 in row 2", id="negative frame"),
        pytest.param(DATA | {"xyz": np.full((2, 3), np.inf)}, META, "finite x", id="not finite"),
        pytest.param(DATA, {"px_size": [1.0, 1.0]}, "xy_unit px or nm .* found None", id="no unit"),
        pytest.param(DATA, META | {"xy_unit": "um"}, "xy_unit px or nm .* found 'um'", id="another unit"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, data: dict[str, np.ndarray], meta: dict[str, object], named: str
) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(save(tmp_path / "t.h5", data, meta))


def test_what_decode_looks_at_is_there(tmp_path: Path) -> None:
    rows = np.zeros(1, TABLE_DTYPE)
    rows["frame"], rows["x"], rows["y"] = 4, 2.0, 1.0
    write_localizations(tmp_path / "t.h5", rows, Shape(4, 5), 100.0)
    with h5py.File(tmp_path / "t.h5") as file:
        assert list(file["meta"].attrs) == ["xy_unit", "px_size"] or file["meta"].attrs["xy_unit"] == "px"
        assert file["data/xyz"][()].tolist() == [[1.0, 2.0, 0.0]]
        assert file["data/frame_ix"][()].tolist() == [4]
        assert {"id", "prob", "phot", "bg", "xyz_sig", "xyz_cr", "phot_cr", "bg_cr"} <= set(file["data"])
        assert "version" in file["decode"].attrs


def test_a_real_table(shared_data: Path) -> None:
    path = shared_data / "format_zoo_locan" / "decode_dstorm_data.h5"
    table = read_localizations(path)
    assert len(table) == 96
    with h5py.File(path) as file:
        first, (height_nm, width_nm) = file["data/xyz"][0], file["meta"].attrs["px_size"]
    assert (height_nm, width_nm) == (127.0, 117.0)
    row = table.localizations[table["frame"] == 294][0]
    assert (row["y"] + 0.5) * 100 == pytest.approx((first[0] + 0.5) * height_nm)
    assert (row["x"] + 0.5) * 100 == pytest.approx((first[1] + 0.5) * width_nm)
