"""Ten questions of a new user: clicks from the site's first page to the answer, and how much is read before it.

    python3 run.py docs
    python -m benchmarks.questions [--site build/site] [--docs docs]

Clicks are counted along links that a wide window shows: those of the text, the tabs, and the menu of a page's own part.
Seconds are reckoned, not clocked: 3 s per click, and the words above the answer, at 4 words per second. An answer that
the pages lack is an error.
"""

from __future__ import annotations

import argparse
import re
from collections import deque
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from benchmarks.documents import find_page, write_block
from benchmarks.report import markdown_table

SECONDS_PER_CLICK = 3.0
WORDS_PER_SECOND = 4.0
QUESTIONS = (
    ("Which window length for my dye?", "how-to/choose_window.html", "about 3 molecules per um2"),
    ("Which GPU do I need?", "faq.html", "None for 64 x 64 camera pixels"),
    ("Two colours, or 3D?", "faq.html", "two dimensions, one colour per run"),
    ("How do I get it into ImageJ?", "how-to/export.html", "--tiff"),
    ("Why is my picture empty?", "troubleshooting.html", "The picture is empty"),
    ("Is what I see real?", "explanation/what_to_believe.html", "plain sum"),
    ("How late is the live picture?", "faq.html", "Lookahead plus hop windows"),
    ("Do I have to calibrate the camera?", "how-to/cameras.html", "estimated"),
    ("Which files does it read?", "reference/formats.html", "DECODE HDF5"),
    ("What must a paper say?", "how-to/publish.html", "window"),
)


class Page(HTMLParser):
    """The links of a page, and the words of its article."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.menu: list[str] = []
        """Links of the menu at the side, of which a wide window shows the page's own part."""
        self.words: list[str] = []
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a link, and of where the article begins."""
        if tag == "a":
            stated = dict(attrs)
            is_menu = not self._depth and "md-tabs__link" not in (stated.get("class") or "")
            (self.menu if is_menu else self.links).append(stated.get("href") or "")
        if tag == "article":
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        """Take note of where the article ends."""
        self._depth -= tag == "article"

    def handle_data(self, data: str) -> None:
        """Take the words of the article."""
        if self._depth:
            self.words += data.split()


def route(pages: dict[str, Page], goal: str) -> list[str]:
    """Return the pages on the shortest way from the first page to ``goal``, both included."""
    came_from: dict[str, str | None] = {"index.html": None}
    waiting = deque(came_from)
    while waiting:
        name = waiting.popleft()
        if name == goal:
            break
        page = pages[name]
        for link, is_menu in [*((link, False) for link in page.links), *((link, True) for link in page.menu)]:
            parts = urlsplit(link)
            if parts.scheme or not parts.path:
                continue
            target = _resolved(name, unquote(parts.path))
            if is_menu and target.rpartition("/")[0] != name.rpartition("/")[0]:
                continue
            if target in pages and target not in came_from:
                came_from[target] = name
                waiting.append(target)
    found, at = [], goal if goal in came_from else None
    while at is not None:
        found.append(at)
        at = came_from[at]
    return found[::-1]


def words_before(page: Page, answer: str) -> int:
    """Return how many words of the article stand before ``answer``.

    Raises
    ------
    ValueError
        The page does not say it.
    """
    text = " ".join(page.words)
    at = re.search(re.escape(answer), text, re.IGNORECASE)
    if at is None:
        raise ValueError(f"expected {answer!r} on the page, found it nowhere")
    return len(text[: at.start()].split())


def _resolved(page: str, link: str) -> str:
    parts: list[str] = []
    for part in [*page.split("/")[:-1], *link.split("/")]:
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def main() -> None:
    """Look every question up and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--docs", type=Path, help="folder of the documentation, whose page figures is written")
    options = parser.parse_args()
    files = options.site.rglob("*.html")
    pages = {file.relative_to(options.site).as_posix(): Page(file.read_text(encoding="utf-8")) for file in files}
    rows = []
    for question, goal, answer in QUESTIONS:
        way = route(pages, goal)
        clicks = len(way) - 1
        n_words = words_before(pages[goal], answer)
        seconds = SECONDS_PER_CLICK * clicks + n_words / WORDS_PER_SECOND
        rows.append([question, goal.removesuffix(".html"), clicks, n_words, f"{seconds:.0f}"])
    table = markdown_table(["question", "page", "clicks", "words above the answer", "seconds, reckoned"], rows)
    words = [len(page.words) for name, page in pages.items() if not name.startswith(("reference/api", "404"))]
    table += f"\n\n{len(words)} pages beside the Python reference, {sum(words) // len(words)} words on average."
    print(table)
    if options.docs is not None:
        write_block(find_page(options.docs, "figures"), "questions", table)


if __name__ == "__main__":
    main()
