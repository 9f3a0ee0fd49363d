"""rapidSTORM's text tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.tables import TABLE_DTYPE, read_localizations, write_localizations
from dblink_live.types import Shape

X = '<field identifier="Position-0-0" unit="nanometer" min="0 m" max="3e-007 m" />'
Y = '<field identifier="Position-1-0" unit="nanometer" min="0 m" max="1e-007 m" />'
FRAME = '<field identifier="ImageNumber-0-0" unit="frame" min="0 fr" />'
COUNTS = '<field identifier="Amplitude-0-0" unit="A/D count" />'


def write(path: Path, *lines: str, fields: str = X + Y + FRAME + COUNTS) -> Path:
    table = path / "table.txt"
    table.write_text("\n".join([f'# <localizations insequence="true">{fields}</localizations>', *lines]) + "\n")
    return table


def test_positions_count_from_the_centre_of_the_first_pixel_and_frames_from_0(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "250 0 7 900", "0 100 2 800"), pixel_size_nm=100.0)
    assert table["frame"].tolist() == [2, 7]
    assert table["x"].tolist() == [0.0, 2.5]
    assert table["y"].tolist() == [1.0, 0.0]
    # Counts of the camera are no photons.
    assert np.isnan(table["photons"]).all()
    # 0.3 um and 0.1 um between the centres of the outer pixels.
    assert table.shape == Shape(2, 4)
    assert read_localizations(write(tmp_path, "250 0 7 900"), pixel_size_nm=70.0).shape is None


def test_columns_are_found_by_their_names_and_units(tmp_path: Path) -> None:
    fields = COUNTS.replace("A/D count", "photon") + FRAME + Y.replace("nanometer", "micrometer") + X
    table = read_localizations(write(tmp_path, "900 7 0.05 250", fields=fields), pixel_size_nm=100.0)
    assert table.localizations[["frame", "x", "y", "photons"]].tolist() == [(7, 2.5, 0.5, 900.0)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = np.zeros(50, TABLE_DTYPE)
    rows["frame"] = np.sort(rng.integers(0, 20, 50))
    for name, most in (("x", 31.0), ("y", 15.0), ("photons", 5000.0)):
        rows[name] = rng.uniform(0, most, 50)
    write_localizations(tmp_path / "t.txt", rows, Shape(16, 32), 108.0)
    table = read_localizations(tmp_path / "t.txt", 108.0)
    assert table.shape == Shape(16, 32)
    np.testing.assert_array_equal(table["frame"], rows["frame"])
    # The file states a hundredth of a picometre, which is 5e-8 of a pixel.
    for name in ("x", "y", "photons"):
        np.testing.assert_allclose(table[name], rows[name], rtol=0, atol=1e-5)


def test_an_empty_table_is_empty(tmp_path: Path) -> None:
    assert len(read_localizations(write(tmp_path))) == 0


@pytest.mark.parametrize(
    ("lines", "fields", "named"),
    [
        pytest.param(["1 2"], X + FRAME, "Position-1-0", id="no y"),
        pytest.param(["1 2 3"], X + Y.replace("nanometer", "furlong") + FRAME, "furlong", id="unknown unit"),
        pytest.param(["1 2 3 4", "1 2"], X + Y + FRAME + COUNTS, "4 numbers per row", id="cut short"),
        pytest.param(["1 2 3"], X + Y + FRAME + COUNTS, "4 numbers per row", id="fewer than described"),
        pytest.param(["1 x 3 4"], X + Y + FRAME + COUNTS, "4 numbers per row", id="no number"),
        pytest.param(["1 nan 3 4"], X + Y + FRAME + COUNTS, "finite", id="not finite"),
        pytest.param(["1 2 0.5 4"], X + Y + FRAME + COUNTS, "whole frame", id="half a frame"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, lines: list[str], fields: str, named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(write(tmp_path, *lines, fields=fields))


def test_a_description_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("# <localizations insequence=\n1 2 3\n")
    with pytest.raises(SourceError, match="description of columns"):
        read_localizations(tmp_path / "t.txt")


def test_real_tables(shared_data: Path) -> None:
    table = read_localizations(shared_data / "format_zoo_locan" / "rapidSTORM_dstorm_data.txt", 128.3)
    assert table.shape == Shape(256, 256)
    assert float(table["x"][0]) * 128.3 == pytest.approx(9657.4)
    (bead,) = (shared_data / "tab_bead_drift").glob("*.RapidStorm.txt")
    drift = read_localizations(bead, 118.0)
    assert drift.shape == Shape(128, 128)
    assert len(np.unique(drift["frame"])) > 9900


def test_tracks_are_refused(shared_data: Path) -> None:
    with pytest.raises(SourceError, match=r"one localization per row .* found tracks"):
        read_localizations(shared_data / "format_zoo_locan" / "rapidSTORM_dstorm_track_data.txt")
