"""``dblink-live reconstruct``: a super-resolved video from a table, a stack or maps, as OME-Zarr."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from dblink_live.cli.options import (
    Verbs,
    add_camera,
    add_json,
    add_localizer,
    add_settings,
    add_table,
    add_verb,
    lookahead,
    positive_int,
    settings_of,
)
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "reconstruct",
        run=run,
        help="reconstruct a video from a localization table, a stack, or maps of counts",
        example="dblink-live reconstruct storm.csv --out storm.ome.zarr --pixel-size-nm 160 --window 100",
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a localization table (.csv, .hdf5, .txt), a stack (.tif, .raw), or maps of counts [T, H, W] on the "
        "model's grid (.npy, .npz with key X, .zarr)",
    )
    parser.add_argument("--out", metavar="OUT.ome.zarr", type=Path, required=True, help="the OME-Zarr image to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the OME-Zarr image at OUT if it exists")
    parser.add_argument("--model", metavar="M", help="a shipped model or a checkpoint (default filaments)")
    parser.add_argument(
        "--lookahead",
        metavar="N|full",
        type=lookahead,
        default="full",
        help="windows after a picture that it may see, or all of them (default full)",
    )
    parser.add_argument("--window", metavar="N", type=positive_int, help="camera frames per window (default 10)")
    parser.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N (default auto)")
    add_localizer(parser)
    add_camera(parser)
    add_settings(parser)
    add_table(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.models import iter_reconstruct, load_model
    from dblink_live.store.hierarchy import SeriesSpec
    from dblink_live.store.image import ImageWriter, check_new_image
    from dblink_live.workflows.network_input import read_maps

    check_new_image(options.out, options.overwrite)
    settings = settings_of(options)
    model = load_model(settings.reconstruct.model, device=settings.reconstruct.device)
    maps = read_maps(
        options.input,
        model,
        settings.windows.frames,
        settings.localizer,
        settings.camera,
        progress=True,
        channel=options.channel,
        unit=options.unit,
    )
    spec = SeriesSpec(
        product="full" if options.lookahead == "full" else "live",
        lattice=0,
        grid=maps.grid,
        dtype="uint8",
        window_frames=settings.windows.frames,
        window_s=maps.window_s,
    )
    started = time.perf_counter()
    n_windows, height, width = maps.counts.shape
    pictures = iter_reconstruct(maps.counts, model, options.lookahead)
    with (
        input_accepted(),
        ImageWriter(options.out, spec, options.overwrite) as writer,
        CONSOLE.bar("reconstructing", n_windows, "windows") as advance,
    ):
        for window, picture in pictures:
            writer.append(picture)
            advance(window + 1)
    seconds = time.perf_counter() - started
    return Outcome(
        text=f"{n_windows} windows of {height} x {width} pixels in {seconds:.1f} s: {options.out}",
        figures={
            "out": str(options.out),
            "model": model.name,
            "windows": n_windows,
            "shape": [height, width],
            "pixel_size_nm": model.pixel_size_nm,
            "lookahead": options.lookahead,
            "localizations": maps.n_localizations,
            "seconds": round(seconds, 3),
        },
    )
