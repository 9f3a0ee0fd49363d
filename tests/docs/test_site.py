"""The documentation as a site: it builds without a warning, and its generated pages leave nothing out."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import dblink_live
from dblink_live.config import RunConfig

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def generate(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the generators, importable."""
    folder = repository / "docs" / "generate"
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built without a warning or a broken link."""
    pytest.importorskip("mkdocstrings", reason="needs the dependency group docs")
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_site_has_every_name_of_the_face(site: Path) -> None:
    api = (site / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    missing = [name for name in dblink_live.__all__ if f">{name}<" not in api and not name.startswith("__")]
    assert not missing


@pytest.mark.slow
def test_pages_load_nothing_from_another_host(site: Path) -> None:
    """Neither scripts nor styles, fonts or pictures: the PC of a microscope often has no network."""
    loaded = re.compile(r"""<(?:script|img|iframe)\b[^>]*\bsrc="?https?:|<link\b[^>]*\bstylesheet[^>]*https?:""")
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    assert not [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium; on Debian: apt-get install chromium")
def test_the_site_is_searched_from_a_folder(site: Path, tmp_path: Path) -> None:
    assert BROWSER is not None
    page = f"{(site / 'reference' / 'formats.html').as_uri()}?q=thunderstorm"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    command = [BROWSER, *options, "--virtual-time-budget=60000", page]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr
    assert re.search(r"md-search-result__meta.>\d+ matching documents", done.stdout)


@pytest.mark.usefixtures("generate")
def test_command_line_page_has_every_verb_and_every_option() -> None:
    import cli_page

    from dblink_live.cli.main import build_parser

    page = cli_page.render()
    verbs = dict(cli_page.iter_verbs(build_parser()))
    assert {"run", "view", "export", "doctor"} <= set(verbs)
    for name, (_, parser) in verbs.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
        options = {flag for action in shown for flag in action.option_strings} - {"-h", "--help"}
        assert not [option for option in options if f"`{option}" not in section], name


@pytest.mark.usefixtures("generate")
def test_configuration_page_has_every_key_with_its_default() -> None:
    import configuration_page

    page = configuration_page.render_run()
    for section in msgspec.structs.fields(RunConfig):
        rows = page.partition(f"## `[{section.name}]`")[2].partition("\n## ")[0].splitlines()
        for key in msgspec.structs.fields(section.type):
            (row,) = [row for row in rows if row.startswith(f"| `{key.name}` |")]
            default = row.split(" | ")[2]
            assert default == ("not set" if key.default is None else default)
            assert default.startswith("`") == (key.default is not None)


@pytest.mark.usefixtures("generate")
@pytest.mark.parametrize(
    ("address", "link", "expected"),
    [
        pytest.param("how-to/live_runs.md", "[a](refine.md#memory)", "[a](refine.md#memory)", id="within docs"),
        pytest.param(
            "how-to/plugins.md",
            "[a](../../plugins/picasso/README.md)",
            "[a](../plugins/picasso/README.md)",
            id="copied page",
        ),
        pytest.param(
            "plugins/napari/README.md",
            "[a](../../docs/explanation/security.md)",
            "[a](../../explanation/security.md)",
            id="from a copied page into docs",
        ),
        pytest.param("how-to/raw.md", "[`types`](../../dblink_live/types.py)", "`dblink_live/types.py`", id="code"),
        pytest.param("how-to/raw.md", "[a](https://zarr.dev)", "[a](https://zarr.dev)", id="another host"),
    ],
)
def test_links_that_leave_docs(address: str, link: str, expected: str) -> None:
    import repository_links

    assert repository_links.rewrite(f"See {link}.", address) == f"See {expected}."
