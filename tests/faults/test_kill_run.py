"""Kill -9 of a whole live run: camera process, network, store and wire together."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import kill_a_run


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [1.0, 2.7])
def test_what_was_committed_survives_and_is_what_was_shown(tmp_path: Path, delay_s: float) -> None:
    pytest.importorskip("pymmcore_plus")
    finding = kill_a_run(tmp_path / "killed.run", delay_s)
    assert finding.problems == []
    assert finding.n_counts >= finding.n_live > 0
    assert finding.n_compared > 0
