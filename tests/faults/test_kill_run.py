"""Kill -9 of a whole live run: camera process, network, store and wire together."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.killing import kill_a_run, kill_and_resume


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [1.0, 2.7])
def test_what_was_committed_survives_and_is_what_was_shown(tmp_path: Path, delay_s: float) -> None:
    pytest.importorskip("pymmcore_plus")
    finding = kill_a_run(tmp_path / "killed.run", delay_s)
    assert finding.problems == []
    assert finding.n_counts >= finding.n_live > 0
    assert finding.n_compared > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "end"),
    [
        ("main", "resumed"),
        ("acquire", "resumed"),
        ("viewer", "went on to its end"),
        ("record", "went on to its end"),
    ],
)
def test_whichever_process_is_killed_the_run_comes_to_its_end(tmp_path: Path, victim: str, end: str) -> None:
    """A reader at the edge of what is committed sees whole windows all the while."""
    pytest.importorskip("pymmcore_plus")
    if victim == "viewer":
        pytest.importorskip("PySide6")
    finding = kill_and_resume(tmp_path / "killed.run", victim, delay_s=0.7, frames=200)
    assert finding.problems == []
    assert finding.end == end
    assert finding.n_counts == finding.n_live >= 18  # in a segment that breaks off, a last window may be cut
    assert finding.n_at_edge > 0
