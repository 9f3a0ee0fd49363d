"""What a power cut leaves: logs that end anywhere hold a whole prefix of what was committed, and nothing is made worse.

The logs are cut where they would be torn: at offsets over the whole of them, and closely over the last commits.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_disk  # noqa: F401  # finds `synthetic`
from synthetic import GRID, INFO, WINDOW_FRAMES, balanced_ledger, make_segment, write_window

from dblink_live.errors import StoreError
from dblink_live.store import CommittedWindow, RunWriter, open_run, verify_run

N_WINDOWS = 7
N_CLOSELY = 3
"""Windows at the end of the log that are cut in small steps."""
COARSE, FINE = 1021, 53
"""Bytes between two cuts: primes, so that they fall on all parts of SQLite's frames of 24 + 4096 bytes."""


class Interrupted:
    """A run whose writer died before its logs were folded into the databases."""

    def __init__(self, folder: Path, n_begun: int) -> None:
        self.folder = folder
        self.n_begun = n_begun
        """Bytes of the journal's log before the first window: its tables, the run and the segment."""
        self.logs = {name: folder / f"{name}.sqlite-wal" for name in ("journal", "localizations")}
        self.whole = {name: log.read_bytes() for name, log in self.logs.items()}
        self.rows = self.committed()

    def set_log(self, name: str, content: bytes) -> None:
        """Put another log in its place; the index is made anew from it."""
        self.logs[name].write_bytes(content)
        self.folder.joinpath(f"{name}.sqlite-shm").unlink(missing_ok=True)

    def committed(self) -> list[CommittedWindow]:
        with open_run(self.folder) as run:
            return sorted(run.windows(), key=lambda row: row.t_commit_ns)


@pytest.fixture
def interrupted(tmp_path: Path) -> Interrupted:
    with RunWriter.create(tmp_path / "living", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        n_begun = (tmp_path / "living" / "journal.sqlite-wal").stat().st_size
        for window in range(N_WINDOWS):
            write_window(writer, 0, window)
            writer.flush()
        # A copy of the files as they are while the writer holds them: a death of the machine.
        shutil.copytree(tmp_path / "living", tmp_path / "dead")
        writer.write_ledger(0, balanced_ledger(N_WINDOWS))
    return Interrupted(tmp_path / "dead", n_begun)


def _offsets(log: bytes) -> Iterator[int]:
    n_closely = len(log) * N_CLOSELY // N_WINDOWS
    yield from range(0, len(log) - n_closely, COARSE)
    yield from range(len(log) - n_closely, len(log), FINE)
    yield len(log)


def test_a_journal_that_is_cut_anywhere_holds_a_prefix_of_what_was_committed(interrupted: Interrupted) -> None:
    whole = interrupted.whole["journal"]
    n_before = 0
    n_looked = {n: 0 for n in range(len(interrupted.rows) + 1)}
    for offset in _offsets(whole):
        interrupted.set_log("journal", whole[:offset])
        try:
            rows = interrupted.committed()
        except StoreError as error:
            # So early that not even the tables were committed: no run had begun, and that is said.
            assert n_before == 0 and "journal" in str(error)
            continue
        assert rows == interrupted.rows[: len(rows)]
        assert len(rows) >= n_before
        if n_looked[len(rows)] == 0:
            report = verify_run(interrupted.folder)
            assert report.ok, (offset, report.problems)
            assert (report.status, sum(report.windows.values())) == ("interrupted", len(rows))
        n_looked[len(rows)] += 1
        n_before = len(rows)
    # A window's rows may come in one commit or in two, but cuts fell into most of them, and the last one was reached.
    assert sum(n > 0 for n in n_looked.values()) >= N_WINDOWS
    assert n_before == len(interrupted.rows)


def test_a_journal_with_a_wrong_byte_holds_a_prefix_too(interrupted: Interrupted) -> None:
    """A sector that never reached the disk holds what was there before."""
    whole = interrupted.whole["journal"]
    chance = random.Random(5)
    lengths = set()
    for _ in range(150):
        at = chance.randrange(interrupted.n_begun, len(whole))
        interrupted.set_log("journal", whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
        rows = interrupted.committed()
        assert rows == interrupted.rows[: len(rows)]
        lengths.add(len(rows))
    assert len(lengths) > 3


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_run_with_a_cut_journal_is_taken_up(interrupted: Interrupted, share: float) -> None:
    whole = interrupted.whole["journal"]
    # Windows may be committed by twos, in which case the log is shorter: the share is of what came after the beginning.
    interrupted.set_log("journal", whole[: interrupted.n_begun + int((len(whole) - interrupted.n_begun) * share)])
    rows = interrupted.committed()
    assert 0 < len(rows) < len(interrupted.rows)
    done = {(row.product, row.window) for row in rows}
    with RunWriter.resume(interrupted.folder) as writer:
        for window in range(N_WINDOWS):
            if ("counts", window) not in done:
                write_window(writer, 0, window)
        writer.write_ledger(0, balanced_ledger(N_WINDOWS))
    report = verify_run(interrupted.folder)
    # A map whose picture was cut off has none: `dblink-live resume` makes it again, this writer has no network.
    assert report.ok and report.windows["counts"] == N_WINDOWS, report.problems
    with open_run(interrupted.folder) as run:
        kept = {row for row in run.windows() if row in rows}
        assert kept == set(rows)


def test_localizations_that_the_disk_forgot_are_named(interrupted: Interrupted) -> None:
    """They are flushed before the rows that speak of them; a drive that lies about flushing is found out."""
    whole = interrupted.whole["localizations"]
    interrupted.set_log("localizations", whole[: len(whole) * 3 // 4])
    with sqlite3.connect(interrupted.folder / "localizations.sqlite") as database:
        kept = {window for (window,) in database.execute("SELECT window FROM localizations")}
    database.close()
    assert 0 < len(kept) < N_WINDOWS
    problems = verify_run(interrupted.folder).problems
    lost = sorted(set(range(N_WINDOWS)) - kept)
    assert len(problems) == len(lost)
    for window, problem in zip(lost, sorted(problems), strict=True):
        assert f"window {window}" in problem and "localizations" in problem and "found none" in problem


def test_metadata_is_flushed_before_the_first_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[int] = set()
    fsync = os.fsync

    def remember(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        root = tmp_path / "run" / "run.ome.zarr"
        files = {path.relative_to(root).as_posix(): path.stat().st_ino for path in root.rglob("zarr.json")}
        # The root's is replaced once more, to describe the run: where that is lost, the flushed one is left.
        unflushed = {name for name, number in files.items() if number not in flushed}
        assert len(files) == 6 and unflushed <= {"zarr.json"}


def test_a_series_with_committed_windows_is_never_made_anew(interrupted: Interrupted) -> None:
    """A list of series that was lost is an error, and no reason to delete what it listed."""
    listing = interrupted.folder / "run.ome.zarr" / "OME" / "zarr.json"
    content = listing.read_text(encoding="utf-8")
    listing.unlink()
    with pytest.raises(StoreError, match="7 committed windows"), RunWriter.resume(interrupted.folder) as writer:
        write_window(writer, 0, N_WINDOWS)
    listing.write_text(content, encoding="utf-8")
    assert verify_run(interrupted.folder).ok
    assert interrupted.committed() == interrupted.rows
