"""A command that the viewer starts: its output is read while it runs, and kept where the run outlives the window."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from dblink_live.viewer.processes import child as child_module
from dblink_live.viewer.processes.child import Child


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_command_that_has_ended_leaves_no_file(outputs: Path) -> None:
    child = Child(["--version"])
    child.start()
    assert child.wait(60.0) == 0
    assert child.lines[0].startswith("dblink-live ") and not child.is_running
    assert list(outputs.iterdir()) == []


def test_the_output_of_a_process_that_goes_on_is_kept_and_cleared_away_later(outputs: Path) -> None:
    child = Child(["--version"])
    child.start()
    child.let_go()
    (output,) = outputs.iterdir()
    child_module._left_running.pop().wait(60.0)
    assert output.read_text(encoding="utf-8").startswith("dblink-live ")
    two_days_ago = time.time() - 172_800
    os.utime(output, (two_days_ago, two_days_ago))
    (outputs / "of another program.log").touch()
    os.utime(outputs / "of another program.log", (two_days_ago, two_days_ago))
    again = Child(["--version"])
    again.start()
    assert again.wait(60.0) == 0
    assert [path.name for path in outputs.iterdir()] == ["of another program.log"]
