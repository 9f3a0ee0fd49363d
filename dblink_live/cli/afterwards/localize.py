"""``dblink-live localize``: the molecules of a recorded stack, as a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli import format_help
from dblink_live.cli.options import (
    Verbs,
    add_calibration,
    add_camera_options,
    add_json,
    add_localizer,
    add_settings,
    add_verb,
    settings_of,
    source_of,
)
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "localize",
        run=run,
        help="find the molecules in a recorded stack and write them as a table",
        example="dblink-live localize stack.tif --out locs.csv --pixel-size-nm 108 --offset-adu 100",
        details=format_help.recordings,
    )
    parser.add_argument(
        "stack",
        metavar="STACK",
        help="a recording of camera frames (.tif, Picasso .raw, .zarr, NDTiff), or a source such as tiff:stack.dat",
    )
    parser.add_argument(
        "--out",
        metavar="TABLE",
        type=Path,
        required=True,
        help=".csv writes ThunderSTORM's columns, .hdf5 Picasso's; also .txt, .mat, .h5, .smlm, .parquet",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace TABLE if it exists")
    add_camera_options(parser)
    add_calibration(parser)
    add_localizer(parser)
    add_settings(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.tables import write_localizations
    from dblink_live.workflows.inputs.table_input import check_new_table
    from dblink_live.workflows.localize import localize_stack

    check_new_table(options.out, options.overwrite)
    settings = settings_of(options)
    found = localize_stack(source_of(options, options.stack), settings.localizer, settings.camera, progress=True)
    with input_accepted():
        pixel_size_nm = found.camera.pixel_size_nm
        write_localizations(options.out, found.localizations, found.segment.shape, pixel_size_nm, found.n_frames)
    n = len(found.localizations)
    per_frame = n / found.n_frames if found.n_frames else 0.0
    return Outcome(
        text=f"{n} localizations in {found.n_frames} frames ({per_frame:.1f} per frame): {options.out}",
        figures={
            "table": str(options.out),
            "frames": found.n_frames,
            "localizations": n,
            "localizer": settings.localizer.name,
            "pixel_size_nm": pixel_size_nm,
            "is_calibrated": found.camera.is_calibrated,
            "is_estimated": found.camera.is_estimated,
            "notes": list(found.notes),
        },
    )
