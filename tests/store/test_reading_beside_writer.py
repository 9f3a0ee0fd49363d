"""A reader in this process beside a writer in another one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaozarrs
from synthetic import make_map, make_picture

from dblink_live.store import checksum, encode_probability, open_run, verify_run

WRITER = Path(__file__).with_name("synthetic.py")
N_WINDOWS = 300  # past the first growth of the arrays
DEADLINE_S = 120.0


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes 300 windows into ``tmp_path / "run"`` and finalizes it."""
    # The pause keeps it from being over before a reader on a busy machine has looked a second time.
    options = ["--windows", str(N_WINDOWS), "--pause-s", "0.01"]
    command = [sys.executable, str(WRITER), str(tmp_path / "run"), str(tmp_path / "published"), *options]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for_first_window(run: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + DEADLINE_S
    while time.perf_counter() < deadline:
        assert process.poll() in (None, 0), "the writer failed"
        if (run / "journal.sqlite").exists():
            try:
                with open_run(run) as opened:
                    if opened.committed_count("counts") > 0:
                        return
            except Exception as error:
                # The journal's tables come in one transaction: before it there is a file and no run.
                assert "readable database" in str(error), error
        time.sleep(0.01)
    pytest.fail(f"no window was committed within {DEADLINE_S} s")


def test_every_committed_window_is_readable_at_once_and_identical(
    tmp_path: Path, writing: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "run"
    _wait_for_first_window(path, writing)
    with open_run(path) as run:
        seen = {"counts": 0, "live": 0}
        n_looks_at_the_edge = 0
        while True:
            is_over = run.status == "complete"
            for product in ("counts", "live"):
                array = run.array(product)
                assert array is not None
                new = range(seen[product], len(array))
                n_looks_at_the_edge += len(new) > 0 and not is_over
                # From the newest down: that is where an array which shows its shape before its data would be caught.
                for window in reversed(new):
                    expected: npt.NDArray[Any]
                    if product == "counts":
                        expected = make_map(0, window)[0].counts
                        np.testing.assert_array_equal(run.localizations(0, window), make_map(0, window)[1])
                    else:
                        expected = encode_probability(make_picture(0, window), "uint8")
                    np.testing.assert_array_equal(array[window], expected)
                seen[product] = len(array)
            if is_over:
                break
            assert writing.poll() in (None, 0), "the writer failed"
        assert seen == {"counts": N_WINDOWS, "live": N_WINDOWS - 3}
        # The reader must have raced with the writer for this to mean anything.
        assert n_looks_at_the_edge >= 3
    assert writing.wait(DEADLINE_S) == 0
    assert verify_run(path).to_json_dict()["problems"] == []


def test_valid_while_another_process_writes(tmp_path: Path, writing: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "run"
    _wait_for_first_window(path, writing)
    n_checks = 0
    while writing.poll() is None and n_checks < 5:
        yaozarrs.validate_zarr_store(str(path / "run.ome.zarr"))
        report = verify_run(path)
        assert report.ok, report.problems
        n_checks += report.status == "running"
    assert n_checks >= 1
    assert writing.wait(DEADLINE_S) == 0
    with open_run(path) as run:
        row = run.windows("counts")[17]
        assert checksum(run.read_window(row)) == row.checksum


@pytest.mark.parametrize("program", ["zarr", "tensorstore", "napari-ome-zarr"])
def test_programs_that_know_nothing_of_the_journal_read_committed_windows(
    tmp_path: Path, program: str, repository: Path
) -> None:
    # Not imported here: its warnings are its own.
    if program == "napari-ome-zarr" and find_spec("napari_ome_zarr") is None:
        pytest.skip("napari-ome-zarr is not installed")
    path = tmp_path / "run"
    command = [sys.executable, str(WRITER), str(path), str(tmp_path / "published"), "--pause-s", "0.01"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    process = subprocess.Popen(command, env=environment)  # it writes on and on
    try:
        _wait_for_first_window(path, process)
        reader = [sys.executable, str(Path(__file__).with_name("foreign_reader.py")), str(path), program, "20"]
        done = subprocess.run(reader, check=True, capture_output=True, text=True, env=environment)
    finally:
        process.kill()
        process.wait()
    assert done.stdout.splitlines()[-1] == "compared 20, of which 0 were wrong"
