"""`verify_run` finds each kind of damage, and takes nothing else for one."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from synthetic import GRID, INFO, WINDOW_FRAMES, balanced_ledger, make_map, make_segment, write_run

from dblink_live.store import RunWriter, SegmentCounts, open_run, verify_run
from dblink_live.types import Gap, GapCause, Grid, Reconstruction, Shape

N_WINDOWS = 6


def _shard(run: Path, series: str, index: int) -> Path:
    return run / "run.ome.zarr" / series / "0" / "c" / str(index) / "0" / "0"


def _flip_a_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def _sql(run: Path, statement: str, file: str = "journal.sqlite") -> None:
    connection = sqlite3.connect(run / file)
    connection.execute(statement)
    connection.commit()
    connection.close()


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    change(metadata)
    path.write_text(json.dumps(metadata), encoding="utf-8")


def _corrupt_shard(run: Path) -> None:
    path = _shard(run, "counts", 2)
    _flip_a_byte(path, path.stat().st_size // 3)


def _delete_shard(run: Path) -> None:
    _shard(run, "live", 1).unlink()


def _truncate_shard(run: Path) -> None:
    path = _shard(run, "counts", 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swap_shards(run: Path) -> None:
    first, second = _shard(run, "counts", 0), _shard(run, "counts", 1)
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def _shorten_array(run: Path) -> None:
    _edit(run / "run.ome.zarr" / "counts" / "0" / "zarr.json", lambda m: m.update(shape=[4, 37, 53]))


def _leave_room(run: Path) -> None:
    _edit(run / "run.ome.zarr" / "live" / "0" / "zarr.json", lambda m: m.update(shape=[256, 37, 53]))


def _leave_a_window(run: Path) -> None:
    c = run / "run.ome.zarr" / "counts" / "0" / "c"
    shutil.copytree(c / "5", c / "6")


def _lose_dimension_names(run: Path) -> None:
    _edit(run / "run.ome.zarr" / "counts" / "0" / "zarr.json", lambda m: m.pop("dimension_names"))


def _multiscale(metadata: Any) -> Any:
    return metadata["attributes"]["ome"]["multiscales"][0]


def _misspell_unit(run: Path) -> None:
    _edit(run / "run.ome.zarr" / "live" / "zarr.json", lambda m: _multiscale(m)["axes"][1].update(unit="um"))


def _change_scale(run: Path) -> None:
    def change(metadata: Any) -> None:
        _multiscale(metadata)["datasets"][0]["coordinateTransformations"][0]["scale"][1] = 0.108

    _edit(run / "run.ome.zarr" / "live" / "zarr.json", change)


def _unlist_series(run: Path) -> None:
    _edit(run / "run.ome.zarr" / "OME" / "zarr.json", lambda m: m["attributes"]["ome"].update(series=["counts"]))


def _break_group(run: Path) -> None:
    (run / "run.ome.zarr" / "counts" / "zarr.json").write_text("{")


def _damage_localizations(run: Path) -> None:
    _sql(run, "UPDATE localizations SET rows = zeroblob(40) WHERE window = 2", "localizations.sqlite")


def _lose_localizations(run: Path) -> None:
    _sql(run, "DELETE FROM localizations WHERE window = 4", "localizations.sqlite")


def _miscount_localizations(run: Path) -> None:
    _sql(run, "UPDATE committed SET n_localizations = 1 WHERE product = 'counts' AND window = 5")


def _unbalance_ledger(run: Path) -> None:
    _sql(run, f"UPDATE ledgers SET ledger = '{json.dumps(balanced_ledger(N_WINDOWS) | {'tail': 0})}'")


def _overstate_ledger(run: Path) -> None:
    wrong = {"seen": 64, "committed": 60, "lost": {}, "deselected": 0, "tail": 4}
    _sql(run, f"UPDATE ledgers SET ledger = '{json.dumps(wrong)}'")


def _lose_ledger(run: Path) -> None:
    _sql(run, "DELETE FROM ledgers")


def _lose_a_row(run: Path) -> None:
    _sql(run, "DELETE FROM committed WHERE product = 'live' AND window = 1")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_corrupt_shard, "counts of segment 0, window 2", id="corrupt-shard"),
        pytest.param(_delete_shard, "live of segment 0, window 1: its pixels", id="deleted-shard"),
        pytest.param(_truncate_shard, "counts of segment 0, window 3: cannot be read", id="truncated-shard"),
        pytest.param(_swap_shards, "counts of segment 0, window 0: its pixels", id="swapped-shards"),
        pytest.param(_shorten_array, "expected room for 6 committed windows, found 4", id="array-too-short"),
        pytest.param(_leave_room, "series live: expected an array of 3 windows, found room for 253 more", id="room"),
        pytest.param(_leave_a_window, "series counts: .* found room for 0 more and 1 in it", id="window-left"),
        pytest.param(_lose_dimension_names, "expected dimension_names", id="no-dimension-names"),
        pytest.param(_misspell_unit, "expected axes", id="unit-um"),
        pytest.param(_change_scale, "expected coordinates", id="scale"),
        pytest.param(_unlist_series, "live: not listed", id="unlisted"),
        pytest.param(_break_group, "counts: cannot be read", id="broken-metadata"),
        pytest.param(_damage_localizations, "window 2 in .* are damaged", id="localizations-damaged"),
        pytest.param(_lose_localizations, "window 4 in .*, found none", id="localizations-lost"),
        pytest.param(_miscount_localizations, "window 5: expected 1 localizations", id="localizations-miscounted"),
        pytest.param(
            _unbalance_ledger, "expected 64 frames seen to be the sum of its parts, found 60", id="ledger-sum"
        ),
        pytest.param(_overstate_ledger, "expected 54 committed frames", id="ledger-overstates"),
        pytest.param(_lose_ledger, "expected one in a complete run", id="ledger-lost"),
        pytest.param(_lose_a_row, "series live: expected committed windows side by side", id="row-lost"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    run = tmp_path / "run"
    write_run(run, N_WINDOWS)
    assert verify_run(run).ok
    damage(run)
    report = verify_run(run)
    assert not report.ok
    text = " ".join(report.problems)
    assert re.search(message, text), text


def test_what_was_in_flight_at_a_death_is_noted_and_is_no_problem(tmp_path: Path) -> None:
    writer = write_run(tmp_path / "run", N_WINDOWS, finalize=False)
    writer.close()
    _leave_a_window(tmp_path / "run")
    report = verify_run(tmp_path / "run")
    assert report.ok, report.problems
    assert any("series counts: 1 windows behind the last committed one were in flight" in n for n in report.notes)


def test_a_pyramid_that_does_not_show_its_last_window_is_found(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, 4, Grid(40.0, Shape(530, 20)))
    assert verify_run(run).ok
    coarse = zarr.open_array(run / "run.ome.zarr" / "counts" / "1", mode="r+")
    coarse[3] = 0
    (problem,) = verify_run(run).problems
    assert "series counts: level 1: expected the maximum of 2 x 2 pixels" in problem


def test_windows_that_were_mended_stand_beside_what_was_counted_live(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, N_WINDOWS)
    before = {path: path.read_bytes() for path in (run / "run.ome.zarr" / "counts" / "0" / "c").rglob("*/0/0")}
    map, localizations = make_map(0, 1)
    whole = replace(map, counts=np.zeros_like(map.counts), n_frames_missing=0)
    with RunWriter.append_to(run) as writer:
        writer.write_map(whole, localizations[:0], product="mended")
        # A window that live processing never came to.
        writer.write_map(*make_map(0, N_WINDOWS), product="mended")
        image = np.zeros(GRID.shape, np.float32)
        writer.write_reconstruction(Reconstruction(0, 1, image, "full", 0))
        writer.write_reconstruction(Reconstruction(0, N_WINDOWS, image, "full", 0))
    report = verify_run(run)
    assert report.ok, report.problems
    assert report.windows == {"counts": N_WINDOWS, "live": 3, "full": 2, "mended": 2}
    assert any("2 windows that lacked frames were made whole" in note for note in report.notes)
    assert {path: path.read_bytes() for path in before} == before
    with open_run(run) as opened:
        assert [row.n_frames_missing for row in opened.windows("full")] == [0, N_WINDOWS % 3]
        assert opened.windows("counts")[1].n_frames_missing == 1
        assert len(opened.localizations(0, 1)) == len(localizations)
        assert len(opened.localizations(0, 1, "mended")) == 0
        assert len(opened.localizations(product="mended")) == len(make_map(0, N_WINDOWS)[1])
        (stored,) = opened.segments
        assert SegmentCounts(opened, stored).shape[0] == N_WINDOWS
        mended = SegmentCounts(opened, stored, mended=True)
        assert mended.shape[0] == N_WINDOWS + 1 and mended.present[1] == 1.0 and not mended[1:2].any()
    _sql(run, "UPDATE mended SET rows = zeroblob(40) WHERE window = 6", "localizations.sqlite")
    assert any("mended of segment 0, window 6" in problem for problem in verify_run(run).problems)


def test_a_sound_run_in_json(tmp_path: Path) -> None:
    write_run(tmp_path / "run", N_WINDOWS)
    steps: list[tuple[int, int]] = []
    report = verify_run(tmp_path / "run", on_progress=lambda done, total: steps.append((done, total)))
    assert report.to_json_dict() == {
        "ok": True,
        "problems": [],
        "windows": {"counts": 6, "live": 3, "full": 0},
        "ledger": {"0": {"seen": 64, "committed": 54, "lost": {"camera": 6}, "deselected": 0, "tail": 4}},
        "status": "complete",
        "notes": [],
    }
    json.dumps(report.to_json_dict())
    assert steps == [(done, 9) for done in range(1, 10)]


def test_the_ledger_of_an_interrupted_run_comes_from_the_journal(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES)
    writer.begin_segment(make_segment(), GRID)
    for window in range(3):
        writer.write_map(*make_map(0, window))
    writer.record_gap(Gap(0, 12, 3, GapCause.CAMERA))
    writer.record_gap(Gap(0, 20, 4, GapCause.RING))
    writer.record_gap(Gap(0, 25, None, GapCause.RING))
    writer.record_gap(Gap(0, 28, 5, GapCause.DESELECTED))
    writer.close()
    report = verify_run(tmp_path / "run")
    assert report.ok and report.status == "interrupted"
    assert report.ledger[0] == {
        "seen": None,
        "committed": 27,
        "lost": {"camera": 3, "ring": None, "lost_in_crash": None},
        "deselected": 5,
        "tail": None,
    }
    assert any("interrupted" in note and "unknown" in note for note in report.notes)


def test_unknown_losses_are_said_and_not_taken_for_zero(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        writer.write_map(*make_map(0, 0))
        writer.write_ledger(0, {"seen": None, "committed": 10, "lost": {"camera": None}, "deselected": 0, "tail": 0})
    report = verify_run(tmp_path / "run")
    assert report.ok
    assert any("camera is unknown" in note for note in report.notes)


def test_a_writer_that_breaks_its_word_about_positions_is_found(tmp_path: Path) -> None:
    """Localizations in the field that the map does not count: somewhere between the two, molecules were lost."""
    map, localizations = make_map(0, 0)
    with RunWriter.create(tmp_path / "run", INFO, window_frames=WINDOW_FRAMES) as writer:
        writer.begin_segment(make_segment(), GRID)
        map.counts[map.counts.nonzero()[0][0], map.counts.nonzero()[1][0]] -= 1
        writer.write_map(map, localizations)
        writer.write_ledger(0, {"seen": 10, "committed": 10, "lost": {}, "deselected": 0, "tail": 0})
    (problem,) = verify_run(tmp_path / "run").problems
    assert (
        f"expected {int(map.counts.sum()) + 1} counts for its localizations, found {int(map.counts.sum())}" in problem
    )


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    writer = write_run(tmp_path / "run", n_windows=110, finalize=False)
    writer.finalize()
    _sql(tmp_path / "run", "UPDATE committed SET checksum = zeroblob(16) WHERE product = 'counts'")
    problems = verify_run(tmp_path / "run").to_json_dict()["problems"]
    assert isinstance(problems, list) and len(problems) == 101 and problems[-1] == "... and 10 more"


def test_verify_does_not_write(tmp_path: Path) -> None:
    write_run(tmp_path / "run", N_WINDOWS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.suffix != ".sqlite-shm"}
    verify_run(tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert run.status == "complete"
    for path, modified in before.items():
        if path.is_file():
            assert path.stat().st_mtime_ns == modified, path
