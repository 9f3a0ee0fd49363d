"""The verb ``convert``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.config import load_run_config
from dblink_live.pipeline.table_run import run_table
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations
from dblink_live.types import Shape


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    rows = np.zeros(30, TABLE_DTYPE)
    rows["frame"] = np.sort(rng.integers(0, 9, 30))
    rows["x"], rows["y"], rows["photons"] = rng.uniform(0, 20, (3, 30))
    write_localizations(tmp_path / "start.csv", rows, Shape(24, 32), 108.0)
    return tmp_path / "start.csv"


def test_the_localizations_of_a_run_are_written_as_a_table(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_localizations(table, 108.0)
    folder = tmp_path / "x.run"
    run_table(before, folder, load_run_config(None, ["windows.frames=3"]), name="table")
    assert main(["convert", str(folder), str(tmp_path / "x.csv"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["localizations"], figures["pixel_size_nm"], figures["shape"]) == (30, 108.0, list(before.field()))
    after = read_localizations(tmp_path / "x.csv", 108.0)
    np.testing.assert_array_equal(before["frame"], after["frame"])
    # A run stores single precision, of numbers below 32 pixels.
    np.testing.assert_allclose(before["x"], after["x"], rtol=0, atol=1e-5)
    for option in (["--unit", "nm"], ["--pixel-size-nm", "100"]):
        assert main(["convert", str(folder), str(tmp_path / "y.csv"), *option]) == 2
        assert f"expected no {option[0]} beside the run folder" in capsys.readouterr().err


def test_a_table_goes_through_every_format_and_stays_where_it_is(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.hdf5", "b.txt", "c_sml.mat", "d.csv", "e.h5", "f.smlm", "g.hdf5"]
    before = table
    for name in names:
        assert main(["convert", str(before), str(tmp_path / name), "--pixel-size-nm", "108", "--json"]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert (figures["localizations"], figures["pixel_size_nm"]) == (30, 108.0)
        before = tmp_path / name
    first, last = read_localizations(table, 108.0), read_localizations(before)
    np.testing.assert_array_equal(first["frame"], last["frame"])
    for axis in ("x", "y"):
        # Picasso's, DECODE's and SMAP's columns are single precision, the last in nm: 2e-4 nm of 108 at most.
        np.testing.assert_allclose(first[axis], last[axis], rtol=0, atol=6e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["start.csv", "new.xlsx"], "expected a table that ends in .h5, .parquet", id="unknown format"),
        pytest.param(["start.csv", "start.csv"], "exists", id="the same file"),
        pytest.param(["start.csv", "nowhere/new.csv"], "found none", id="no folder"),
        pytest.param(["absent.csv", "new.csv"], "absent.csv", id="no table"),
        pytest.param(["start.csv", "new.hdf5"], "--pixel-size-nm", id="pixels of unknown size"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    table: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(table.parent.iterdir())
    paths = [str(table.parent / name) for name in arguments]
    assert main(["convert", *paths]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(table.parent.iterdir()) == before
