"""The navigation: pages that ``mkdocs.yml`` does not name stand at the end of the part in whose folder they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = {"tutorial": "Tutorial", "how-to": "How-to", "reference": "Reference", "explanation": "Explanation"}
"""Folder of a part, and its title in the navigation."""
DECISIONS = "decisions"
"""Folder of the decision records, a section of the explanation."""


def complete(nav: list[Any], docs: Path) -> None:
    """Add to ``nav``, in place, the pages of each part that it does not name, and all decision records."""
    named = set(_addresses(nav))
    sections: dict[str, list[Any]] = {title: entry for item in nav for title, entry in _pairs(item)}
    for folder, title in PARTS.items():
        pages = sorted(page.relative_to(docs).as_posix() for page in (docs / folder).glob("*.md"))
        sections[title] += [page for page in pages if page not in named]
    sections[PARTS["reference"]] += sorted(page.name for page in docs.glob("*.md") if page.name not in named)
    records = sorted(page.relative_to(docs).as_posix() for page in (docs / DECISIONS).glob("*.md"))
    sections[PARTS["explanation"]].append({"Decisions": records})


def _pairs(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        yield from item.items()


def _addresses(nav: Any) -> Iterator[str]:
    """Yield every address in a navigation, however deep it is nested."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for entry in nav.values():
            yield from _addresses(entry)
    elif isinstance(nav, list):
        for entry in nav:
            yield from _addresses(entry)
