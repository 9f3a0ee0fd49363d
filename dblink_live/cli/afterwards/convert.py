"""``dblink-live convert``: a localization table in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb, positive
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "convert",
        run=run,
        help="write a localization table in another format",
        example="dblink-live convert storm.csv storm.hdf5 --pixel-size-nm 108",
    )
    parser.add_argument(
        "table",
        metavar="TABLE",
        type=Path,
        help="ThunderSTORM's .csv, Picasso's .hdf5 with its .yaml, rapidSTORM's .txt, SMAP's .mat, DECODE's .h5, "
        "Elyra's .txt, .smlm or .parquet; what is in it decides",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help=".csv writes ThunderSTORM's columns, .hdf5 Picasso's and a .yaml beside it, .txt rapidSTORM's, "
        ".mat SMAP's, .h5 DECODE's, .smlm the SMLM file format's, .parquet ThunderSTORM's columns in binary",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--pixel-size-nm",
        metavar="NM",
        type=positive,
        help="side of a camera pixel; needed to write positions in pixels that are read in nanometres",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.tables import format_of, read_localizations, write_localizations

    check_new_table(options.out, options.overwrite)
    table = read_localizations(options.table, options.pixel_size_nm)
    if format_of(options.out).is_in_pixels and not table.is_pixel_size_known:
        raise UsageError(
            f"expected --pixel-size-nm: {options.table} is in nanometres, and {options.out.name} states camera pixels"
        )
    with input_accepted():
        write_localizations(options.out, table)
    return Outcome(
        text=f"{len(table)} localizations: {options.out}",
        figures={
            "table": str(options.out),
            "localizations": len(table),
            "pixel_size_nm": table.pixel_size_nm,
            "shape": list(table.field()),
        },
    )


def check_new_table(path: Path, overwrite: bool) -> None:
    """Before any work is done, refuse what could not be written after it."""
    from dblink_live.tables import WRITTEN_SUFFIXES, format_of

    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        *first, last = WRITTEN_SUFFIXES
        raise UsageError(f"expected a table that ends in {', '.join(first)} or {last}, found {path}")
    format_of(path)
    if not path.parent.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {path.parent}")
    if path.exists() and not overwrite:
        raise UsageError(f"expected a new table, but {path} exists; give another name, or --overwrite")
