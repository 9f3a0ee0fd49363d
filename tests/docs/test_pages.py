"""What pages name is there: files of the repository, benchmarks, Python that can be read, words of the glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_commands import blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FOLDERS = "dblink_live|tests|benchmarks|plugins|examples|docs"
_FILE = re.compile(rf"(?<![\w/.])(?:{_FOLDERS})/[\w./-]+\.(?:py|md|toml|csv|tif)\b")
_MODULE = re.compile(r"python -m (benchmarks(?:\.\w+)+)")

each_page = pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])


@each_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = set(_FILE.findall(page.read_text(encoding="utf-8")))
    assert not sorted(name for name in named if not (ROOT / name).exists())


@each_page
def test_commands_that_measure_are_there(page: Path) -> None:
    modules = set(_MODULE.findall(page.read_text(encoding="utf-8")))
    paths = {module: ROOT / module.replace(".", "/") for module in modules}
    assert not [name for name, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").exists())]


@each_page
def test_python_on_a_page_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(page), "exec")


def test_glossary_is_in_the_order_of_the_alphabet_and_says_each_word_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.MULTILINE)]
    assert words == sorted(set(words))
    assert {"window", "lookahead", "hop", "lookback", "envelope", "ledger", "segment", "tail"} <= set(words)
