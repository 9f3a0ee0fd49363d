"""What `report` needs of a recording that is no run yet: a run folder, with the full pass."""

from __future__ import annotations

from pathlib import Path

from dblink_live.config import RunConfig
from dblink_live.errors import StoreError, input_accepted
from dblink_live.tables import LocalizationTable
from dblink_live.text.shell import quoted
from dblink_live.workflows.inputs.table_input import pixel_size_of, read_table, report_notes
from dblink_live.workflows.localize import is_stack
from dblink_live.workflows.progress import Progress
from dblink_live.workflows.refine import refine_runs
from dblink_live.workflows.videos.video_files import is_zarr


def is_run(path: Path) -> bool:
    """Return whether ``path`` is meant as a run folder: a folder that is no Zarr, or nothing at all."""
    return not (path.is_file() or is_zarr(path))


def make_run(
    path: Path,
    source: str,
    folder: Path | None,
    config: RunConfig,
    report: Progress,
    *,
    channel: str | None = None,
    unit: str | None = None,
) -> Path:
    """Make a run of the table or stack at ``path``, refine it, and return its folder.

    Parameters
    ----------
    source
        The source specification of a stack.
    folder
        The run folder to make; None makes ``NAME.run`` in the current folder.
    channel, unit
        Of a table, as `dblink_live.tables.read_localizations` takes them.

    Raises
    ------
    StoreError
        The folder exists already.
    SourceError, CalibrationError
        The file cannot be read, or the camera's pixel size is needed and unknown.
    """
    folder = folder or Path(f"{path.stem}.run")
    if folder.exists():
        raise StoreError(
            f"{folder} already exists, where the run of {path.name} is to be made; report on that "
            "(`dblink-live report`), or name another with --out"
        )
    if is_stack(path):
        _run_stack(source, folder, config, report)
    else:
        table = read_table(path, pixel_size_of(config.camera), channel=channel, unit=unit)
        _run_table(table, path, folder, config, report)
        report_notes(table, path, report)
    refine_runs([folder], progress=report)
    run = quoted(str(folder))
    report.note(f"made {folder}: `dblink-live view {run}` shows it, `dblink-live report {run}` reports again")
    return folder


def _run_table(table: LocalizationTable, path: Path, folder: Path, config: RunConfig, report: Progress) -> None:
    from dblink_live.pipeline.table_run import run_table

    n_frames = table.n_frames or int(table["frame"].max()) + 1
    with report.bar("reconstructing", n_frames, "frames") as advance:
        run_table(table, folder, config, name=f"table:{path}", on_progress=advance)


def _run_stack(source: str, folder: Path, config: RunConfig, report: Progress) -> None:
    from dblink_live.pipeline.live_run import open_live_run

    with (
        open_live_run(source, folder, config, publish=False) as session,
        input_accepted(),
        report.bar("reconstructing", session.n_frames_expected, "frames") as advance,
    ):
        session.run(on_progress=advance)
