"""The report of a run: complete in itself, free of markup from elsewhere, and honest about what is not known."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_runs import GRID, HOSTILE, PIXEL_NM, write_run
from scipy.ndimage import maximum_filter

from dblink_live.analysis.summary import Subject, summarize
from dblink_live.cli import main
from dblink_live.report import ReportSummary, write_report
from dblink_live.store import open_run


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
            missing={"full": "no full pass", "halves": HOSTILE},
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
    assert "4 times as fast as real time" in page


def test_what_was_lost_and_what_cannot_be_known_is_said(written: tuple[ReportSummary, str]) -> None:
    summary, page = written
    assert "5 (camera)" in page
    assert "1 gaps: 1 camera" in page
    assert "calibration of the camera not known" in page
    # 96 localizations decide no drift and no resolution of a region, and there was no full pass: gaps, not numbers.
    gaps = {"Drift by localizations (RCC)", "Revised by the full pass", "Resolution by region, median (FRC)"}
    assert gaps <= set(summary.gaps)
    for label in summary.gaps:
        card = re.search(rf'<div class="card gap"><div class="label">{re.escape(label)}</div>(.*?)</div>', page)
        assert card is not None
        assert "not known" in card.group(1)


def test_the_verdict_names_what_is_wrong_and_what_to_do(written: tuple[ReportSummary, str], tmp_path: Path) -> None:
    summary, page = written
    assert summary.verdict.light.value == "red"
    reasons = re.findall(r'<p><span class="light (\w+)"></span>([^<]+)</p>', page)
    # Five frames of 85; and one count in each pixel, most of them off the diagonal that is drawn.
    assert any(light == "red" and text.startswith("5 frames (5.6%) were lost: ") for light, text in reasons)
    assert any(light == "red" and "of the molecules are not in this picture" in text for light, text in reasons)
    clean = write_report(write_run(tmp_path / "clean.run", 8), "not measured")
    assert (clean.verdict.light.value, clean.verdict.reasons) == ("green", ())
    assert "No problem found in what is known" in clean.path.read_text(encoding="utf-8")
    empty = write_report(write_run(tmp_path / "empty.run", 12, n_localizations=0), "not measured")
    assert empty.verdict.light.value == "red" and "no molecules found" in empty.verdict.text


def test_a_still_sample_is_consistent_and_does_not_drift(written: tuple[ReportSummary, str]) -> None:
    _, page = written
    figures = dict(re.findall(r'<div class="label">([^<]+)</div><div class="value">([^<]+)</div>', page))
    assert figures["Drift by pictures"] == "0 nm"
    assert figures["Supported by localizations"] == "100%"
    # One count in each pixel, of which those within a pixel of the diagonal are explained.
    explained = np.count_nonzero(maximum_filter(np.eye(*GRID.shape), 3)) / (64 * 72)
    assert figures["Localizations left out"] == f"{1 - explained:.0%}"
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
    assert main(["report", str(folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    page = Path(figures["report"]).read_text(encoding="utf-8")
    assert figures["windows"] == 1
    assert "Measured quickly, on 1 of 1 pictures" in page
    # One window has no motion to judge.
    assert {"Drift by pictures", "Consistency"} <= set(figures["gaps"])
    assert ">nan" not in page.lower()
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert main(["report", str(folder), "--model", "no_such_model"]) == 2
    assert "no_such_model" in capsys.readouterr().err


def test_a_run_with_everything_has_curves_of_everything(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "rich.run", 40)
    rng = np.random.default_rng(0)
    n = 8000
    table = np.zeros(n, [("frame", "i8"), ("x", "f8"), ("y", "f8")])
    table["frame"] = np.sort(rng.integers(0, 400, n))
    # Points on nine lines to 10 nm, and a bead in every frame.
    table["x"], table["y"] = rng.uniform(1, 16, n), rng.integers(2, 11, n) + rng.normal(0, 10 / PIXEL_NM, n)
    bead = np.zeros(400, table.dtype)
    bead["frame"], bead["x"], bead["y"] = np.arange(400), 13.0, 13.5
    table = np.sort(np.concatenate([table, bead]), order="frame")
    pictures = rng.random((3, 40, *GRID.shape)).astype(np.float32)
    subject = Subject(
        pictures=pictures[2],
        windows=np.arange(40),
        pitch_nm=GRID.pitch_nm,
        provisional=pictures[0],
        bounded=pictures[1],
        full=pictures[2],
        revised=np.arange(40),
        localizations=table,
        pixel_size_nm=PIXEL_NM,
        has_fiducials=True,
    )
    summary = write_report(folder, summarize(subject))
    page = summary.path.read_text(encoding="utf-8")
    titles = re.findall(r"<h3>([^<]+)</h3>", page)
    expected = {
        "Fourier ring correlation",
        "Resolution over time",
        "Resolution by region",
        "Revision",
        "Drift by beads",
    }
    assert expected <= set(titles)
    assert "half-bit" in page
    assert "Resolution of the localizations by region" in page
    figures = dict(re.findall(r'<div class="label">([^<]+)</div><div class="value">([^<]+)</div>', page))
    # Uniform noise: |a - b| is a third on average, a + b one.
    assert figures["Revised by the lookahead"] == figures["Revised by the full pass"] == "33%"
    assert figures["Drift by beads"] == "0 nm"


@pytest.mark.parametrize(
    "picture", [pytest.param(np.zeros(GRID.shape, np.float32), id="zero"), pytest.param(None, id="no picture")]
)
def test_a_run_that_shows_nothing_has_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], picture: np.ndarray | None
) -> None:
    folder = write_run(tmp_path / "dark.run", 4, picture=picture, n_localizations=0)
    assert main(["report", str(folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    gaps = {"Resolution of the localizations (FRC)", "Decorrelation", "Consistency", "Supported by localizations"}
    assert gaps <= set(answer["gaps"])
    assert answer["figures"]["frc_nm"] == {"localizations": None, "reconstruction": None}
    page = Path(answer["report"]).read_text(encoding="utf-8")
    assert ">nan" not in page.lower()


def test_options_of_a_recording_are_refused_beside_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "one.run", 1)
    assert main(["report", str(folder), "--window", "5"]) == 2
    assert "--window" in capsys.readouterr().err


def test_classical_methods_stand_beside_the_reconstruction(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cells.run", 12)
    page = write_report(folder, "not asked", compare_half_width=2).path.read_text(encoding="utf-8")
    assert tags_of(page).found.count("img") == 3 * 4 + 1
    assert page.count("Windowed STORM: plain sum of 5 windows around window 6") == 2  # caption and its alternative text
    # A sixth into 12 windows is window 2: it has only two before it.
    assert "Blind sparse inpainting of 6 windows around window 2" in page
