"""Tutorial pages from the scripts in ``examples/``: text becomes prose, code code, saved figures pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

PICTURES = "images/tutorial"
"""Folder in ``docs/`` with the pictures that `python -m benchmarks.examples` copies there."""

_SAVED = re.compile(r'PICTURES / "([\w-]+\.png)"')


def pages(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the address of the tutorial page of each numbered script, and what writes it."""
    scripts = sorted(folder.glob("[0-9]*.py"))
    return {f"tutorial/{address(script)}": partial(render, script) for script in scripts}


def address(script: Path) -> str:
    """Return the file name of the page of ``script``.

    Examples
    --------
    >>> address(Path("examples/1_table_to_video.py"))
    'table_to_video.md'
    """
    return f"{script.stem.partition('_')[2]}.md"


def render(script: Path) -> str:
    """Return the page of ``script``."""
    parts = [_markdown(kind, text) for kind, text in cells(script.read_text(encoding="utf-8"))]
    note = f"*This page is the script `examples/{script.name}`; the test suite runs it.*"
    title, _, rest = parts[0].partition("\n")
    return "\n\n".join([title, note, rest.strip(), *parts[1:]]) + "\n"


def cells(source: str) -> Iterator[tuple[str, str]]:
    """Yield the cells of a script in the percent format: ("markdown" | "code", text)."""
    for block in re.split(r"^# %%", source, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        if "[markdown]" in head:
            yield "markdown", "\n".join(re.sub(r"^# ?", "", line) for line in body.strip().splitlines())
        elif body.strip():
            yield "code", body.strip()


def _markdown(kind: str, text: str) -> str:
    if kind == "markdown":
        return text
    pictures = [f"![{name}](../{PICTURES}/{name})" for name in _SAVED.findall(text)]
    return "\n\n".join([f"```python\n{text}\n```", *pictures])
