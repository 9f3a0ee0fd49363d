"""Check a run folder: everything committed is present and intact, and the ledger balances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dblink_live.errors import StoreError
from dblink_live.store.arrays import checksum
from dblink_live.store.hierarchy import FOLDER_NAME
from dblink_live.store.journal import PRODUCTS, CommittedWindow, LedgerDict, Status, StoredSegment
from dblink_live.store.lock import is_being_written
from dblink_live.store.reader import Run, open_run
from dblink_live.store.series import specs_of
from dblink_live.store.verify.array_tail import check_tail
from dblink_live.store.verify.ledger import balance_problems, ledger_from_journal
from dblink_live.store.verify.ome_zarr import check_hierarchy
from dblink_live.store.verify.raw import check_raw
from dblink_live.types import Gap, Localizations

MAX_PROBLEMS = 100
"""Listed by name; of the rest the number is told."""
_SATURATED = np.iinfo(np.uint16).max


@dataclass
class VerifyReport:
    """What `verify_run` found."""

    status: Status
    """An interrupted or running state is a fact, not a problem."""
    windows: dict[str, int]
    """Committed windows a product."""
    ledger: dict[int, LedgerDict] = field(default_factory=dict)
    """Of each segment: the stored one, or for a segment without one what the journal still knows."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and not wrong."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json_dict(self) -> dict[str, object]:
        """Plain values, with the keys that `dblink-live verify --json` promises."""
        shown = self.problems[:MAX_PROBLEMS]
        if len(self.problems) > MAX_PROBLEMS:
            shown.append(f"... and {len(self.problems) - MAX_PROBLEMS} more")
        return {
            "ok": self.ok,
            "problems": shown,
            "windows": dict(self.windows),
            "ledger": {str(segment): ledger for segment, ledger in self.ledger.items()},
            "status": self.status,
            "notes": self.notes,
        }


def verify_run(path: str | Path, on_progress: Callable[[int, int], None] = lambda done, total: None) -> VerifyReport:
    """Check a run; it may be finished, interrupted or, as far as it has got, still being written.

    Checked are: both databases' own integrity; every committed window's pixels against the checksum taken when they
    were handed over; its localizations, and their number against the map; the OME-Zarr hierarchy, and what lies at the
    end of each of its arrays; each segment's ledger, in itself and against the committed windows; and the camera frames
    where they were recorded.

    Parameters
    ----------
    path
        The run folder.
    on_progress
        Called with the windows checked and their total.

    Raises
    ------
    StoreError
        The folder is no run at all.
    """
    with open_run(path) as run:
        # Before the rest: a run that is completed in between is then still called running, which asks less of it.
        status = run.status
        with run.snapshot():
            known = _Journal(run.windows(), run.segments, run.gaps, run.ledger)
        found = {name: sum(row.product == name for row in known.rows) for name in PRODUCTS}
        # Few runs have mended windows or predicted errors; a zero would only be asked about.
        report = VerifyReport(status, {name: n for name, n in found.items() if n or name not in ("mended", "error")})
        report.problems += run.damage()
        _check_arrays(run, known, report)
        _check_pairs(known.rows, report)
        segments = {stored.segment.index: stored for stored in known.segments}
        for done, row in enumerate(known.rows):
            problem = _check_window(run, row, segments.get(row.segment))
            if problem is not None:
                report.problems.append(problem)
            on_progress(done + 1, len(known.rows))
        _check_ledgers(known, report)
        problems, notes = check_raw(run.path)
        report.problems += problems
        report.notes += notes
        n_maps, n_full = len(_maps(known.rows)), report.windows["full"]
        if found["mended"]:
            report.notes.append(
                f"{found['mended']} windows that lacked frames were made whole from raw ones (`mended`)"
            )
        if run.full_facts is not None and n_full < n_maps:
            report.notes.append(f"the full pass covers {n_full} of {n_maps} windows; `dblink-live refine` goes on")
        if status == "interrupted":
            report.notes.append("the run was interrupted: how many frames were lost in the interruption is unknown")
        elif status != "complete":
            report.notes.append("the run is being written: checked is what was committed when verify began")
    return report


@dataclass(frozen=True)
class _Journal:
    """What the journal says at one moment."""

    rows: list[CommittedWindow]
    segments: list[StoredSegment]
    gaps: list[Gap]
    ledgers: dict[int, LedgerDict]


