"""``dblink-live export``: results of a run as files that other programs open."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative, not_negative_int
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "export",
        run=run,
        help="write a run's pictures as a movie, a TIFF for ImageJ or a PNG, and its localizations as a table",
        example="dblink-live export cell1.run --movie cell1.mp4 --tiff cell1.tif --locs cell1.csv",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="a run folder, finished or not")
    parser.add_argument(
        "--movie",
        metavar="F.mp4",
        type=Path,
        help="a movie with scale bar, time stamp and the words that say what drew it",
    )
    parser.add_argument(
        "--tiff", metavar="F.tif", type=Path, help="a stack that ImageJ opens with scale and time, float32"
    )
    parser.add_argument(
        "--locs",
        metavar="F",
        type=Path,
        help="a localization table; its ending names the format: .csv, .hdf5, ... as `convert` writes them",
    )
    parser.add_argument("--picture", metavar="F.png", type=Path, help="the newest picture of the range of time")
    parser.add_argument(
        "--product",
        choices=("live", "full", "sum"),
        help="live pictures, the full pass, or the plain sum of 25 windows (default: full if there is one, else live)",
    )
    parser.add_argument(
        "--from", metavar="S", dest="from_s", type=not_negative, help="only windows that begin at S seconds or later"
    )
    parser.add_argument(
        "--to", metavar="S", dest="to_s", type=not_negative, help="only windows that begin at S seconds or before"
    )
    parser.add_argument(
        "--region",
        metavar="X,Y,W,H",
        type=_region,
        help="part of the field, in camera pixels from its upper left corner",
    )
    parser.add_argument("--segment", metavar="N", type=not_negative_int, help="segment (default: the longest one)")
    parser.add_argument("--scale-bar", action="store_true", help="draw a scale bar into the picture; movies have one")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.export import export

    written = export(
        options.run_folder,
        movie=options.movie,
        tiff=options.tiff,
        locs=options.locs,
        picture=options.picture,
        product=options.product,
        segment=options.segment,
        region=options.region,
        from_s=options.from_s,
        to_s=options.to_s,
        scale_bar=options.scale_bar,
        overwrite=options.overwrite,
        progress=CONSOLE,
    )
    return Outcome(
        text="\n".join(
            f"{file.kind}: {file.path} ({file.n_items} {_unit(file.kind, file.n_items)})" for file in written
        ),
        figures={
            "run": str(options.run_folder),
            "files": {file.kind: {"path": str(file.path), "items": file.n_items} for file in written},
        },
    )


def _unit(kind: str, n_items: int) -> str:
    return ("localization" if kind == "locs" else "picture") + ("" if n_items == 1 else "s")


def _region(text: str) -> tuple[float, float, float, float]:
    """Four numbers, separated by commas."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected four numbers x,y,width,height, found {text!r}") from None
    return x, y, width, height
