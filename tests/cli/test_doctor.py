"""`doctor`: every figure that it promises, and problems that name what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dblink_live.cli import capacity, machine, main

KEYS = {"torch", "device", "qt", "micromanager", "disk_mb_s", "ring_mb_s", "holds", "problems"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurements, short."""
    monkeypatch.setattr(machine, "DISK_MAX_BYTES", machine.DISK_BLOCK_BYTES)
    monkeypatch.setattr(machine, "RING_S", 0.02)
    monkeypatch.setattr(capacity, "SIDES", (16,))
    monkeypatch.setattr(capacity, "MIN_S", 0.0)


@pytest.mark.usefixtures("quick")
def test_all_figures_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="the viewer's extra is not installed")
    pytest.importorskip("pymmcore", reason="the micromanager extra is not installed")
    assert main(["doctor", "--folder", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) >= KEYS
    assert report["problems"] == []
    assert report["disk_mb_s"] > 0
    assert report["ring_mb_s"] > 0
    assert report["micromanager"]["device_interface"] == 75
    assert [row["shape"] for row in report["holds"]] == [[16, 16]]
    assert report["holds"][0]["fps"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--folder", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.fixture
def probe_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def answer(facts: dict[str, Any] | None, problem: str = "") -> None:
        monkeypatch.setattr(machine, "_probe", lambda *_: (facts, problem))

    return answer


def test_adapters_of_another_interface_are_named_with_both_versions(probe_answers: Callable[..., None]) -> None:
    facts = {
        "pymmcore": "11.10.0.74.0",
        "device_interface": 74,
        "mm-test-adapters": "75.20261014.post1",
        "pycromanager": "1.0.2",
        "pymmcore-plus": None,
        "problem": 'Failed to load device adapter "DemoCamera"',
    }
    probe_answers(facts)
    (problem,) = machine.inspect_micromanager().problems
    for named in ("11.10.0.74.0", "74", "75.20261014.post1", "75"):
        assert named in problem
    probe_answers({**facts, "device_interface": 75})
    (problem,) = machine.inspect_micromanager().problems
    assert "Failed to load device adapter" in problem
    probe_answers({**facts, "device_interface": 75, "problem": None})
    assert machine.inspect_micromanager().problems == ()


def test_what_is_not_installed_is_a_problem_and_no_crash(probe_answers: Callable[..., None]) -> None:
    probe_answers(None, "ModuleNotFoundError: No module named 'PySide6'")
    for finding in (machine.inspect_qt(), machine.inspect_micromanager()):
        assert finding.value is None
        assert "No module named 'PySide6'" in finding.problems[0]


def test_a_probe_that_dies_says_how() -> None:
    assert machine._probe("raise SystemExit('libEGL.so.1 is missing')", {}) == (None, "libEGL.so.1 is missing")
    assert machine._probe("import os; os._exit(7)", {})[1] == "its process ended with status 7"
