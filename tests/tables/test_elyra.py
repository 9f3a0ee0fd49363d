"""Zeiss Elyra's text tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dblink_live.errors import SourceError
from dblink_live.tables import read_localizations

NAMES = [
    "Index",
    "First Frame",
    "Number Frames",
    "Position X [nm]",
    "Position Y [nm]",
    "Precision [nm]",
    "Number Photons",
]
END = "\0\r\r\nVoxelSizeX : 0.0970873786 \xb5m\r\r\n"


def write(path: Path, *rows: str, names: list[str] = NAMES, end: str = END) -> Path:
    table = path / "table.txt"
    lines = ["\t".join(names), *(row.replace(" ", "\t") for row in rows)]
    table.write_bytes(("\r\n".join(lines) + "\r\n" + end).encode("latin-1"))
    return table


def test_columns_become_ours(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "1 3 1 250 75 8 900", "2 1 2 50 150 9 800"), 100.0)
    expected = [(0, 0.0, 1.0, 800.0, 0.09, 0.09), (2, 2.0, 0.25, 900.0, 0.08, 0.08)]
    assert table.localizations[["frame", "x", "y", "photons", "lpx", "lpy"]].tolist() == expected
    # The format has neither widths nor background: unknown is no 0.
    assert table.known_columns() == ("frame", "x", "y", "photons", "lpx", "lpy")


@pytest.mark.parametrize("end", [END, ""], ids=["with the picture's facts", "without"])
def test_an_empty_table_is_read(tmp_path: Path, end: str) -> None:
    assert len(read_localizations(write(tmp_path, end=end))) == 0


@pytest.mark.parametrize(
    ("names", "row", "named"),
    [
        pytest.param(NAMES[:4], "1 3 1 250", r"column 'y \[nm\]' in", id="no y"),
        pytest.param(
            [*NAMES[:3], "Position X [um]", *NAMES[4:]],
            "1 3 1 1 1 1 1",
            r"one unit, found 'Position X \[um\]'",
            id="um",
        ),
        pytest.param(NAMES, "1 3 1 250 75", "7 values per row .* found 5 in line 2", id="cut short"),
        pytest.param(NAMES, "1 3 1 250 75 8 oops", "oops", id="a word"),
        pytest.param(NAMES, "1 3 1 250 nan 8 900", "finite y .* line 2", id="NaN"),
        pytest.param(NAMES, "1 3.5 1 250 75 8 900", "found 3.5 in line 2", id="half a frame"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, names: list[str], row: str, named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_localizations(write(tmp_path, row, names=names))


def test_a_real_table(shared_data: Path) -> None:
    table = read_localizations(shared_data / "format_zoo_locan" / "Elyra_dstorm_data.txt", 100.0)
    assert table["frame"].tolist() == [0] * 15
    # The first row as it stands in the file.
    assert ((table["x"][0] + 0.5) * 100, (table["y"][0] + 0.5) * 100) == pytest.approx((15850.6, 23502.1))
    assert (table["photons"][0], table["lpx"][0] * 100) == pytest.approx((472, 8.6))
    assert np.isnan(table["sx"]).all()
