"""`report` on recordings that are no run yet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dblink_live.cli import main


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    n = 600
    rows = np.stack([np.sort(rng.integers(1, 101, n)), rng.uniform(100, 3900, n), rng.uniform(900, 1100, n)], axis=1)
    path = tmp_path / "line.csv"
    lines = ["frame,x [nm],y [nm]", *(f"{int(frame)},{x:.1f},{y:.1f}" for frame, x, y in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_becomes_a_run_with_a_full_pass_and_a_page(
    tmp_path: Path, table: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "line.run"
    told = ["report", str(table), "--out", str(run), "--pixel-size-nm", "160", "--model", str(checkpoint)]
    assert main([*told, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["run"], answer["windows"]) == (str(run), 10)
    assert Path(answer["report"]) == run / "report" / "report.html"
    assert answer["figures"]["product"] == "full"
    assert answer["figures"]["revisions"]["bounded_to_full"] is not None
    page = Path(answer["report"]).read_text(encoding="utf-8")
    # A table tells neither the time between frames nor what the camera's counts were.
    assert "calibration of the camera not known" in page
    assert "the source did not tell the time between frames" in page
    assert main(["verify", str(run)]) == 0
    assert main(told) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("frame,x [nm],y [nm]\n", "empty", id="empty"),
        pytest.param("frame,x [nm],y [nm]\n1,20,30\n2,25,31\n", "shorter windows", id="less than a window"),
        pytest.param("nothing,of,this\n1,2,3\n", "expected", id="another table"),
    ],
)
def test_tables_that_make_no_run_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "t.csv").write_text(content)
    run = tmp_path / "t.run"
    assert main(["report", str(tmp_path / "t.csv"), "--pixel-size-nm", "160", "--out", str(run)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert message in printed.err
    assert not run.exists()
