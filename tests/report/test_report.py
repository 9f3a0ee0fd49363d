"""The report of a run: complete in itself, free of markup from elsewhere, and honest about what is not known."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dblink_live.analysis.summary import Subject, summarize
from dblink_live.cli import main
from dblink_live.report import ReportSummary, write_report
from dblink_live.store import RunWriter, open_run
from dblink_live.types import (
    Gap,
    GapCause,
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

GRID = Grid(pitch_nm=40.0, shape=Shape(64, 72))
PIXEL_NM = 160.0
HOSTILE = "<script>alert('x')</script>\"&"


def write_run(folder: Path, n_windows: int, *, model: str = "light", n_lost: int = 0) -> Path:
    """A run whose localizations lie on a diagonal, and whose pictures show that diagonal."""
    info = RunInfo("7", "2026-01-01T00:00:00", {"source": {"spec": HOSTILE}}, model, "ab" * 32)
    rng = np.random.default_rng(5)
    with RunWriter.create(folder, info, window_frames=10) as writer:
        segment = Segment(index=0, shape=Shape(16, 18), dtype="uint16", frame_interval_ms=20.0, pixel_size_nm=PIXEL_NM)
        writer.begin_segment(segment, GRID, PIXEL_NM)
        if n_lost:
            writer.record_gap(Gap(0, 3, n_lost, GapCause.CAMERA))
        for window in range(n_windows):
            table = empty_localizations(12)
            table["frame"] = 10 * window + rng.integers(0, 10, size=12)
            table["y"] = table["x"] = rng.uniform(2.0, 13.0, size=12)
            counts = np.zeros(GRID.shape, np.uint16)
            np.add.at(counts, GRID.index_of(table["y"], table["x"], PIXEL_NM), 1)
            writer.write_map(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, GRID), table)
            picture = np.eye(*GRID.shape, dtype=np.float32)
            writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", lookahead=2, latency_s=0.3))
        writer.write_ledger(
            0,
            {
                "seen": 10 * n_windows + n_lost,
                "committed": 10 * n_windows,
                "lost": {"camera": n_lost} if n_lost else {},
                "deselected": 0,
                "tail": 0,
                "in_flight": 0,
                "unknown_losses": 0,
            },
        )
    return folder


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def tags_of(page: str) -> _Tags:
    parser = _Tags()
    parser.feed(page)
    return parser


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("report") / "cells & <b>.run", 8, model=HOSTILE, n_lost=5)


@pytest.fixture(scope="module")
def written(run_folder: Path) -> tuple[ReportSummary, str]:
    """What was written about that run, and the page itself."""
    counts = np.ones((8, *GRID.shape), np.uint16)
    pictures = np.stack([np.eye(*GRID.shape, dtype=np.float32)] * 8)
    with open_run(run_folder) as run:
        subject = Subject(
            pictures=pictures,
            windows=np.arange(8),
            pitch_nm=GRID.pitch_nm,
            all_pictures=pictures,
            counts=counts,
            localizations=run.localizations(),
            pixel_size_nm=PIXEL_NM,
            missing={"provisional": "no full pass", "halves": HOSTILE},
        )
    summary = write_report(run_folder, summarize(subject))
    return summary, summary.path.read_text(encoding="utf-8")


def test_the_page_is_complete_in_itself_and_holds_no_markup_from_the_run(
    run_folder: Path, written: tuple[ReportSummary, str]
) -> None:
    summary, page = written
    assert summary.path == run_folder / "report" / "report.html"
    tags = tags_of(page)
    assert "script" not in tags.found
    assert "b" not in tags.found
    assert tags.found.count("img") == 7  # three moments of two pictures, and the sum of all windows
    assert all(address.startswith("data:") for address in tags.addresses)
    assert "&lt;script&gt;alert" in page
    assert "cells &amp; &lt;b&gt;.run" in page
    assert not list(summary.path.parent.glob("*.part"))


def test_the_movie_shows_every_window_and_says_its_pace(written: tuple[ReportSummary, str]) -> None:
    pytest.importorskip("av", reason="the report's extra is not installed")
    summary, page = written
    assert summary.has_movie
    assert tags_of(page).found.count("video") == 1
    assert "8 pictures, every window" in page
    # Windows of 0.2 s shown at 20 a second.
    assert "4 times as fast as life" in page


def test_what_was_lost_and_what_cannot_be_known_is_said(written: tuple[ReportSummary, str]) -> None:
    summary, page = written
    assert "5 (camera)" in page
    assert "1 gaps: 1 camera" in page
    assert "calibration of the camera not known" in page
    # 96 localizations decide no drift, and there was no full pass: gaps, not numbers.
    assert {"Drift by localizations (RCC)", "Revised by the full pass"} <= set(summary.gaps)
    for label in summary.gaps:
        card = re.search(rf'<div class="card gap"><div class="label">{re.escape(label)}</div>(.*?)</div>', page)
        assert card is not None
        assert "not known" in card.group(1)


def test_a_still_sample_is_consistent_and_does_not_drift(written: tuple[ReportSummary, str]) -> None:
    _, page = written
    figures = dict(re.findall(r'<div class="label">([^<]+)</div><div class="value">([^<]+)</div>', page))
    assert figures["Drift by pictures"] == "0 nm"
    assert figures["Supported by localizations"] == "100%"
    assert figures["Consistency"] == "1.00"
    assert figures["Localizations"] == "96"
    assert figures["Duration"] == "1.6 s"


def test_a_run_without_windows_has_a_page_full_of_gaps(tmp_path: Path) -> None:
    summary = write_report(write_run(tmp_path / "empty.run", 0), "nothing to measure")
    page = summary.path.read_text(encoding="utf-8")
    assert summary.n_windows == 0
    assert not summary.has_movie
    assert "no window was committed" in page
    assert "NaN" not in page
    assert tags_of(page).found.count("img") == 0


def test_figures_that_could_not_be_worked_out_are_one_gap_with_its_reason(tmp_path: Path) -> None:
    summary = write_report(write_run(tmp_path / "one.run", 1), "the disk <was> full")
    page = summary.path.read_text(encoding="utf-8")
    assert "Trust figures" in summary.gaps
    assert "the disk &lt;was&gt; full" in page
    assert tags_of(page).found.count("img") == 3


def test_the_verb_says_where_the_page_is_and_refuses_what_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "one.run", 1)
    assert main(["report", str(folder), "--no-split", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    page = Path(figures["report"]).read_text(encoding="utf-8")
    assert figures["windows"] == 1
    # One window has no motion to judge.
    assert {"Drift by pictures", "Consistency"} <= set(figures["gaps"])
    assert ">nan" not in page.lower()
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert main(["report", str(folder), "--model", "no_such_model"]) == 2
    assert "no_such_model" in capsys.readouterr().err
