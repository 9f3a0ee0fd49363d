"""What `report` needs of a recording that is no run yet: a run folder, with the full pass."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dblink_live.cli.console import progress, say
from dblink_live.cli.options import positive, positive_int
from dblink_live.cli.result import on_the_way
from dblink_live.config import RunConfig, load_run_config
from dblink_live.errors import ConfigError, StoreError
from dblink_live.workflows.localize import SCHEMES, source_of
from dblink_live.workflows.video_files import is_zarr


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Options that only a table or a stack needs."""
    parser.add_argument(
        "--out", metavar="RUN", type=Path, help="of a table or stack: the run folder to make (default: NAME.run here)"
    )
    parser.add_argument(
        "--pixel-size-nm", metavar="NM", type=positive, help="of a table or stack: side of a camera pixel in the sample"
    )
    parser.add_argument(
        "--window", metavar="N", type=positive_int, help="of a table or stack: frames a window (default 10)"
    )
    parser.add_argument(
        "--config", metavar="F.toml", type=Path, help="of a table or stack: settings, as `run` takes them"
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="of a table or stack: one setting, for instance localizer.name=auto; may be repeated",
    )


def is_run(path: Path) -> bool:
    """Whether ``path`` is meant as a run folder: a folder that is no Zarr, or nothing at all."""
    return not (path.is_file() or is_zarr(path))


def refuse_recording_options(options: argparse.Namespace) -> None:
    """Raise `ConfigError` where an option is given that a run folder has no use for."""
    given = {
        "--out": options.out,
        "--pixel-size-nm": options.pixel_size_nm,
        "--window": options.window,
        "--config": options.config,
        "--set": options.overrides or None,
    }
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"expected no {name} beside the run folder {options.path}, which has its own settings")


def make_run(options: argparse.Namespace) -> Path:
    """Make a run of the table or stack ``options.path``, refine it, and say where it is.

    Raises
    ------
    StoreError
        The folder exists already.
    SourceError, CalibrationError
        The file cannot be read, or the camera's pixel size is needed and unknown.
    """
    path: Path = options.path
    folder: Path = options.out or Path(f"{path.stem}.run")
    if folder.exists():
        raise StoreError(
            f"expected no folder {folder}, where the run of {path.name} is to be made, found one; report on that "
            "(`dblink-live report`), or name another with --out"
        )
    config = load_run_config(options.config, _overrides(options))
    if path.suffix.lower() in SCHEMES:
        _run_stack(path, folder, config)
    else:
        _run_table(path, folder, config)
    _refine(folder)
    say(f"made {folder}: `dblink-live view {folder}` shows it, `dblink-live report {folder}` reports again")
    return folder


def _overrides(options: argparse.Namespace) -> list[str]:
    """The options that are settings with a shorter name, behind those of ``--set``."""
    short = {
        "camera.pixel_size_nm": options.pixel_size_nm,
        "windows.frames": options.window,
        "reconstruct.model": options.model,
    }
    # A JSON string is a TOML string: whatever is in a path, it stays text.
    return [*options.overrides, *(f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None)]


def _run_table(path: Path, folder: Path, config: RunConfig) -> None:
    from dblink_live.pipeline.table_run import run_table
    from dblink_live.tables import read_localizations

    table = read_localizations(path, config.camera.pixel_size_nm)
    n_frames = table.n_frames or (int(table["frame"].max()) + 1 if len(table) else None)
    with progress("reconstructing", n_frames, "frames") as advance:
        run_table(table, folder, config, name=f"table:{path}", on_progress=advance)


def _run_stack(path: Path, folder: Path, config: RunConfig) -> None:
    from dblink_live.pipeline.live_run import open_live_run

    with (
        open_live_run(source_of(str(path)), folder, config, publish=False) as session,
        on_the_way(),
        progress("reconstructing", session.n_frames_expected, "frames") as advance,
    ):
        session.run(on_progress=advance)


def _refine(folder: Path) -> None:
    from dblink_live.refine import RefineSettings, open_refinement

    with (
        open_refinement(folder, RefineSettings()) as refinement,
        on_the_way(),
        progress("refining", refinement.n_steps, "windows") as advance,
    ):
        refinement.run(on_progress=advance)
