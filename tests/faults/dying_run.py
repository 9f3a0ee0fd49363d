"""A live run that kills its own process at a stated moment, as a power switch would.

python dying_run.py STACK RUN --at-map 12
python dying_run.py STACK RUN --in build_pyramid --call 1
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zarr

from dblink_live.config import RunConfig, run_config_from_plain
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.pipeline.resume import open_resumed_run
from dblink_live.simulate import SCMOS
from dblink_live.store import RunWriter, arrays, series


def make_config(**sections: dict[str, object]) -> RunConfig:
    camera = {
        "pixel_size_nm": 160.0,
        "offset_adu": SCMOS.offset_adu,
        "electrons_per_adu": SCMOS.electrons_per_adu,
        "read_noise_e": SCMOS.read_noise_e,
    }
    reconstruct = {"lookahead": 4, "hop": 3, "device": "cpu"}
    return run_config_from_plain(
        {"camera": camera, "localizer": {"psf_sigma_px": 0.875}, "reconstruct": reconstruct, **sections}
    )


def die() -> None:
    """Neither can be caught: SIGKILL, or TerminateProcess on Windows."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def dying(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """``function``, but its call number ``call`` (from 0) is the process's last deed."""
    n_calls = 0

    def replacement(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls > call:
            die()
        return function(*args, **kwargs)

    return replacement


def dying_once_committed(write: Callable[..., Any], call: int) -> Callable[..., Any]:
    """A method of `RunWriter` whose call number ``call`` (from 0) commits what came before, and dies."""
    n_calls = 0

    def replacement(writer: RunWriter, *args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls > call:
            writer.flush()
            die()
        return write(writer, *args, **kwargs)

    return replacement


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stack", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--at-map", type=int, default=None, help="die with so many maps committed")
    parser.add_argument("--at-picture", type=int, default=None, help="die with so many pictures committed")
    parser.add_argument("--in", dest="function", choices=["create_group", "build_pyramid", "trim"], default=None)
    parser.add_argument("--call", type=int, default=0)
    parser.add_argument("--uncalibrated", action="store_true", help="of the camera only the pixel size is given")
    options = parser.parse_args()
    if options.function == "create_group":
        zarr.create_group = dying(zarr.create_group, options.call)
    if options.function == "build_pyramid":
        series.build_pyramid = dying(series.build_pyramid, options.call)
    if options.function == "trim":
        arrays.SeriesWriter.trim = dying(arrays.SeriesWriter.trim, options.call)  # type: ignore[method-assign]

    if options.at_map is not None:
        RunWriter.write_map = dying_once_committed(RunWriter.write_map, options.at_map)  # type: ignore[method-assign]
    if options.at_picture is not None:
        write = dying_once_committed(RunWriter.write_reconstruction, options.at_picture)
        RunWriter.write_reconstruction = write  # type: ignore[method-assign]

    config = make_config(camera={"pixel_size_nm": 160.0}) if options.uncalibrated else make_config()
    is_there = options.run.exists()
    session = (
        open_resumed_run(options.run, publish=False)
        if is_there
        else open_live_run(f"tiff:{options.stack}?fps=400", options.run, config, publish=False)
    )
    with session:
        session.run()


if __name__ == "__main__":
    main()