def _check_arrays(run: Run, known: _Journal, report: VerifyReport) -> None:
    if not known.segments:
        report.notes.append("no segment was begun, so there are no arrays")
        return
    places: dict[str, list[int]] = {}
    for row in known.rows:
        places.setdefault(row.series, []).append(row.array_index)
    for name, taken in places.items():
        if sorted(taken) != list(range(len(taken))):
            report.problems.append(
                f"series {name}: expected committed windows side by side, found gaps among {len(taken)} of them"
            )
    committed = {name: len(taken) for name, taken in places.items()}
    specs = specs_of(known.segments, run.facts)
    specs = [spec for spec in specs if spec.product in ("counts", "live") or spec.name in committed]
    root = run.path / FOLDER_NAME
    report.problems += check_hierarchy(root, specs, committed)
    # A complete run to which a pass is being added has a tail there, until that pass is finalized.
    is_trimmed = report.status == "complete" and not is_being_written(run.path)
    for spec in specs:
        must_be_trimmed = is_trimmed and spec.product in ("counts", "live", "error")
        problems, notes = check_tail(root, spec, committed.get(spec.name, 0), must_be_trimmed)
        report.problems += [f"series {spec.name}: {text}" for text in problems]
        report.notes += [f"series {spec.name}: {text}" for text in notes]


def _check_pairs(rows: list[CommittedWindow], report: VerifyReport) -> None:
    """Every picture belongs to a stored map."""
    maps = _maps(rows)
    for row in rows:
        if (row.segment, row.window) not in maps:
            report.problems.append(f"{_name(row)}: expected its map to be committed, found none")


def _maps(rows: list[CommittedWindow]) -> set[tuple[int, int]]:
    """Segment and window of every map, whether live processing counted it or it was mended."""
    return {(row.segment, row.window) for row in rows if row.product in ("counts", "mended")}


def _check_window(run: Run, row: CommittedWindow, stored: StoredSegment | None) -> str | None:
    """The first thing that is wrong with one window."""
    if stored is None:
        return f"{_name(row)}: its segment is not in the journal"
    try:
        image = run.read_window(row)
    except Exception as error:  # damaged bytes make codecs fail in their own ways
        return f"{_name(row)}: cannot be read: {error.__cause__ or error}"
    if checksum(image) != row.checksum:
        place = f"{FOLDER_NAME}/{row.series}/0 at t = {row.array_index}"
        return f"{_name(row)}: its pixels in {place} differ from what was committed"
    if row.product != "counts" and row.product != "mended":
        return None
    try:
        localizations = run.localizations(row.segment, row.window, row.product)
    except StoreError as error:
        return f"{_name(row)}: {error}"
    if len(localizations) != row.n_localizations:
        return f"{_name(row)}: expected {row.n_localizations} localizations, found {len(localizations)}"
    if image.max(initial=0) == _SATURATED:
        return None
    counted = int(image.sum(dtype=np.int64))
    expected = _n_inside(localizations, stored)
    if expected is None:
        return (
            f"{_name(row)}: {counted} counts of {len(localizations)} localizations"
            if counted > len(localizations)
            else None
        )
    return (
        None
        if counted == expected
        else f"{_name(row)}: expected {expected} counts for its localizations, found {counted}"
    )


def _n_inside(localizations: Localizations, stored: StoredSegment) -> int | None:
    """Localizations that lie on the grid; None where the camera pixel is unknown."""
    if stored.pixel_size_nm is None:
        return None
    rows, cols = stored.grid.index_of(localizations["y"], localizations["x"], stored.pixel_size_nm)
    height, width = stored.grid.shape
    return int(((rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)).sum())


def _check_ledgers(known: _Journal, report: VerifyReport) -> None:
    for stored in known.segments:
        index = stored.segment.index
        counted = ledger_from_journal(index, known.rows, known.gaps, crashed=report.status == "interrupted")
        ledger = known.ledgers.get(index)
        if ledger is not None:
            problems, notes = balance_problems(ledger, counted)
            report.problems += [f"ledger of segment {index}: {text}" for text in problems]
            report.notes += [f"ledger of segment {index}: {text}" for text in notes]
        elif report.status == "complete" and counted["committed"]:
            report.problems.append(f"ledger of segment {index}: expected one in a complete run, found none")
        report.ledger[index] = ledger or counted


def _name(row: CommittedWindow) -> str:
    return f"{row.product} of segment {row.segment}, window {row.window}"
