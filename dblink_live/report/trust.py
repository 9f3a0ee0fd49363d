"""Figures that say how far the pictures can be believed, and plainly what could not be found out.

Everything is taken from the main segment, at a bounded number of its windows and, where many pictures are needed at
once, from the middle of its field: the report of a run of many hours takes minutes and not gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.consistency import consistency, revision, undo_motion
from dblink_live.analysis.decorrelation import decorrelation_analysis
from dblink_live.analysis.drift import Drift, drift_of_video
from dblink_live.analysis.frc import FrcCurve, frc_of_localizations
from dblink_live.analysis.rcc import redundant_cross_correlation
from dblink_live.errors import AnalysisError, CalibrationError, ConfigError
from dblink_live.report.facts import MainSegment
from dblink_live.report.pictures import MomentReader
from dblink_live.store import Run
from dblink_live.store.journal import CommittedWindow
from dblink_live.types import FloatImage, Localizations

Level = Literal["plain", "good", "warn", "gap"]
_Found = TypeVar("_Found")
FloatVector = npt.NDArray[np.float64]

MAX_PICTURES = 120
"""Pictures that drift, consistency and revision are measured on, spread over the segment."""
MAX_SIDE_PX = 512
"""Side of the middle of the field that consistency is measured in."""
MAX_LOCALIZATIONS = 2_000_000
RCC_STRETCHES = 20
"""Of the recording, that redundant cross-correlation compares with one another..."""
RCC_LEAST = 100
"""...and localizations that each has on average, below which a wrong shift can fit best."""


@dataclass(frozen=True)
class Figure:
    """One figure of the page. A gap has no value: its note says why."""

    label: str
    value: str
    note: str = ""
    level: Level = "plain"


@dataclass(frozen=True)
class Revision:
    """How much each picture changed between the live pass and the full one."""

    windows: FloatVector
    share: FloatVector
    """0 is no change, 1 nothing in common; NaN where both are empty."""


@dataclass(frozen=True)
class Trust:
    """Figures, and the curves behind them."""

    figures: tuple[Figure, ...]
    frc: FrcCurve | None = None
    drift_of_pictures: Drift | None = None
    """In windows of the segment."""
    drift_of_localizations: Drift | None = None
    """In windows of the segment as well."""
    revision: Revision | None = None


def gap(label: str, reason: str) -> Figure:
    """A figure that is not known, and why."""
    return Figure(label, "not known", reason, "gap")


def judge(run: Run, main: MainSegment, reader: MomentReader, total: npt.NDArray[np.uint32]) -> Trust:
    """Work out what can be known of the main segment; ``total`` [H, W] is the sum of all its windows."""
    sheet = _Sheet()
    frc = sheet.ask("Resolution of the localizations (FRC 1/7)", lambda: _frc(run, main), _frc_figure)
    sheet.note(
        gap(
            "Resolution of the reconstruction (FRC)",
            "two reconstructions from independent halves of the frames are needed, and a run keeps one; two pictures "
            "of one run share their data and the network's prior, and would agree too well",
        )
    )
    sheet.ask("Decorrelation, sum of all windows", lambda: _decorrelation(total, reader), _decorrelation_figure)
    middle = main.pictures[len(main.pictures) // 2] if main.pictures else None
    sheet.ask(
        "Decorrelation, one reconstruction",
        lambda: _decorrelation(reader.probability(_required(middle)), reader),
        _decorrelation_figure,
    )
    rows = _spread(main.pictures)
    by_pictures = sheet.ask("Drift by pictures", lambda: _drift(reader, rows), _drift_figure)
    by_localizations = sheet.ask("Drift by localizations (RCC)", lambda: _rcc(run, main), _drift_figure)
    sheet.ask("Consistency", lambda: _consistency(reader, rows, by_pictures), _consistency_figure)
    revised = sheet.ask("Revision by the full pass", lambda: _revision(reader, main), _revision_figure)
    return Trust(tuple(sheet.figures), frc, by_pictures, by_localizations, revised)


@dataclass
class _Sheet:
    """Figures as they are found; what the data cannot answer becomes a gap."""

    figures: list[Figure] = field(default_factory=list)

    def ask(self, label: str, find: Callable[[], _Found], figure: Callable[[str, _Found], Figure]) -> _Found | None:
        try:
            found = find()
            self.figures.append(figure(label, found))
        except (AnalysisError, ConfigError, CalibrationError) as error:
            self.figures.append(gap(label, str(error)))
            return None
        return found

    def note(self, figure: Figure) -> None:
        self.figures.append(figure)


def _frc(run: Run, main: MainSegment) -> FrcCurve:
    return frc_of_localizations(_table(run, main), _pixel_size_nm(main))


def _frc_figure(label: str, curve: FrcCurve) -> Figure:
    try:
        half_bit = f"half-bit: {_nm(curve.resolution_nm('half-bit'))}. "
    except AnalysisError:
        half_bit = ""
    note = (
        f"{half_bit}Of alternating blocks of frames; motion within the segment makes it worse, molecules seen in two "
        "blocks make it look better"
    )
    return Figure(label, _nm(curve.resolution_nm("1/7")), note)


def _decorrelation(picture: npt.NDArray[np.number], reader: MomentReader) -> float:
    return decorrelation_analysis(picture, reader.grid.pitch_nm).resolution_nm


def _decorrelation_figure(label: str, resolution_nm: float) -> Figure:
    return Figure(label, _nm(resolution_nm), "the smallest detail with contrast; not a proof that it is real")


def _drift(reader: MomentReader, rows: list[CommittedWindow]) -> Drift:
    found = drift_of_video(_StoredVideo(reader, rows), reader.grid.pitch_nm)
    windows = np.array([row.window for row in rows], np.float64)
    return Drift(windows[found.time.astype(np.int64)], found.y_nm, found.x_nm)


def _rcc(run: Run, main: MainSegment) -> Drift:
    table = _table(run, main)
    if len(table) < RCC_LEAST * RCC_STRETCHES:
        raise AnalysisError(
            f"expected {RCC_LEAST * RCC_STRETCHES} localizations or more, found {len(table)}: with fewer, chance "
            "decides which shift fits best"
        )
    n_frames = main.counts[-1].stop - main.counts[0].start
    found = redundant_cross_correlation(table, _pixel_size_nm(main), max(1, -(-n_frames // RCC_STRETCHES)))
    first = main.counts[0]
    return Drift((found.time - first.start) / main.window_frames + first.window, found.y_nm, found.x_nm)


def _drift_figure(label: str, drift: Drift) -> Figure:
    note = "largest distance from the start. On a moving sample this is motion as well: it cannot tell the two apart"
    return Figure(label, _nm(drift.largest_nm), note)


def _consistency(reader: MomentReader, rows: list[CommittedWindow], drift: Drift | None) -> float:
    video = np.stack([_middle(reader.probability(row)) for row in rows]) if rows else np.zeros((0, 1, 1), np.float32)
    if drift is None:
        return consistency(video)
    y_nm, x_nm = drift.at([row.window for row in rows])
    still, inside = undo_motion(video, np.stack([y_nm, x_nm], axis=1) / reader.grid.pitch_nm)
    return consistency(still, inside)


def _consistency_figure(label: str, value: float) -> Figure:
    note = "mean correlation of every two pictures after drift is undone; 1 for a still sample, less where it changes"
    return Figure(label, f"{value:.2f}", note)


def _revision(reader: MomentReader, main: MainSegment) -> Revision:
    full = {row.window: row for row in main.full}
    pairs = [(row, full[row.window]) for row in _spread(main.live) if row.window in full]
    if not pairs:
        raise AnalysisError("the run has no full pass; `dblink-live refine` makes it")
    shares = [revision(reader.probability(live)[None], reader.probability(late)[None])[0] for live, late in pairs]
    return Revision(np.array([live.window for live, _ in pairs], np.float64), np.array(shares))


def _revision_figure(label: str, found: Revision) -> Figure:
    known = found.share[np.isfinite(found.share)]
    if not len(known):
        return gap(label, "all pictures are empty")
    return Figure(
        label, f"{np.median(known):.0%}", "median share of a picture that changed once all later data was seen"
    )


class _StoredVideo:
    """Committed pictures as a video that is read one by one."""

    def __init__(self, reader: MomentReader, rows: list[CommittedWindow]) -> None:
        self._reader = reader
        self._rows = rows
        self.shape: tuple[int, ...] = (len(rows), *reader.grid.shape)

    def __getitem__(self, key: int, /) -> FloatImage:
        return self._reader.probability(self._rows[key])


def _spread(rows: tuple[CommittedWindow, ...]) -> list[CommittedWindow]:
    """At most `MAX_PICTURES` of ``rows``, evenly spread."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_PICTURES)).round().astype(np.int64))
    return [rows[place] for place in places]


def _table(run: Run, main: MainSegment) -> Localizations:
    """Localizations of the segment, from its beginning up to `MAX_LOCALIZATIONS`."""
    tables: list[Localizations] = []
    n_rows = 0
    for row in main.counts:
        if n_rows + (row.n_localizations or 0) > MAX_LOCALIZATIONS:
            break
        tables.append(run.localizations(main.index, row.window))
        n_rows += len(tables[-1])
    if not n_rows:
        raise AnalysisError("the segment has no localization")
    return np.concatenate(tables)


def _pixel_size_nm(main: MainSegment) -> float:
    if main.stored.pixel_size_nm is None:
        raise CalibrationError("the run does not know the size of its camera pixels")
    return main.stored.pixel_size_nm


def _required(row: CommittedWindow | None) -> CommittedWindow:
    if row is None:
        raise AnalysisError("no window has a reconstruction")
    return row


def _middle(picture: FloatImage) -> FloatImage:
    height, width = picture.shape
    top, left = max(0, height - MAX_SIDE_PX) // 2, max(0, width - MAX_SIDE_PX) // 2
    return picture[top : top + MAX_SIDE_PX, left : left + MAX_SIDE_PX]


def _nm(value: float) -> str:
    return f"{value:.0f} nm"
