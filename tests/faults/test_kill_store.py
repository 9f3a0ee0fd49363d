"""kill -9 of a process that writes a run: what was committed is whole and is what was published."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr
from kill_harness import CrashFinding, examine, read_published, run_and_kill

from dblink_live.errors import StoreError
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import LocalizationMap, Reconstruction, RunInfo, empty_localizations

REPOSITORY = Path(__file__).parents[2]
WRITER = REPOSITORY / "tests" / "store" / "synthetic.py"


def _command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, str(WRITER), str(folder / "run"), str(folder / "published"), *options]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child finds the package also where it is not installed."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


# Fixed seeds make the moments repeatable as far as a scheduler lets them; the harness as a program draws others.
@pytest.mark.parametrize("seed", range(5))
def test_killed_while_it_writes(tmp_path: Path, seed: int) -> None:
    delay_s = random.Random(seed).uniform(0.0, 0.6)
    finding = run_and_kill(_command(tmp_path), tmp_path / "run", delay_s, published=tmp_path / "published")
    print(finding)
    assert finding.problems == []
    assert not finding.had_ended
    if finding.status == "no run yet":
        return
    assert finding.status == "interrupted"
    assert finding.n_compared == sum(finding.committed.values())
    root = tmp_path / "run" / "run.ome.zarr"
    if (root / "zarr.json").exists():
        yaozarrs.validate_zarr_store(str(root))
        with open_run(tmp_path / "run") as run:
            rows = run.windows()
            for row in rows:
                # Plain zarr, which knows nothing of the journal, reads the same.
                np.testing.assert_array_equal(
                    zarr.open_array(root / row.series / "0", mode="r")[row.array_index], run.read_window(row)
                )


def test_a_killed_run_can_be_continued_where_its_last_commit_was(tmp_path: Path) -> None:
    finding = run_and_kill(_command(tmp_path), tmp_path / "run", 0.5, published=tmp_path / "published")
    with open_run(tmp_path / "run") as run:
        if not run.segments:
            pytest.skip(f"this machine was too slow to begin a segment: {finding}")
        before = {row: run.read_window(row) for row in run.windows()}
        (stored,) = run.segments
        n_counts, n_live = run.committed_count("counts"), run.committed_count("live")
    with RunWriter.append_to(tmp_path / "run") as writer:
        counts = np.full(stored.grid.shape, 3, np.uint16)
        start = n_counts * 10
        writer.write_map(LocalizationMap(0, n_counts, start, start + 10, counts, stored.grid), empty_localizations())
        writer.write_reconstruction(Reconstruction(0, n_counts, np.ones(stored.grid.shape, np.float32), "bounded", 0))
    with open_run(tmp_path / "run") as run:
        assert run.status == "interrupted"  # a run with a hole stays marked
        assert run.counts is not None and run.live is not None
        assert run.counts.zarr.shape[0] == n_counts + 1 and run.live.zarr.shape[0] == n_live + 1
        # The places that were half written when the process died are taken by what came next.
        assert (run.counts[n_counts] == 3).all() and (run.live[n_live] == 255).all()
        for row, pixels in before.items():
            np.testing.assert_array_equal(run.read_window(row), pixels)
    # The maps of threes have no localizations: the only thing wrong.
    problems = verify_run(tmp_path / "run").problems
    assert len(problems) == 1 and f"window {n_counts}" in problems[0]


def test_killed_in_its_first_moments(tmp_path: Path) -> None:
    """Whatever was made by then, it is no run, or a whole one; and it is never written over."""
    finding = run_and_kill(_command(tmp_path), tmp_path / "run", 0.0, published=tmp_path / "published")
    assert finding.problems == []
    info = RunInfo(uuid="2", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
    with pytest.raises(StoreError, match="not empty"):
        RunWriter.create(tmp_path / "run", info, window_frames=10)


def test_the_harness_can_fail(tmp_path: Path) -> None:
    """It notices a command that ends by itself, a window that differs, and one that nobody published."""
    command = _command(tmp_path, "--windows", "5")
    finding = run_and_kill(command, tmp_path / "run", 60.0, published=tmp_path / "published")
    assert finding.had_ended and finding.status == "complete" and finding.problems == []
    assert finding.committed == {"counts": 5, "live": 2, "full": 0} and finding.n_compared == 7
    published = read_published(tmp_path / "published")
    published["counts", 0, 2] = "00" * 16
    del published["live", 0, 1]
    again = CrashFinding(killed_after_s=0.0, had_ended=True)
    examine(tmp_path / "run", again, published)
    assert again.problems == [
        "counts window 2 differs from what was published",
        "live window 1 is committed and was never published",
    ]


def test_the_harness_refuses_a_command_that_writes_no_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit status 3"):
        run_and_kill([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "run", 0.0)
