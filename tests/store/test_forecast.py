"""The forecast must not be below what a run really takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import INFO, WINDOW_FRAMES, make_segment

from dblink_live.store import RunWriter, forecast_bytes, forecast_files, forecast_nodes
from dblink_live.types import Grid, LocalizationMap, Reconstruction, Shape, empty_localizations


@pytest.mark.parametrize("live_dtype", ["uint8", "float16"])
def test_a_dense_run_stays_below_its_forecast(tmp_path: Path, live_dtype: str) -> None:
    grid = Grid(pitch_nm=40.0, shape=Shape(300, 300))
    rng = np.random.default_rng(0)
    n_windows = 20
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES, live_dtype=live_dtype) as writer:  # type: ignore[arg-type]
        writer.begin_segment(make_segment(), grid)
        for window in range(n_windows):
            counts = rng.poisson(0.05, grid.shape).astype(np.uint16)
            localizations = empty_localizations(int(counts.sum()))
            for name in ("x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy"):
                localizations[name] = rng.uniform(0, 100, len(localizations))
            writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, grid), localizations)
            structure = rng.random(grid.shape) < 1 / 3
            image = np.where(structure, rng.random(grid.shape), 0.0).astype(np.float32)
            writer.write_reconstruction(Reconstruction(0, window, image, "bounded", 3, error=image))
    taken = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    n_nodes = sum(1 for _ in (tmp_path / "run").rglob("*"))
    n_files = sum(path.is_file() for path in (tmp_path / "run" / "run.ome.zarr").rglob("*"))
    forecast = forecast_bytes(grid, n_windows, live_dtype=live_dtype, localizations_per_window=0.05 * 90_000)  # type: ignore[arg-type]
    # Below, but not so far below that it would refuse a run that fits.
    assert taken < forecast < 3 * taken
    assert n_files - 15 < forecast_files(n_windows) <= n_files
    # Three series' own folders and metadata, and the databases, do not grow with the run.
    assert n_nodes - 30 < forecast_nodes(grid, n_windows) <= n_nodes


def test_the_forecast_grows_with_the_run() -> None:
    grid = Grid(pitch_nm=40.0, shape=Shape(100, 100))
    assert forecast_bytes(grid, 200) == pytest.approx(2 * forecast_bytes(grid, 100), abs=1)
    assert forecast_bytes(grid, 10, live_dtype="float16") > forecast_bytes(grid, 10)
    assert forecast_bytes(grid, 0) == 0
