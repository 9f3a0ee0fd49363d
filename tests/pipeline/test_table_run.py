"""A run folder made of a localization table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dblink_live.config import run_config_from_plain
from dblink_live.errors import SourceError, StoreError
from dblink_live.models import LightNetwork, load_model, reconstruct, save_checkpoint
from dblink_live.pipeline.table_run import run_table
from dblink_live.store import open_run, verify_run
from dblink_live.tables import LocalizationTable
from dblink_live.types import Shape
from dblink_live.windows import bin_localizations

N_FRAMES, WINDOW = 65, 10
DTYPE = [
    (name, "i8" if name == "frame" else "f8") for name in ("frame", "x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy")
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, LightNetwork(), name="tiny", pixel_size_nm=40.0, threshold=0.4)
    plain = {"reconstruct": {"model": str(path), "lookahead": 2, "hop": 2}, "windows": {"frames": WINDOW}}
    return run_config_from_plain(plain)


def table(n_rows: int = 200, **facts) -> LocalizationTable:
    rng = np.random.default_rng(0)
    rows = np.zeros(n_rows, DTYPE)
    rows["frame"] = np.sort(rng.integers(0, N_FRAMES, n_rows))
    rows["x"], rows["y"] = rng.uniform(0, 9.4, n_rows), rng.uniform(0, 7.4, n_rows)
    return LocalizationTable(rows, 160.0, **({"shape": Shape(8, 10), "n_frames": N_FRAMES} | facts))


def test_it_is_a_whole_run_with_the_pictures_of_a_live_one(tmp_path: Path, config) -> None:
    done: list[int] = []
    assert run_table(table(), tmp_path / "t.run", config, name="table:t.csv", on_progress=done.append) == 6
    assert done == [N_FRAMES]
    report = verify_run(tmp_path / "t.run")
    assert report.problems == []
    expected = bin_localizations(table().localizations, Shape(8, 10), 160.0, 4, WINDOW)[:6]
    with open_run(tmp_path / "t.run") as run:
        assert run.status == "complete"
        assert {k: run.ledger[0][k] for k in ("seen", "committed", "tail")} == {"seen": 65, "committed": 60, "tail": 5}
        counts = np.stack([run.read_window(row) for row in run.windows("counts")])
        np.testing.assert_array_equal(counts, expected)
        assert len(run.localizations()) == np.count_nonzero(table()["frame"] < 60)
        shown = np.stack([run.read_window(row) for row in run.windows("live")]) / 255
    pictures = reconstruct(expected, load_model(config.reconstruct.model), lookahead=2, hop=2)
    # Stored as whole 255ths.
    np.testing.assert_allclose(shown, pictures, atol=0.5 / 255 + 1e-6)


def short() -> LocalizationTable:
    whole = table(n_frames=9)
    return whole.take(whole["frame"] < 9)


def broken() -> LocalizationTable:
    bad = table()
    bad.localizations["y"][3] = np.nan
    return bad


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(table(0), "empty table", id="empty"),
        pytest.param(broken(), "NaN or infinity in 1 rows", id="NaN"),
        pytest.param(short(), "take shorter windows", id="less than a window"),
        pytest.param(table(shape=Shape(10, 10**7)), "far outliers", id="impossible field"),
    ],
)
def test_a_table_that_makes_no_run_is_refused_before_a_folder_is_made(
    tmp_path: Path, config, given: LocalizationTable, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        run_table(given, tmp_path / "t.run", config, name="table:t.csv")
    assert not (tmp_path / "t.run").exists()


def test_a_folder_that_holds_something_is_kept(tmp_path: Path, config) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(StoreError):
        run_table(table(), tmp_path, config, name="table:t.csv")
    assert (tmp_path / "precious").read_text() == "data"
