"""``dblink-live convert``: a localization table in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli import format_help
from dblink_live.cli.options import Verbs, add_json, add_pixel_size, add_table, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.progress import CONSOLE


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "convert",
        run=run,
        help="write the localizations of a run or a table in another format",
        example="dblink-live convert storm.csv storm.hdf5 --pixel-size-nm 108\n"
        "  dblink-live convert cell1.run cell1.csv",
        details=format_help.tables,
    )
    parser.add_argument(
        "table",
        metavar="RUN|TABLE",
        type=Path,
        help="a run folder, or a localization table; what is in it decides, not its name (docs/reference/formats.md)",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="its extension selects the format: the list below",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    add_pixel_size(parser, "side of a camera pixel; needed to write positions in pixels that are read in nanometres")
    add_table(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.tables import TABLE_DTYPE
    from dblink_live.workflows.inputs.table_input import (
        check_new_table,
        check_pixels_known,
        read_table,
        report_notes,
        write_table,
    )

    check_new_table(options.out, options.overwrite)
    table = read_table(options.table, options.pixel_size_nm, channel=options.channel, unit=options.unit)
    check_pixels_known(table, options.table, options.out)
    with input_accepted():
        left_out = write_table(options.out, table)
    report_notes(table, options.table, CONSOLE)
    unknown = [name for name in TABLE_DTYPE.names or () if name not in table.known_columns()]
    listed = f"; not in {options.table.name}, so left out or NaN: {', '.join(unknown)}" if unknown else ""
    listed += f"; not kept in {options.out.name}: {', '.join(left_out)}" if left_out else ""
    return Outcome(
        text=f"{len(table)} localizations: {options.out}{listed}",
        figures={
            "table": str(options.out),
            "localizations": len(table),
            "pixel_size_nm": table.pixel_size_nm,
            "shape": list(table.field()),
            "columns": list(table.known_columns()),
            "unknown": unknown,
            "left_out": list(left_out),
            "notes": list(table.notes),
        },
    )
