"""A report about a run, with all that can be measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.errors import DblinkError, ModelError, PluginError
from dblink_live.workflows.analyze import Analysis, figures_of, measure
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    from dblink_live.report.write import ReportSummary
    from dblink_live.store import Run


@dataclass(frozen=True)
class WrittenReport:
    """What `write_run_report` wrote."""

    summary: ReportSummary
    figures: dict[str, object] | None
    """What `analyze` returns; None where nothing could be measured."""


def report(
    run: Run | str | Path,
    *,
    full: bool = False,
    fiducials: bool = False,
    compare: int | None = None,
    model: str | None = None,
    progress: bool | Progress = False,
) -> Path:
    """Write a self-contained HTML page about a run, and return its path.

    Parameters
    ----------
    run
        A run, or its folder; the page goes into its ``report`` folder.
    full
        Whether what takes long is measured too: the network runs again, and every window is looked at.
    fiducials
        Whether to look for beads, and measure drift by them.
    compare
        Windows of a plain sum to be shown beside the pictures; None shows none.
    model
        Network to run again; None takes the run's own.
    progress
        True shows a bar.

    Raises
    ------
    StoreError
        It is no run, or the page cannot be written.
    ModelError, PluginError
        The model that was asked for is unknown or does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> import dblink_live as dbl
    >>> folder = getfixture("tmp_path")
    >>> frames = np.random.default_rng(1).poisson(20, (40, 16, 16)).astype(np.uint16)
    >>> frames[:, 7:9, 7:9] += 200
    >>> tifffile.imwrite(folder / "stack.tif", frames)
    >>> live = dbl.run(str(folder / "stack.tif"), folder / "cell1.run", pixel_size_nm=160, model="filaments")
    >>> report(live).relative_to(folder).as_posix()
    'cell1.run/report/report.html'
    """
    path = Path(run) if isinstance(run, str | Path) else run.path
    written = write_run_report(path, full=full, fiducials=fiducials, compare=compare, model=model, progress=progress)
    return written.summary.path


def write_run_report(
    path: Path,
    *,
    full: bool = False,
    fiducials: bool = False,
    compare: int | None = None,
    model: str | None = None,
    progress: bool | Progress = False,
) -> WrittenReport:
    """As `report`, and return what was measured."""
    from dblink_live.report import write_report
    from dblink_live.store import open_run
    from dblink_live.workflows.inputs.analysis_input import AnalysisSettings

    shown = progress_of(progress)
    # What is no run is refused before anything is worked out.
    open_run(path).close()
    measured: Analysis | str
    try:
        measured = measure(path, AnalysisSettings(full=full, fiducials=fiducials, model=model), shown)
    except DblinkError as error:
        if model is not None and isinstance(error, ModelError | PluginError):
            raise
        measured = str(error)  # a page with gaps beats no page
    found = measured if isinstance(measured, str) else measured.found
    with shown.bar("reporting", None, "windows read") as advance:
        half_width = None if compare is None else compare // 2
        summary = write_report(path, found, on_progress=advance, compare_half_width=half_width)
    return WrittenReport(summary, None if isinstance(measured, str) else figures_of(path, *measured))
