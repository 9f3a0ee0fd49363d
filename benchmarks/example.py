"""The example of the pages analysis and report: a simulated recording, from frames to its report.

    python -m benchmarks.example [--docs docs] [--runs runs/example]

Filaments that move at 8 times the speed of the released simulator, 1,000 camera frames; `dblink-live report` makes the
run, its full pass and the page, and what it measured goes into docs/how-to/analysis.md. Where Chromium is installed, it
takes the picture of the page for docs/how-to/report.md. Frames come from a file, so that none is lost and a rerun gives
the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import markdown_table
from dblink_live.cli import main as dblink_live
from dblink_live.models import load_model

SIMULATE = ("simulate", "filaments", "--raw", "--preset", "8x speed", "--frames", "1000", "--seed", "7", "--overwrite")
WINDOW = "1280,1500"
"""Of the picture: width and height of the page's top, in pixels."""
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--runs", type=Path, default=Path("runs/example"), help="where the run and its page are kept")
    options = parser.parse_args()
    started = time.perf_counter()
    options.runs.mkdir(parents=True, exist_ok=True)
    stack, run = options.runs / "filaments.tif", options.runs / "filaments.run"
    shutil.rmtree(run, ignore_errors=True)
    camera = call_json(*SIMULATE, "--out", str(stack))
    facts = [f"--set=camera.{name}={camera[name]}" for name in ("offset_adu", "electrons_per_adu")]
    answer = call_json("report", str(stack), "--full", "--out", str(run), *facts)
    table = markdown_table(["figure", "value"], rows_of(answer["figures"]))
    print(table)
    head = measured_with([load_model("filaments")], time.perf_counter() - started)
    write_block(find_page(options.docs, "analysis"), "example", f"{head}\n\n{table}")
    screenshot(Path(answer["report"]), options.docs / "images" / "report.png")


def rows_of(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that the page discusses, in its words."""
    rolling, regions = found["frc_rolling_nm"], found["frc_regions_nm"]
    stretches = "not known" if rolling is None else ", ".join(map(_nm, rolling["localizations"]))
    squares = [] if regions is None else [value for row in regions["localizations"] for value in row if value]
    return [
        ("FRC (1/7) of the raw localizations", _frc(found, "localizations")),
        ("the same, half-bit", _nm(found["frc_half_bit_nm"]["localizations"])),
        ("of stretches of time, a fifth of the recording each", stretches),
        (
            "of squares of the field, best and worst",
            f"{_nm(min(squares))}, {_nm(max(squares))}" if squares else "not known",
        ),
        ("FRC (1/7) of the reconstruction, from two halves of the frames", _frc(found, "reconstruction")),
        ("decorrelation analysis of the pictures", _nm(found["decorrelation_nm"])),
        ("drift of the pictures, largest distance from the first", _nm(found["drift_nm"])),
        ("drift of the localizations", _nm(found["drift_localizations_nm"])),
        ("consistency between every two pictures, drift undone", _share(found["consistency"])),
        ("share of the predicted pixels that localizations support", _share(found["supported_fraction"])),
        ("share of the localizations where nothing is predicted", _share(found["left_out_fraction"])),
        ("share of a picture revised, provisional to bounded", _share(found["revisions"]["provisional_to_bounded"])),
        ("bounded to full", _share(found["revisions"]["bounded_to_full"])),
        ("provisional to full", _share(found["revisions"]["provisional_to_full"])),
    ]


def screenshot(page: Path, picture: Path) -> None:
    """The top of ``page`` as a PNG, by Chromium; a line says so where there is none."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print(f"no {picture}: Chromium is not installed; on Debian: apt-get install chromium", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "page.png"
        told = [f"--user-data-dir={profile}/profile", f"--window-size={WINDOW}", f"--screenshot={shot}"]
        command = [browser, *QUIET, *told, page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300, env={**os.environ, "LC_ALL": "C.UTF-8"})
        shutil.copyfile(shot, picture)


def call_json(*arguments: str) -> dict[str, Any]:
    """What a verb prints with ``--json``."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = dblink_live([*arguments, "--json"])
    if status != 0:
        sys.exit(f"dblink-live {' '.join(arguments)} ended with status {status}")
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer


def _frc(found: Mapping[str, Any], what: str) -> str:
    at_most = found["frc_at_most_nm"][what]
    return _nm(found["frc_nm"][what]) if at_most is None else f"below {at_most:.0f} nm, the size of two pixels"


def _nm(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} nm"


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
