"""MkDocs hooks: pages that are generated when the site is built, and links that leave ``docs/``.

Generated are the reference of the command line, of the configuration and of the Python interface, and one tutorial page
per script in ``examples/``. Pages that live elsewhere in the repository (plug-ins, model cards, the change log) are
copied into the site, so that every link in it leads to a page of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import api_page
import cli_page
import configuration_page
import navigation
import repository_links
import tutorial_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

GENERATED: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page.render,
    "reference/configuration.md": configuration_page.render_run,
    "reference/training_settings.md": configuration_page.render_training,
    **api_page.pages(),
    **tutorial_page.pages(ROOT / "examples"),
}
"""Address of a page in the site, and what writes it."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation."""
    navigation.complete(config.nav or [], Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated and the copied pages."""
    for address, render in GENERATED.items():
        files.append(File.generated(config, address, content=render()))
    for source, address in repository_links.COPIED.items():
        files.append(File.generated(config, address, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside ``docs/`` into links to their copies, or into plain text."""
    return repository_links.rewrite(markdown, page.file.src_uri)
