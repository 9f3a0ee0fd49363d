"""The full pass over stored runs: equal to the offline pass, within memory, in tiles, and taken up after any death."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored_run import MODEL, make_videos, write_run

from dblink_live.errors import ConfigError, ModelError, StoreError
from dblink_live.models import LightNetwork, StreamingEngine, bounded_pass, full_pass, load_model, save_checkpoint
from dblink_live.refine import RefineSettings, RefineSummary, open_refinement
from dblink_live.simulate.video import Video
from dblink_live.store import Run, RunWriter, open_run, verify_run
from dblink_live.types import FloatImage

# Pictures are stored in 8 bits, to the nearest; the pass itself may differ by float32 roundings.
STORED = 0.5 / 255 + 1e-5
WINDOWS = 20


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return make_videos([48, 32], WINDOWS)


@pytest.fixture(scope="module")
def unrefined(videos: list[Video], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "two_segments.run"
    write_run(path, videos)
    return path


@pytest.fixture
def folder(unrefined: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unrefined, tmp_path / "cells.run"))


@pytest.fixture(scope="module")
def refined(unrefined: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Refined at one go."""
    path = Path(shutil.copytree(unrefined, tmp_path_factory.mktemp("runs") / "refined.run"))
    refine(path)
    return path


def refine(path: Path, settings: RefineSettings | None = None, **options: object) -> RefineSummary:
    with open_refinement(path, settings or RefineSettings(), device="cpu", **options) as refinement:  # type: ignore[arg-type]
        return refinement.run()


def full_pictures(path: Path) -> dict[tuple[int, int], np.ndarray]:
    with open_run(path) as run:
        return {(row.segment, row.window): run.read_window(row) for row in run.windows("full")}


def stored_mask(run: Run, segment: int) -> np.ndarray:
    rows = run.windows("counts", segment)
    return np.array([1 - row.n_frames_missing / 10 for row in rows], np.float32)


def offline(path: Path, segment: int, lookahead: int | None = None) -> list[FloatImage]:
    """The pass over the segment's maps in memory."""
    network = load_model(MODEL, device="cpu").network
    with open_run(path) as run:
        counts = np.stack([run.read_window(row) for row in run.windows("counts", segment)])
        present = stored_mask(run, segment)
    if lookahead is None:
        return [picture for _, picture in full_pass(network, counts, present)]
    return [p.probability.numpy() for p in bounded_pass(StreamingEngine(network, lookahead, 4), counts, present)]


def test_full_is_the_offline_pass_also_where_windows_are_missing(refined: Path) -> None:
    pictures = full_pictures(refined)
    with open_run(refined) as run:
        assert stored_mask(run, 0).min() < 1.0
        assert [row.lookahead for row in run.windows("full", 0)] == list(range(WINDOWS - 1, -1, -1))
    for segment, n_windows in ((0, WINDOWS), (1, WINDOWS + 1)):
        expected = offline(refined, segment)
        assert len(expected) == n_windows
        assert np.ptp(expected) > 0.5  # there is something to see
        for t, picture in enumerate(expected):
            assert np.abs(pictures[segment, t] / np.float32(255) - picture).max() <= STORED
    report = verify_run(refined)
    assert (report.ok, report.windows["full"]) == (True, 2 * WINDOWS + 1), report.problems
    with open_run(refined) as run:
        assert run.status == "complete"
        assert run.full is not None and run.full.zarr.shape[0] == WINDOWS


def test_a_small_budget_gives_the_same_pictures(folder: Path, refined: Path) -> None:
    with open_refinement(folder, RefineSettings(memory_mb=5), device="cpu") as refinement:
        assert refinement.facts.tile_px is None
        # Less than it takes to hold the features of all windows.
        assert refinement.planned_bytes <= 5_000_000 < 48 * 48 * 4 * (1 + 27) * WINDOWS
        refinement.run()
    found, expected = full_pictures(folder), full_pictures(refined)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_bounded_lookahead_is_the_live_pass(folder: Path) -> None:
    summary = refine(folder, RefineSettings(lookahead=3))
    assert summary.written == summary.n_full == summary.n_counts == 2 * WINDOWS + 1
    pictures = full_pictures(folder)
    for t, picture in enumerate(offline(folder, 0, lookahead=3)):
        assert np.abs(pictures[0, t] / np.float32(255) - picture).max() <= STORED
    with open_run(folder) as run:
        # Groups of four that wait for three more; what is left at the end has what there is.
        assert [row.lookahead for row in run.windows("full", 0)][:8] == [6, 5, 4, 3, 6, 5, 4, 3]
        assert [row.lookahead for row in run.windows("full", 0)][-4:] == [3, 2, 1, 0]


