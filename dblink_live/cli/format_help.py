"""The formats that a verb reads or writes, from their registries, as the end of its ``--help``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

COLUMNS = 100


def recordings() -> str:
    """Return every kind of recording: its source, its files and its options."""
    from dblink_live.sources.files.stack_format import stack_formats

    rows = [
        (
            f"{found.scheme}:PATH",
            f"{found.name} ({', '.join(found.suffixes) or 'a folder'}); options {', '.join(found.all_options)}",
        )
        for found in stack_formats()
    ]
    return _listed("recordings", rows)


def tables() -> str:
    """Return every format of localization tables: its files, and whether it is written."""
    from dblink_live.tables import table_formats

    rows = [
        (
            ", ".join(found.suffixes),
            f"{found.name}; {f'{found.written_suffix} writes it' if found.write else 'read only'}",
        )
        for found in table_formats()
    ]
    return _listed("tables", rows)


def recordings_and_tables() -> str:
    """Return both lists."""
    return f"{recordings()}\n\n{tables()}"


def _listed(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"{title}:"]
    for name, text in rows:
        lines += textwrap.wrap(text, COLUMNS, initial_indent=f"  {name:<17} ", subsequent_indent=" " * 20)
    return "\n".join(lines)
