"""What we write, read by pandas, h5py and SciPy alone: every row, every known column, no column that is unknown."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from dblink_live.tables import TABLE_DTYPE, LocalizationTable, read_localizations, write_localizations
from dblink_live.types import Shape

PIXEL_NM = 108.0
N = 60
DECIMALS = 1e-5
"""Text has five decimals."""
SINGLE = 2e-7
"""Picasso, SMAP and DECODE keep single precision."""


@pytest.fixture
def table() -> LocalizationTable:
    """Three rows per frame, in three dimensions and two channels; backgrounds are not known."""
    rng = np.random.default_rng(4)
    rows = np.zeros(N, TABLE_DTYPE)
    rows["frame"] = np.arange(N) // 3
    for name in TABLE_DTYPE.names[1:]:
        rows[name] = rng.uniform(0.2, 25.0, N)
    rows["bg"] = np.nan
    extra = {"z_nm": rng.uniform(-400, 400, N), "lpz_nm": rng.uniform(5, 50, N), "channel": np.arange(N) % 2}
    return LocalizationTable(rows, PIXEL_NM, Shape(30, 40), 20, extra=extra)


def in_nm(table: LocalizationTable, origin_px: float) -> dict[str, np.ndarray]:
    """Positions and widths as a file in nanometres has them, whose first pixel has its centre at ``origin_px``."""
    positions = {axis: (table[axis] + origin_px) * PIXEL_NM for axis in "xy"}
    return positions | {name: table[name] * PIXEL_NM for name in ("sx", "sy", "lpx", "lpy")}


def check(read: pd.DataFrame, expected: dict[str, np.ndarray], rtol: float = 0.0, atol: float = DECIMALS) -> None:
    assert len(read) == N
    for name, values in expected.items():
        np.testing.assert_allclose(read[name], values, rtol=rtol, atol=atol, err_msg=name)


def test_csv(tmp_path: Path, table: LocalizationTable) -> None:
    assert write_localizations(tmp_path / "t.csv", table) == ()
    read = pd.read_csv(tmp_path / "t.csv")
    nm = in_nm(table, 0.5)
    check(
        read,
        {"frame": table["frame"] + 1, "x [nm]": nm["x"], "y [nm]": nm["y"], "z [nm]": table["z_nm"]}
        | {"sigma1 [nm]": nm["sx"], "sigma2 [nm]": nm["sy"], "intensity [photon]": table["photons"]}
        | {"uncertainty_xy [nm]": np.sqrt((nm["lpx"] ** 2 + nm["lpy"] ** 2) / 2)}
        | {"uncertainty_z [nm]": table["lpz_nm"], "channel": table["channel"]},
    )
    assert not [name for name in read if name.startswith("offset")] and not read.isna().any(axis=None)


def test_parquet(tmp_path: Path, table: LocalizationTable) -> None:
    assert write_localizations(tmp_path / "t.parquet", table) == ()
    read = pd.read_parquet(tmp_path / "t.parquet")
    nm = in_nm(table, 0.5)
    check(
        read,
        {"frame": table["frame"] + 1, "x [nm]": nm["x"], "y [nm]": nm["y"], "z [nm]": table["z_nm"]}
        | {"sigma1 [nm]": nm["sx"], "sigma2 [nm]": nm["sy"], "intensity [photon]": table["photons"]}
        | {"uncertainty_x [nm]": nm["lpx"], "uncertainty_y [nm]": nm["lpy"]}
        | {"uncertainty_z [nm]": table["lpz_nm"], "channel": table["channel"]},
        atol=0.0,
    )
    assert "offset [photon]" not in read


def test_rapidstorm_text(tmp_path: Path, table: LocalizationTable) -> None:
    left_out = write_localizations(tmp_path / "t.txt", table)
    assert set(left_out) == {"sx", "sy", "lpx", "lpy", "lpz_nm", "channel"}
    read = pd.read_csv(tmp_path / "t.txt", sep=r"\s+", comment="#", names=["x", "y", "frame", "photons", "z"])
    nm = in_nm(table, 0.0)
    check(read, {"x": nm["x"], "y": nm["y"], "frame": table["frame"], "photons": table["photons"], "z": table["z_nm"]})


def test_picasso_hdf5(tmp_path: Path, table: LocalizationTable) -> None:
    assert write_localizations(tmp_path / "t.hdf5", table) == ("channel",)
    with h5py.File(tmp_path / "t.hdf5") as file:
        read = pd.DataFrame(file["locs"][:])
    known = {name: table[name] for name in TABLE_DTYPE.names if name != "bg"}
    check(read, known | {"z": table["z_nm"]}, rtol=SINGLE, atol=0.0)


def test_decode_hdf5(tmp_path: Path, table: LocalizationTable) -> None:
    assert set(write_localizations(tmp_path / "t.h5", table)) == {"sx", "sy", "channel"}
    with h5py.File(tmp_path / "t.h5") as file:
        data = file["data"]
        read = pd.DataFrame({"frame": data["frame_ix"][:], "photons": data["phot"][:]})
        # DECODE's first coordinate is the row.
        read[["y", "x", "z"]] = data["xyz"][:]
        assert file["meta"].attrs["xy_unit"] == "px"
    check(
        read,
        {"frame": table["frame"], "x": table["x"], "y": table["y"], "z": table["z_nm"], "photons": table["photons"]},
        rtol=SINGLE,
        atol=1e-6,
    )


def test_smap_keeps_depth_and_channels_where_its_own_code_looks_for_them(
    tmp_path: Path, table: LocalizationTable
) -> None:
    assert write_localizations(tmp_path / "t_sml.mat", table) == ()
    with h5py.File(tmp_path / "t_sml.mat") as file:
        loc = file["saveloc/loc"]
        # MATLAB's columns [N, 1] lie in HDF5 as rows.
        assert {loc[name].shape for name in loc} == {(1, N)}
        assert {loc[name].attrs["MATLAB_class"] for name in loc} <= {b"single", b"double"}
        read = pd.DataFrame({name: loc[name][0] for name in loc})
    nm = in_nm(table, 1.0)
    check(
        read,
        {"frame": table["frame"] + 1, "xnm": nm["x"], "ynm": nm["y"], "znm": table["z_nm"]}
        | {"locprecznm": table["lpz_nm"], "channel": table["channel"], "filenumber": np.ones(N)}
        | {"PSFxnm": nm["sx"], "PSFynm": nm["sy"], "phot": table["photons"]},
        rtol=SINGLE,
        atol=0.0,
    )


def test_depth_and_channels_that_smap_saved_are_read(tmp_path: Path, table: LocalizationTable) -> None:
    # SMAP's fields by its own saver: one MATLAB column each, in nm, the first pixel's centre at one pixel.
    nm = in_nm(table, 1.0)
    fields = {"frame": table["frame"] + 1.0, "xnm": nm["x"], "ynm": nm["y"], "znm": table["z_nm"]}
    fields |= {"locprecznm": table["lpz_nm"], "channel": table["channel"] + 1.0, "phot": table["photons"]}
    loc = {name: values[:, None] for name, values in fields.items()}
    info = {"cam_pixelsize_um": [0.108, 0.108], "Width": 40.0, "Height": 30.0, "roi": [0.0, 0.0, 40.0, 30.0]}
    savemat(tmp_path / "s_sml.mat", {"saveloc": {"loc": loc, "file": {"info": info}}})
    for channel in (1, 2):
        found = read_localizations(tmp_path / "s_sml.mat", channel=str(channel))
        own = table["channel"] == channel - 1
        np.testing.assert_array_equal(found["frame"], table["frame"][own])
        for name in ("x", "y", "z_nm", "lpz_nm", "photons"):
            np.testing.assert_allclose(found[name], table[name][own], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_of_channels_are_kept(tmp_path: Path, table: LocalizationTable, suffix: str) -> None:
    names = np.array(["640 nm", '561, "weak"'])[table["channel"]]
    named = LocalizationTable(table.localizations, PIXEL_NM, Shape(30, 40), extra={"channel": names})
    write_localizations(tmp_path / f"t{suffix}", named)
    read = (pd.read_csv if suffix == ".csv" else pd.read_parquet)(tmp_path / f"t{suffix}")
    assert list(read["channel"]) == list(names)
    again = read_localizations(tmp_path / f"t{suffix}", channel="640 nm")
    assert len(again) == N // 2


def test_an_index_that_pandas_wrote_is_no_column(tmp_path: Path, table: LocalizationTable) -> None:
    """A table that went through pandas, with its index and in another order of columns, is the same table."""
    write_localizations(tmp_path / "t.csv", table)
    frame = pd.read_csv(tmp_path / "t.csv")
    frame[frame.columns[::-1]].to_csv(tmp_path / "u.csv")
    frame.to_parquet(tmp_path / "u.parquet")
    ours = read_localizations(tmp_path / "t.csv", PIXEL_NM, channel="all")
    for name in ("u.csv", "u.parquet"):
        theirs = read_localizations(tmp_path / name, PIXEL_NM, channel="all")
        for column in ("frame", "x", "y", "sx", "photons", "lpx", "z_nm", "channel"):
            np.testing.assert_array_equal(theirs[column], ours[column], err_msg=f"{name} {column}")
