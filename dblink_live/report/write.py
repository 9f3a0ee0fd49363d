"""Make the report of a run and write it into the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dblink_live.analysis.summary import Figures
from dblink_live.analysis.trust.verdict import Verdict
from dblink_live.errors import StoreError
from dblink_live.files import FileHeldError, replacing
from dblink_live.report.comparison import comparison
from dblink_live.report.facts import MainSegment, RunReport, gather
from dblink_live.report.movie import Movie, make_movie
from dblink_live.report.mp4 import can_make_movies
from dblink_live.report.page import Visuals, page_of
from dblink_live.report.pictures import (
    MomentReader,
    Still,
    moments_to_show,
    region_still,
    stills,
    sum_of_all,
    sum_still,
)
from dblink_live.report.trust import Trust, trust_of, unjudged
from dblink_live.report.verdict import verdict_of
from dblink_live.store import Run, open_run

FILE_NAME = "report.html"
_INSTALL = "no movie: PyAV is not installed; `pip install dblink-live[report]` adds it"


@dataclass(frozen=True)
class ReportSummary:
    """Where the report is, and what is in it."""

    path: Path
    n_windows: int
    has_movie: bool
    gaps: tuple[str, ...]
    """Labels of what is not known."""
    verdict: Verdict


def write_report(
    folder: str | Path,
    figures: Figures | str,
    on_progress: Callable[[int], None] | None = None,
    compare_half_width: int | None = None,
) -> ReportSummary:
    """Write ``report/report.html`` into the run ``folder`` and say what is in it.

    Parameters
    ----------
    folder
        A run, finished or not. What is committed at this moment is reported.
    figures
        What `dblink_live.analysis.summary` found in the run's longest segment, or the reason why there is nothing.
    on_progress
        Called with the number of windows read so far, for the sum of all and for the movie.
    compare_half_width
        Also show windowed STORM of so many windows to either side, and blind inpainting; None for neither.

    Raises
    ------
    StoreError
        The folder is no run, is damaged, or the report cannot be written there.
    """
    step = _Steps(on_progress)
    with open_run(folder) as run:
        report = gather(run)
        visuals = Visuals((), (), None, "no movie: no window has a reconstruction")
        trust = unjudged("no window was committed")
        if report.main is not None:
            trust = unjudged(figures) if isinstance(figures, str) else trust_of(figures, report.main)
            visuals = _look(run, report.main, trust, step, compare_half_width)
        made = datetime.now(UTC)
        verdict = verdict_of(report, None if isinstance(figures, str) else figures)
        page = page_of(report, verdict, visuals, trust, made, _program())
        path = _put(run.path / "report" / FILE_NAME, page)
    return ReportSummary(path, _n_windows(report), visuals.movie is not None, _gaps(trust, visuals.movie), verdict)


def _look(
    run: Run, main: MainSegment, trust: Trust, step: Callable[[], None], compare_half_width: int | None
) -> Visuals:
    reader = MomentReader(run, main)
    total = sum_of_all(run, main, step)
    moments: list[tuple[Still, ...]] = []
    for row in moments_to_show(main):
        shown = stills(reader.read(row), reader.grid, main.window_s)
        others = () if compare_half_width is None else comparison(reader, row, compare_half_width)
        moments.append((*shown, *others))
    whole = [sum_still(total, reader.grid, len(main.counts))]
    if trust.resolution_of_regions is not None:
        whole.append(region_still(total, reader.grid, trust.resolution_of_regions))
    movie, reason = _movie(reader, main, step)
    return Visuals(moments, whole, movie, reason)


def _movie(reader: MomentReader, main: MainSegment, step: Callable[[], None]) -> tuple[Movie | None, str]:
    if not main.pictures:
        return None, "no movie: no window has a reconstruction"
    if not can_make_movies():
        return None, _INSTALL
    return make_movie(reader, main, step), ""


def _put(path: Path, page: str) -> Path:
    """Write beside and rename: a browser never loads half a page."""
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(page, encoding="utf-8")
    except FileHeldError:
        raise
    except OSError as error:
        raise StoreError(f"expected to write {path}, found: {error}; free the disk or the folder's rights") from error
    return path


def _gaps(trust: Trust, movie: Movie | None) -> tuple[str, ...]:
    labels = [figure.label for figure in trust.figures if figure.level == "gap"]
    return (*labels, *(["Movie"] if movie is None else []))


def _n_windows(report: RunReport) -> int:
    return 0 if report.main is None else len(report.main.counts)


class _Steps:
    """Counts what was read and reports it to a callback."""

    def __init__(self, tell: Callable[[int], None] | None) -> None:
        self._tell = tell
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        if self._tell is not None:
            self._tell(self._done)


def _program() -> str:
    try:
        return f"dblink-live {version('dblink-live')}"
    except PackageNotFoundError:
        return "dblink-live"
