"""Tiles and runs by several workers at once: the same pictures, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from stored_run import MODEL, make_videos, write_run

from dblink_live.cli import main
from dblink_live.errors import ConfigError, StoreError
from dblink_live.models import load_model
from dblink_live.refine import RefineSettings, cluster, open_refinement
from dblink_live.refine.plan import Stretch, choose_tile
from dblink_live.refine.scratch import Permit
from dblink_live.refine.tile_job import run_tile_job
from dblink_live.store import open_run, verify_run
from dblink_live.types import Shape

WINDOWS = 20


@pytest.fixture(scope="module")
def unrefined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "two_segments.run"
    write_run(path, make_videos([48, 32], WINDOWS))
    return path


def full_pictures(path: Path) -> dict[tuple[int, int], np.ndarray]:
    with open_run(path) as run:
        return {(row.segment, row.window): run.read_window(row) for row in run.windows("full")}


def lookaheads(path: Path) -> list[int | None]:
    with open_run(path) as run:
        return [row.lookahead for row in run.windows("full")]


@pytest.mark.slow
def test_two_runs_by_two_workers_of_which_one_dies(unrefined: Path, tmp_path: Path) -> None:
    """Each segment is one job here, so that the pictures are those of a single process to the bit."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    alone, *together = (Path(shutil.copytree(unrefined, tmp_path / name)) for name in ("alone", "one", "other"))
    with open_refinement(alone, RefineSettings(), device="cpu") as refinement:
        refinement.run()
    steps: list[int] = []
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(cluster.start_workers(2))
        pids = client.run(os.getpid)
        assert len(set(pids.values())) == 2
        settings = RefineSettings(n_workers=1)
        refinements = [stack.enter_context(open_refinement(path, settings, device="cpu")) for path in together]
        assert all(refinement.facts.tile_px is None for refinement in refinements)
        # Neither can be caught: SIGKILL, or TerminateProcess on Windows. Dask starts another in its place.
        os.kill(next(iter(pids.values())), getattr(signal, "SIGKILL", signal.SIGTERM))
        summaries = cluster.refine_together(refinements, client, steps.append)
    assert [summary.written for summary in summaries] == [2 * WINDOWS + 1] * 2
    assert steps[-1] == 2 * (2 * WINDOWS + 1)
    expected = full_pictures(alone)
    for path in together:
        found = full_pictures(path)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
        assert lookaheads(path) == lookaheads(alone)
        assert verify_run(path).ok
        assert not (path / "refine.partial").exists()


@pytest.mark.slow
def test_the_command_divides_a_field_among_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    write_run(tmp_path / "whole.run", make_videos([150], 8))
    tiled = Path(shutil.copytree(tmp_path / "whole.run", tmp_path / "tiled.run"))
    assert main(["refine", str(tmp_path / "whole.run"), "--device", "cpu"]) == 0
    assert main(["refine", str(tiled), "--device", "cpu", "--workers", "2"]) == 0
    assert "in 4 tiles of 128 pixels" in capsys.readouterr().out
    whole, pictures = full_pictures(tmp_path / "whole.run"), full_pictures(tiled)
    # The halo's stated tolerance is half a grey level, so that what is stored differs by at most one.
    assert max(int(np.abs(whole[key].astype(int) - pictures[key]).max()) for key in whole) <= 1
    assert verify_run(tiled).ok


def test_a_job_goes_on_where_another_worker_died_and_stops_without_its_permit(unrefined: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(unrefined, tmp_path / "cells.run"))
    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        permit = Permit(folder)
        work = refinement.work[0]
        (job,) = refinement.jobs(work, permit, threads=0)
        assert job.first == 0 and job.model == MODEL
        permit.revoke()
        assert not run_tile_job(job)
        # A block of windows is the least that is done.
        assert refinement.scratch(work).n_done(job.tile) == 16
        permit = Permit(folder)
        (job,) = refinement.jobs(work, permit, threads=0)
        assert run_tile_job(job)
        assert refinement.scratch(work).n_done(job.tile) == WINDOWS
        with pytest.raises(StoreError, match="delete it and refine again"):
            next(iter((folder / "refine.partial" / "segment_0").glob("*.npy"))).write_bytes(b"")
            refinement.assemble(work)
        later = Permit(folder)  # of the next refinement: what an earlier one left behind stops
        assert not permit.path.exists() and later.path.exists()


def test_workers_go_on_where_one_process_was_stopped_also_where_windows_are_missing(tmp_path: Path) -> None:
    folder = tmp_path / "cells.run"
    write_run(folder, make_videos([32], 40))
    journal = sqlite3.connect(folder / "journal.sqlite")
    journal.execute("DELETE FROM committed WHERE window IN (5, 6, 7)")
    journal.commit()
    journal.close()
    whole = Path(shutil.copytree(folder, tmp_path / "whole.run"))
    with open_refinement(whole, RefineSettings(), device="cpu") as refinement:
        assert refinement.run().written == 37
    steps: list[int] = []
    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        refinement.run(steps.append, lambda: len(steps) > 20)
    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        (work,) = refinement.work
        assert work.first > 16
        permit = Permit(folder)
        (job,) = refinement.jobs(work, permit, threads=0)
        assert run_tile_job(job)
        refinement.assemble(work)
        permit.revoke()
        assert refinement.finish(is_whole=True).n_full == 37
    expected, found = full_pictures(whole), full_pictures(folder)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert not (folder / "refine.partial").exists()


def test_tiles_are_cut_so_that_no_worker_is_idle_where_the_field_gives_as_many() -> None:
    network = load_model(MODEL, "cpu").network
    plenty = 10**12

    def side(n_wanted: int, *fields: int) -> int | None:
        return choose_tile(network, [Stretch(100, Shape(field, field)) for field in fields], None, plenty, n_wanted)

    assert side(1, 2048) is None
    assert side(2, 2048, 2048) is None  # a segment each
    assert side(2, 2048) == 1024
    assert side(5, 2048) == 512
    assert side(2, 100) is None  # too small to be cut
    assert side(100, 512) == 128  # sixteen are better than one


def test_without_a_scheduler_the_command_says_what_to_do(
    unrefined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    folder = Path(shutil.copytree(unrefined, tmp_path / "cells.run"))
    assert main(["refine", str(folder), "--dask", "tcp://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert "dask scheduler" in error and error.count("\n") == 1
    with pytest.raises(ConfigError, match="expected a Dask scheduler"), cluster.connect("nonsense://"):
        pass
