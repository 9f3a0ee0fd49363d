"""The commands and code blocks of Markdown pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:<!-- tests: (?P<how>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
_INDENTED = re.compile(r"^ {4}(dblink-live .*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\.\.\.|\[|<|(?<![\w-])[A-Z]{2,}(?![\w.])")
"""What stands for something else: ``...``, ``[--option]``, ``<name>``, ``RUN``."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    how: str
    """``run``, or ``parse`` with a reason; empty where the page does not say."""
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Lines of a block of commands, without comments and with continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        return [line.removeprefix("$ ").strip() for line in joined.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of ``page``."""
    text = page.read_text(encoding="utf-8")
    return [Block(found["how"] or "", found["language"], found["text"]) for found in _BLOCK.finditer(text)]


def dblink_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words behind ``dblink-live`` of every complete command on ``page``, fenced or indented.

    Lines with a placeholder are left out: they show a form and no command.
    """
    fenced = [line for block in blocks(page) if block.language == "console" for line in block.commands]
    for line in [*fenced, *_INDENTED.findall(page.read_text(encoding="utf-8"))]:
        command = re.split(r"\s#\s", line)[0].strip()
        if command.startswith("dblink-live ") and not _PLACEHOLDER.search(command):
            # Backslashes belong to Windows paths here.
            yield shlex.split(command.replace("\\", "/"))[1:]
