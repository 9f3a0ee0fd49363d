"""The page of file formats is what the registries say."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def test_the_page_is_up_to_date(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "docs" / "generate"))
    page = importlib.import_module("formats_page")
    text = page.PAGE.read_text(encoding="utf-8")
    # If this fails: python docs/generate/formats_page.py
    assert page.render(text) == text
    assert "Nikon N-STORM" in text