@pytest.mark.parametrize("lookahead", ["full", 2])
def test_tiles_equal_the_whole(tmp_path: Path, lookahead: int) -> None:
    # 48 pixels of halo are stated for the network; the field is so large that tiles in it do not see all of it.
    write_run(tmp_path / "whole.run", make_videos([180], 10))
    tiled = Path(shutil.copytree(tmp_path / "whole.run", tmp_path / "tiled.run"))
    refine(tmp_path / "whole.run", RefineSettings(lookahead))
    refine(tiled, RefineSettings(lookahead, tile_px=60))
    whole, pictures = full_pictures(tmp_path / "whole.run"), full_pictures(tiled)
    assert len(pictures) == 10
    # The stated tolerance is half a grey level, so that what is stored differs by at most one.
    assert max(int(np.abs(whole[key].astype(int) - pictures[key]).max()) for key in whole) <= 1
    with open_run(tmp_path / "whole.run") as a, open_run(tiled) as b:
        assert [row.lookahead for row in a.windows("full")] == [row.lookahead for row in b.windows("full")]
        assert b.full_facts is not None and (b.full_facts.tile_px, b.full_facts.halo_px) == (60, 48)
    assert verify_run(tiled).ok
    assert not (tiled / "refine.partial").exists()


def test_a_field_that_does_not_fit_is_cut_into_tiles(tmp_path: Path) -> None:
    write_run(tmp_path / "large.run", make_videos([300], 2))
    with pytest.raises(ConfigError, match=r"at least \d+ MB"):
        open_refinement(tmp_path / "large.run", RefineSettings(memory_mb=1), device="cpu")
    with open_refinement(tmp_path / "large.run", RefineSettings(memory_mb=88), device="cpu") as refinement:
        assert refinement.facts.tile_px == 128
        assert refinement.n_tiles == 9


@pytest.mark.parametrize(
    ("die_after", "tile_px"),
    [
        pytest.param(WINDOWS + 3, None, id="in the second segment"),
        pytest.param(WINDOWS + 18, 32, id="in the second tile"),
    ],
)
def test_a_killed_refinement_goes_on_and_ends_as_if_nothing_had_happened(
    folder: Path, refined: Path, repository: Path, die_after: int, tile_px: int | None
) -> None:
    program = [sys.executable, str(Path(__file__).with_name("stored_run.py")), str(folder)]
    options = ["--die-after", str(die_after), *(["--tile-px", str(tile_px)] if tile_px else [])]
    died = subprocess.run([*program, *options], check=False, env=_environment(repository), timeout=120)
    assert died.returncode != 0
    before = full_pictures(folder)
    report = verify_run(folder)
    assert report.ok, report.problems
    assert any("refine" in note for note in report.notes)
    summary = refine(folder)  # tiles as they were begun
    assert summary.written == 2 * WINDOWS + 1 - len(before)
    found, expected = full_pictures(folder), full_pictures(refined)
    assert found.keys() == expected.keys()
    for key, picture in expected.items():
        if tile_px is None:
            assert np.array_equal(found[key], picture)
        assert np.abs(found[key].astype(int) - picture).max() <= 1
        if key in before:
            assert np.array_equal(found[key], before[key])
    assert verify_run(folder).ok
    assert not (folder / "refine.partial").exists()


def _environment(repository: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repository)}


def test_what_was_stopped_goes_on(folder: Path, refined: Path) -> None:
    steps: list[int] = []
    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        first = refinement.run(steps.append, lambda: len(steps) >= 6)
    assert first.stopped_early and 0 < first.written < WINDOWS
    assert verify_run(folder).ok
    second = refine(folder)
    assert not second.stopped_early and first.written + second.written == second.n_full == 2 * WINDOWS + 1
    found, expected = full_pictures(folder), full_pictures(refined)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert refine(folder).written == 0


def test_one_video_is_not_put_together_from_two(refined: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"lookahead 4 \(was None\)"):
        open_refinement(refined, RefineSettings(lookahead=4), device="cpu")
    with pytest.raises(StoreError, match=r"tile_px 16 \(was None\)"):
        open_refinement(refined, RefineSettings(tile_px=16), device="cpu")
    with pytest.raises(StoreError, match="model mitochondria"):
        open_refinement(refined, RefineSettings(), model="mitochondria", device="cpu")
    assert verify_run(refined).ok


def test_a_model_that_is_another_by_now_is_refused_by_name(tmp_path: Path) -> None:
    write_run(tmp_path / "old.run", make_videos([16], 2), model_sha256="f" * 64)
    with pytest.raises(ModelError, match=f"{MODEL}.*ffffffffffff"):
        open_refinement(tmp_path / "old.run", RefineSettings(), device="cpu")
    assert refine(tmp_path / "old.run", model=MODEL).written == 2


def test_a_model_of_another_grid_is_refused(folder: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", LightNetwork(), name="m", pixel_size_nm=25.0, threshold=0.5)
    with pytest.raises(ModelError, match="40 nm"):
        open_refinement(folder, RefineSettings(), model=str(tmp_path / "m.safetensors"), device="cpu")


def test_a_run_that_is_being_written_is_refused(folder: Path) -> None:
    with RunWriter.append_to(folder), pytest.raises(StoreError, match="another process"):
        open_refinement(folder, RefineSettings(), device="cpu")
