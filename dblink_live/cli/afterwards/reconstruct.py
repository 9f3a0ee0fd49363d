"""``dblink-live reconstruct``: a super-resolved video from a table, a stack or maps, as OME-Zarr."""

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
    add_table,
    add_verb,
    input_of,
    lookahead,
    settings_of,
)
from dblink_live.cli.result import Outcome


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "reconstruct",
        run=run,
        help="make a super-resolved video of a localization table, a stack of frames, or maps of localizations",
        example="dblink-live reconstruct storm.csv --out storm.ome.zarr --pixel-size-nm 160 --window 100",
        details=format_help.recordings_and_tables,
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a localization table (.csv, .hdf5, .txt), a stack (.tif, .raw), or maps of localizations [T, H, W] on "
        "the model's grid (.npy, .npz with key X, .zarr)",
    )
    parser.add_argument("--out", metavar="OUT.ome.zarr", type=Path, required=True, help="the OME-Zarr image to write")
    add_camera_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the OME-Zarr image at OUT if it exists")
    parser.add_argument(
        "--lookahead",
        metavar="N|full",
        type=lookahead,
        default="full",
        help="how many pictures ahead the network may look for each, as live, or full: to the end (default full)",
    )
    parser.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N (default auto)")
    add_calibration(parser)
    add_localizer(parser)
    add_settings(parser)
    add_table(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.reconstruct import reconstruct_to_image

    video = reconstruct_to_image(
        input_of(options, options.input),
        options.out,
        settings_of(options),
        options.lookahead,
        channel=options.channel,
        unit=options.unit,
        overwrite=options.overwrite,
        progress=True,
    )
    n_windows, height, width = video.shape
    return Outcome(
        text=f"{n_windows} windows of {height} x {width} pixels in {video.seconds:.1f} s: {options.out}",
        figures={
            "out": str(options.out),
            "model": video.model.name,
            "windows": n_windows,
            "shape": [height, width],
            "pixel_size_nm": video.model.pixel_size_nm,
            "lookahead": options.lookahead,
            "localizations": video.n_localizations,
            "seconds": round(video.seconds, 3),
        },
    )
