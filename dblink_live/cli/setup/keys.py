"""``dblink-live keys``: CURVE keys, with which a run can be looked at from another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import Verbs, add_verb
from dblink_live.cli.result import Outcome

FOLDER = Path("dblink-live-keys")


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "keys",
        run=run,
        help="make the keys with which a run can be looked at from another machine",
        example="dblink-live keys --folder cell-room-keys",
    )
    parser.add_argument(
        "--folder", metavar="F", type=Path, default=FOLDER, help=f"where to; nothing is overwritten (default {FOLDER})"
    )


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.bus import HAS_OWNER_ONLY_MODE, write_new_keys

    folder: Path = options.folder
    made = write_new_keys(folder)
    readers = (
        "The secret ones can be read by you alone."
        if HAS_OWNER_ONLY_MODE
        else "On Windows they have the permissions of their folder: keep it where only you can read."
    )
    lines = [
        *(f"made {path}" for path in made),
        readers,
        f"The run:    dblink-live run ... --publish tcp://0.0.0.0:5556 --keys {folder}",
        f"The viewer: dblink-live view tcp://HOST:5556 --keys {folder}",
        "A viewer elsewhere needs a folder with server.key and client.key_secret; server.key_secret stays here.",
    ]
    return Outcome(text="\n".join(lines))
