"""The report in a real browser: Debian's Chromium, headless. Skipped where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_runs import write_run

from dblink_live.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium; on Debian: apt-get install chromium")
def test_chromium_draws_the_page_and_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "cells.run", 8), "nothing was measured").path
    shot = tmp_path / "page.png"
    done = browse(tmp_path, "--enable-logging=stderr", f"--screenshot={shot}", "--window-size=1200,1600", page.as_uri())
    # What a page may not load, or cannot be parsed, is written to the console.
    complaints = [line for line in done.stderr.splitlines() if re.search(r":CONSOLE[(:]|Refused to", line)]
    assert complaints == []
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    # A blank page has one colour, one of text on paper a few shades of grey; the pictures are in glowing colours.
    vivid = pixels.max(axis=1).astype(int) - pixels.min(axis=1)
    assert np.count_nonzero(vivid > 60) > 1000
    parsed = browse(tmp_path, "--dump-dom", page.as_uri()).stdout
    assert parsed.count("<img ") == 7
    assert "Made " in parsed


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # which root cannot have
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
