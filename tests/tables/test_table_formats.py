"""Which format a file is taken for, and what is said of those that are not known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations, written_suffixes
from dblink_live.types import Shape, empty_localizations
from dblink_live.windows import bin_localizations

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is an extra: pip install 'dblink-live[parquet]'"
)


def test_other_files_are_refused_by_naming_what_can_be_read(shared_data: Path) -> None:
    with pytest.raises(SourceError, match=r"supported are .*Picasso HDF5 .*ThunderSTORM CSV .*rapidSTORM text"):
        read_localizations(shared_data / "format_zoo_locan" / "images.tif")


def test_content_decides_where_the_extension_is_unusual(tmp_path: Path) -> None:
    write_localizations(tmp_path / "t.hdf5", empty_localizations(3), Shape(4, 5), 100.0)
    (tmp_path / "t.hdf5").rename(tmp_path / "t.h5")
    assert len(read_localizations(tmp_path / "t.h5").localizations) == 3
    (tmp_path / "t.txt").write_text("frame,x_nm,y_nm\n1,2,3\n")
    assert len(read_localizations(tmp_path / "t.txt").localizations) == 1


def test_what_is_named_hdf5_must_be_hdf5(tmp_path: Path) -> None:
    (tmp_path / "t.hdf5").write_text("frame,x,y\n1,2,3\n")
    with pytest.raises(SourceError, match="expected an HDF5 file"):
        read_localizations(tmp_path / "t.hdf5")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"found no file .*absent\.csv"):
        read_localizations(tmp_path / "absent.csv")


def test_an_unknown_extension_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"found t\.xlsx; supported are"):
        write_localizations(tmp_path / "t.xlsx", empty_localizations(), Shape(4, 5), 100.0)


IN_EACH_FORMAT = [
    pytest.param(suffix, marks=[needs_pyarrow] if suffix == ".parquet" else [], id=suffix)
    for suffix in written_suffixes()
]
BINARY = [case for case in IN_EACH_FORMAT if case.id not in (".csv", ".txt")]


@pytest.mark.parametrize("suffix", IN_EACH_FORMAT)
def test_what_cannot_be_written_says_so(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(SourceError, match="cannot be written"):
        write_localizations(tmp_path / "no such folder" / f"t{suffix}", empty_localizations(), Shape(4, 5), 100.0)


@pytest.mark.parametrize("suffix", IN_EACH_FORMAT)
def test_what_lies_there_is_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    for n in (5, 2):
        write_localizations(path, empty_localizations(n), Shape(4, 5), 100.0)
        assert len(read_localizations(path).localizations) == n


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(7)
    rows = np.zeros(60, TABLE_DTYPE)
    # Unsorted, and with several rows per frame.
    rows["frame"] = rng.integers(0, 20, 60)
    for name in TABLE_DTYPE.names[1:]:
        rows[name] = rng.uniform(0.1, 30.0, 60)
    return rows


NOT_STATED = {
    ".csv": {"lpx", "lpy"},  # their means over x and y are
    ".txt": {"sx", "sy", "bg", "lpx", "lpy"},
    ".h5": {"sx", "sy"},
}


@pytest.mark.parametrize("suffix", IN_EACH_FORMAT)
def test_what_is_written_is_read_back_sorted_by_frame(tmp_path: Path, suffix: str, rows: np.ndarray) -> None:
    path = tmp_path / f"t{suffix}"
    write_localizations(path, rows, Shape(24, 32), 108.0)
    table = read_localizations(path, 108.0)
    assert (table.pixel_size_nm, table.is_pixel_size_known) == (108.0, True)
    expected = rows[np.argsort(rows["frame"], kind="stable")]
    np.testing.assert_array_equal(table["frame"], expected["frame"])
    for name in set(TABLE_DTYPE.names[1:]) - NOT_STATED.get(suffix, set()):
        # Single precision at 30 pixels or 3240 nm is 2e-6 pixels; text is written to five decimals.
        np.testing.assert_allclose(table[name], expected[name], rtol=0, atol=5.1e-6, err_msg=name)


@pytest.mark.parametrize("suffix", BINARY)
def test_a_file_cut_short_is_one_clear_error(tmp_path: Path, suffix: str, rows: np.ndarray) -> None:
    path = tmp_path / f"t{suffix}"
    write_localizations(path, rows, Shape(24, 32), 108.0)
    whole = path.read_bytes()
    for n in np.linspace(0, len(whole) - 1, 25).astype(int):
        path.write_bytes(whole[:n])
        with pytest.raises(SourceError, match=r"cut short|damaged"):
            read_localizations(path)


@pytest.mark.parametrize("pixel_size_nm", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_pixel_sizes_are_refused(tmp_path: Path, pixel_size_nm: float) -> None:
    (tmp_path / "t.csv").write_text("frame,x,y\n1,2,3\n")
    with pytest.raises(CalibrationError, match="above 0 nm"):
        read_localizations(tmp_path / "t.csv", pixel_size_nm)
    with pytest.raises(CalibrationError, match="above 0 nm"):
        write_localizations(tmp_path / "u.csv", empty_localizations(), Shape(4, 5), pixel_size_nm)


def test_a_table_becomes_maps_whatever_pixel_it_is_expressed_in(shared_data: Path) -> None:
    path = shared_data / "gt_deepstorm_tubulins" / "ground_truth.csv"
    # 6.4 um at a pitch of 25 nm, once from pixels of 100 nm and once from pixels of 50 nm.
    coarse = bin_localizations(read_localizations(path, 100.0).localizations, (64, 64), 100.0, scale=4)
    fine = bin_localizations(read_localizations(path, 50.0).localizations, (128, 128), 50.0, scale=2)
    assert coarse.shape == (37, 256, 256)
    assert coarse.sum() == 81_178
    np.testing.assert_array_equal(coarse, fine)


# Rows that the files have.
ZOO = [
    ("Elyra_dstorm_data.txt", 15),
    ("Nanoimager_dstorm_data.csv", 14),
    ("SMLM_dstorm_data.smlm", 10),
    ("Thunderstorm_dstorm_data.csv", 19),
    ("decode_dstorm_data.h5", 96),
    ("rapidSTORM_dstorm_data.txt", 14),
    ("smap_dstorm_data.mat", 4884),
]


@pytest.mark.parametrize(("name", "n_rows"), ZOO)
@pytest.mark.parametrize("suffix", IN_EACH_FORMAT)
def test_real_tables_of_every_program_become_every_format(
    shared_data: Path, tmp_path: Path, suffix: str, name: str, n_rows: int
) -> None:
    table = read_localizations(shared_data / "format_zoo_locan" / name, channel="all")
    assert len(table) == n_rows
    assert np.all(np.diff(table["frame"]) >= 0)
    write_localizations(tmp_path / f"t{suffix}", table)
    back = read_localizations(tmp_path / f"t{suffix}", table.pixel_size_nm, channel="all")
    np.testing.assert_array_equal(back["frame"], table["frame"])
    for axis in ("x", "y"):
        # Single precision in nm or pixels, or five decimals of a nm: 60 um are kept to 4 pm, these pixels are 100 nm.
        np.testing.assert_allclose(back[axis], table[axis], rtol=0, atol=4e-5)
