"""Figures in documents: a benchmark writes what it measured between two comment lines that name it.

    <!-- measured: drift --quick -->
    ...
    <!-- end -->

A rerun changes what stands between them and nothing else, so that no figure is copied by hand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

END = "<!-- end -->"
SHA_DIGITS = 12


class Weights(Protocol):
    """A network as far as a document names it."""

    name: str
    sha256: str


def find_page(docs: Path, name: str) -> Path:
    """Return the page ``name`` of the documentation, whichever of its parts holds it.

    Raises
    ------
    FileNotFoundError
        No part holds a page of this name, or several do.
    """
    found = sorted(docs.rglob(f"{name}.md"))
    if len(found) != 1:
        raise FileNotFoundError(f"expected one page {name}.md below {docs}, found {len(found)}")
    return found[0]


def write_block(document: Path, name: str, content: str) -> None:
    """Put ``content`` into the block called ``name``.

    Raises
    ------
    ValueError
        The document has no such block, or several.
    """
    text = document.read_text(encoding="utf-8")
    begin = f"<!-- measured: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(END)}", re.DOTALL)
    found = len(pattern.findall(text))
    if found != 1:
        raise ValueError(f"expected one block {begin!r} ... {END!r} in {document}, found {found}")
    block = f"{begin}\n\n{content.strip()}\n\n{END}"
    document.write_text(pattern.sub(lambda _: block, text), encoding="utf-8")


def measured_with(weights: Iterable[Weights], seconds: float | None = None) -> str:
    """With which weights and when a figure was measured, and how busy the machine was."""
    named = ", ".join(f"`{one.name}` {one.sha256[:SHA_DIGITS]}" for one in weights)
    parts = [f"weights {named}" if named else "no weights", datetime.now(UTC).date().isoformat()]
    if seconds is not None:
        parts.append(f"{seconds:.0f} s on {os.cpu_count()} cores{_load()}")
    return "; ".join(parts)


def _load() -> str:
    return f" at a load of {os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else ""
