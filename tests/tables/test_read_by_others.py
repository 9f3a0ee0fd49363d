"""What we write, read by the programs of the field; both are the extra `compare`.

pip install 'dblink-live[compare]'
python -m pytest tests/tables/test_read_by_others.py
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dblink_live.tables import TABLE_DTYPE, LocalizationTable, read_localizations, write_localizations
from dblink_live.types import Localizations, Shape

# Importing these programs warns of things that are theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

PIXEL_NM = 108.0
SINGLE = 5e-4
"""Locan keeps single precision: of 3 um, 2e-4 nm."""


@pytest.fixture
def locan() -> ModuleType:
    return pytest.importorskip("locan", reason="Locan is not installed (extra: compare)")


@pytest.fixture
def picasso_io() -> ModuleType:
    # More than ImportError: it looks for a system's Qt libraries on the way.
    pytest.importorskip("picasso.version", reason="Picasso is not installed (extra: compare)")
    return importlib.import_module("picasso.io")


@pytest.fixture
def rows() -> Localizations:
    """Three a frame, from frame 0 on."""
    rng = np.random.default_rng(8)
    rows = np.zeros(200, TABLE_DTYPE)
    rows["frame"] = np.arange(200) // 3
    for name in TABLE_DTYPE.names[1:]:
        rows[name] = rng.uniform(0.2, 25.0, len(rows))
    return rows


@pytest.mark.parametrize(
    ("name", "loader", "first_frame", "origin_px", "unit_nm"),
    [
        pytest.param("t.csv", "load_thunderstorm_file", 1, 0.5, PIXEL_NM, id="ThunderSTORM"),
        pytest.param("t.txt", "load_rapidSTORM_file", 0, 0.0, PIXEL_NM, id="rapidSTORM"),
        pytest.param("t_sml.mat", "load_SMAP_file", 1, 1.0, PIXEL_NM, id="SMAP"),
        pytest.param("t.h5", "load_decode_file", 0, 0.0, 1.0, id="DECODE"),
        pytest.param("t.smlm", "load_SMLM_file", 1, 0.5, PIXEL_NM, id="SMLM"),
    ],
)
def test_locan_reads_every_format(
    locan: ModuleType,
    tmp_path: Path,
    rows: Localizations,
    name: str,
    loader: str,
    first_frame: int,
    origin_px: float,
    unit_nm: float,
) -> None:
    write_localizations(tmp_path / name, rows, Shape(30, 40), PIXEL_NM)
    theirs = getattr(locan, loader)(tmp_path / name).data
    assert len(theirs) == len(rows)
    np.testing.assert_array_equal(theirs["frame"], rows["frame"] + first_frame)
    # Locan hands on what stands in the file: DECODE's first coordinate is the row.
    columns = {"x": "position_y", "y": "position_x"} if name.endswith(".h5") else {"x": "position_x", "y": "position_y"}
    for axis, column in columns.items():
        np.testing.assert_allclose(theirs[column], (rows[axis] + origin_px) * unit_nm, rtol=0, atol=SINGLE)
    np.testing.assert_allclose(theirs["intensity"], rows["photons"], rtol=1e-6, atol=1e-5)
    if name != "t.txt":
        np.testing.assert_allclose(theirs["local_background"], rows["bg"], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "loader", "unit_nm", "corner_px"),
    [
        ("Elyra_dstorm_data.txt", "load_Elyra_file", 1.0, 0.5),
        ("Nanoimager_dstorm_data.csv", "load_Nanoimager_file", 1.0, 0.5),
        ("SMLM_dstorm_data.smlm", "load_SMLM_file", 1.0, 0.5),
        ("Thunderstorm_dstorm_data.csv", "load_thunderstorm_file", 1.0, 0.5),
        ("rapidSTORM_dstorm_data.txt", "load_rapidSTORM_file", 1.0, 0.0),
        ("smap_dstorm_data.mat", "load_SMAP_file", 1.0, 1.0),
    ],
)
def test_real_tables_are_read_as_locan_reads_them(
    locan: ModuleType, shared_data: Path, name: str, loader: str, unit_nm: float, corner_px: float
) -> None:
    path = shared_data / "format_zoo_locan" / name
    theirs = getattr(locan, loader)(path).data.sort_values("frame", kind="stable")
    # Locan keeps the rows of all channels together.
    ours = read_localizations(path, channel="all")
    first = int(theirs["frame"].iloc[0]) - int(ours["frame"][0])
    assert first in (0, 1)
    np.testing.assert_array_equal(ours["frame"] + first, theirs["frame"])
    for axis in ("x", "y"):
        nm = (ours[axis] + corner_px) * ours.pixel_size_nm
        np.testing.assert_allclose(nm, theirs[f"position_{axis}"] * unit_nm, rtol=0, atol=SINGLE * 20)


def test_picasso_reads_its_own_format(picasso_io: ModuleType, tmp_path: Path, rows: Localizations) -> None:
    write_localizations(tmp_path / "t.hdf5", rows, Shape(30, 40), PIXEL_NM, n_frames=90)
    theirs, info = picasso_io.load_locs(str(tmp_path / "t.hdf5"))
    for name in TABLE_DTYPE.names:
        np.testing.assert_array_equal(theirs[name], rows[name].astype(np.float32), err_msg=name)
    facts = {key: value for step in info for key, value in step.items()}
    assert (facts["Frames"], facts["Height"], facts["Width"], facts["Pixelsize"]) == (90, 30, 40, PIXEL_NM)


def test_picasso_and_locan_read_depth(
    picasso_io: ModuleType, locan: ModuleType, tmp_path: Path, rows: Localizations
) -> None:
    depth = np.random.default_rng(2).uniform(-400.0, 400.0, len(rows))
    table = LocalizationTable(rows, PIXEL_NM, Shape(30, 40), extra={"z_nm": depth})
    for name in ("t.hdf5", "t.csv", "t_sml.mat", "t.smlm", "t.txt"):
        write_localizations(tmp_path / name, table)
    np.testing.assert_array_equal(picasso_io.load_locs(str(tmp_path / "t.hdf5"))[0]["z"], depth.astype(np.float32))
    imported = picasso_io.import_ts(str(tmp_path / "t.csv"), PIXEL_NM)[0]
    np.testing.assert_allclose(imported["z"], depth, rtol=0, atol=SINGLE)
    for name, load in (("t.csv", locan.load_thunderstorm_file), ("t.smlm", locan.load_SMLM_file)):
        np.testing.assert_allclose(load(tmp_path / name).data["position_z"], depth, rtol=0, atol=SINGLE, err_msg=name)
    for name, load in (("t_sml.mat", locan.load_SMAP_file), ("t.txt", locan.load_rapidSTORM_file)):
        np.testing.assert_allclose(load(tmp_path / name).data["position_z"], depth, rtol=0, atol=SINGLE, err_msg=name)


def test_what_picasso_writes_is_read(picasso_io: ModuleType, tmp_path: Path, rows: Localizations) -> None:
    write_localizations(tmp_path / "t.hdf5", rows, Shape(30, 40), PIXEL_NM, n_frames=90)
    picasso_io.save_locs(str(tmp_path / "u.hdf5"), *picasso_io.load_locs(str(tmp_path / "t.hdf5")))
    ours, theirs = (read_localizations(tmp_path / name) for name in ("t.hdf5", "u.hdf5"))
    np.testing.assert_array_equal(ours.localizations, theirs.localizations)
    assert (theirs.pixel_size_nm, theirs.shape, theirs.n_frames) == (PIXEL_NM, Shape(30, 40), 90)


@pytest.mark.parametrize("is_round", [True, False], ids=["one width", "a width per axis"])
@pytest.mark.parametrize("is_flat", [True, False], ids=["2D", "3D"])
@pytest.mark.parametrize(
    ("name", "importer", "origin_px"),
    [
        # Picasso leaves out the half pixel between ThunderSTORM's corner and its own centre, and MATLAB's 1 in SMAP's.
        pytest.param("t.csv", "import_ts", 0.5, id="ThunderSTORM"),
        pytest.param("t_sml.mat", "import_smap", 1.0, id="SMAP"),
    ],
)
def test_picasso_imports_other_formats(
    picasso_io: ModuleType,
    tmp_path: Path,
    rows: Localizations,
    name: str,
    importer: str,
    origin_px: float,
    is_flat: bool,
    is_round: bool,
) -> None:
    if is_round:
        rows["sy"] = rows["sx"]
    depth = {} if is_flat else {"z_nm": np.linspace(-400.0, 400.0, len(rows))}
    write_localizations(tmp_path / name, LocalizationTable(rows, PIXEL_NM, Shape(30, 40), extra=depth))
    theirs, _ = getattr(picasso_io, importer)(str(tmp_path / name), PIXEL_NM)
    np.testing.assert_array_equal(theirs["frame"], rows["frame"])
    for axis in ("x", "y"):
        np.testing.assert_allclose(theirs[axis], rows[axis] + origin_px, rtol=0, atol=SINGLE / PIXEL_NM)
    if name == "t.csv":
        # Without z, its import knows one width.
        mean = np.sqrt((rows["sx"] ** 2 + rows["sy"] ** 2) / 2)
        widths = {"sx": mean, "sy": mean} if is_flat else {"sx": rows["sx"], "sy": rows["sy"]}
        for axis, width in widths.items():
            np.testing.assert_allclose(theirs[axis], width, rtol=1e-6, atol=SINGLE / PIXEL_NM)
    if not is_flat:
        np.testing.assert_allclose(theirs["z"], depth["z_nm"], rtol=0, atol=SINGLE)
