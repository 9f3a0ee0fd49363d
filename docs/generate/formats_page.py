"""The tables of file formats, written from the registries of formats into docs/reference/formats.md.

    python docs/generate/formats_page.py

`tests/docs/test_formats_page.py` fails where the page is not what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dblink_live.sources.files.stack_format import stack_formats
from dblink_live.tables import TABLE_DTYPE, TableFormat, table_formats
from dblink_live.tables.table_format import EVERY_COLUMN

PAGE = Path(__file__).resolve().parents[1] / "reference" / "formats.md"


def blocks() -> dict[str, str]:
    """Return the generated parts of the page by their names."""
    return {"tables": tables(), "columns": columns(), "recordings": recordings()}


def tables() -> str:
    """Return the table of localization tables."""
    rows = [
        (
            found.name,
            ", ".join(f"`{suffix}`" for suffix in found.suffixes),
            f"`{found.written_suffix}`" if found.write is not None else "no",
            found.versions,
            found.positions,
            found.first_frame,
            found.refused,
        )
        for found in table_formats()
    ]
    header = ["table", "files", "written as", "read", "positions", "first frame", "refused"]
    return _markdown(header, rows)


def columns() -> str:
    """Return which of our columns each written format holds."""
    names = [*(name for name in TABLE_DTYPE.names or () if name != "frame"), "z_nm", "lpz_nm", "channel"]
    rows = [(f"`{found.written_suffix}`", *_marks(found, names)) for found in table_formats() if found.write]
    return _markdown(["written", *(f"`{name}`" for name in names)], rows)


def recordings() -> str:
    """Return the table of recordings."""
    rows = [
        (
            found.name,
            f"`{found.scheme}:`",
            ", ".join(f"`{suffix}`" for suffix in found.suffixes) or "a folder",
            found.versions,
            found.refused,
            ", ".join(f"`{option}`" for option in found.all_options),
        )
        for found in stack_formats()
    ]
    return _markdown(["recording", "source", "files", "read", "refused", "options"], rows)


def render(page: str) -> str:
    """Return ``page`` with its generated parts written anew.

    Raises
    ------
    ValueError
        A part has no place in the page.
    """
    for name, content in blocks().items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(page)) != 1:
            raise ValueError(f"expected one part {begin} ... {end} in {PAGE}")
        block = f"{begin}\n\n{content}\n\n{end}"
        page = pattern.sub(lambda _, block=block: block, page)
    return page


def _marks(found: TableFormat, names: Sequence[str]) -> list[str]:
    unknown = found.holds - EVERY_COLUMN
    if unknown:
        raise ValueError(f"expected known columns in the format {found.name}, found {sorted(unknown)}")
    return ["yes" if name in found.holds else "" for name in names]


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
