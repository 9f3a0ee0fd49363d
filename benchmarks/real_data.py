"""The same report on four real recordings, with pictures and a table for docs/explanation/real_data.md.

    python -m benchmarks.real_data --data ../shared/data --docs docs --runs runs/real_data [--only ecoli ...]

Two localization tables, STORM of E. coli (LacY-eYFP; Smit et al., ColiCoords) and one fluorescent bead (palm-siever),
and two stacks, podosomes (Rosten et al., threeB) and DNA-PAINT written by Micro-Manager (picasso-workflow). Each goes
through `dblink-live report`, as a user would call it; of the tables, a part of the field is cut out first. Nothing of
them was used for training, and there is no truth to score against: pictures are to be looked at, and the table says
what the data support. The pages stay in the run folders, RUN/report/report.html.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import markdown_table
from dblink_live import read_localizations
from dblink_live.cli import main as dblink_live
from dblink_live.display.snapshot import render_panels
from dblink_live.models import load_model
from dblink_live.store import open_run
from dblink_live.tables import write_localizations
from dblink_live.types import Shape

SUM_WINDOWS = 9
"""Windows around the one shown that the plain sum beside it takes."""
ECOLI_FIELD, BEAD_FIELD = (44, 44), (32, 32)
"""Camera pixels cut out: the densest 7 um of the table, and the bead."""


@dataclass(frozen=True)
class Recording:
    """A recording, and what the report is told about it."""

    name: str
    title: str
    source: str
    """Below the data folder."""
    options: tuple[str, ...]
    pixel_size_nm: float
    field_px: tuple[int, int] | None = None
    """Of a table: height and width of the densest part, which is cut out."""


RECORDINGS = (
    Recording(
        "ecoli",
        "E. coli, STORM table",
        "tab_ecoli_storm/01_storm.csv",
        ("--window", "32"),
        160.0,
        ECOLI_FIELD,
    ),
    Recording(
        "podosomes", "Podosomes, stack", "raw_3b_podosome/test_data.tif", ("--set", "localizer.name=auto"), 100.0
    ),
    Recording(
        "dna_paint",
        "DNA-PAINT, Micro-Manager stack",
        "raw_dnapaint_micromanager/3C_30px_100f.tif",
        ("--window", "4"),
        130.0,
    ),
    Recording(
        "bead",
        "One bead, table",
        "tab_bead_drift/TetraSpeck bead drift example 30ms frame.RapidStorm.txt",
        ("--window", "200", "--fiducials"),
        100.0,
        BEAD_FIELD,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="pictures and table go there")
    parser.add_argument("--runs", type=Path, default=Path("runs/real_data"), help="where runs and pages are kept")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in RECORDINGS])
    options = parser.parse_args()
    chosen = [one for one in RECORDINGS if options.only is None or one.name in options.only]
    options.runs.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    measured = {}
    for one in chosen:
        run = options.runs / f"{one.name}.run"
        measured[one.title] = _report(one, options.data / one.source, run)
        _draw(one, run, options.docs / "images" / f"real_{one.name}.png")
        write_block(find_page(options.docs, "real_data"), one.name, _pictures(one))
        print(f"{one.name}: {run / 'report' / 'report.html'}", file=sys.stderr, flush=True)
    rows = [(label, *(show(figures) for figures in measured.values())) for label, show in ROWS.items()]
    table = markdown_table(["", *measured], rows)
    print(table)
    if options.only is None:
        head = measured_with([load_model("filaments")], time.perf_counter() - started)
        write_block(find_page(options.docs, "real_data"), "real data", f"{head}\n\n{table}")


def _report(recording: Recording, source: Path, run: Path) -> Mapping[str, Any]:
    """What `dblink-live report --json` says of it; an older run there is made anew."""
    if run.exists():
        shutil.rmtree(run)
    given = source if recording.field_px is None else _cut_out(recording, source, run.with_suffix(".hdf5"))
    told = [str(given), "--out", str(run), "--pixel-size-nm", f"{recording.pixel_size_nm:g}", *recording.options]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = dblink_live(["report", "--full", *told, "--json"])
    if status != 0:
        sys.exit(f"dblink-live report {' '.join(told)} ended with status {status}")
    figures: Mapping[str, Any] = json.loads(printed.getvalue())["figures"]
    return figures


def _cut_out(recording: Recording, source: Path, path: Path) -> Path:
    """The densest part of a table, as a Picasso table, which states its field."""
    table = read_localizations(source, recording.pixel_size_nm)
    rows = table.localizations
    shape = Shape(*(recording.field_px or (1, 1)))
    top, left = _densest(rows, shape)
    rows = rows[(rows["y"] >= top - 0.5) & (rows["y"] < top + shape.height - 0.5)]
    rows = rows[(rows["x"] >= left - 0.5) & (rows["x"] < left + shape.width - 0.5)].copy()
    rows["y"] -= top
    rows["x"] -= left
    write_localizations(path, replace(table, localizations=rows, shape=shape))
    return path


def _densest(rows: np.ndarray, shape: Shape) -> tuple[int, int]:
    """First row and column of the part of ``shape`` with most localizations; of equally good ones the middle."""
    places = [np.floor(rows[axis] + 0.5).astype(int) for axis in ("y", "x")]
    limits = [int(at.max()) + side + 1 for at, side in zip(places, shape, strict=True)]
    counts = np.histogram2d(*places, bins=limits, range=[[0, limit] for limit in limits])[0]
    sums = np.cumsum(np.cumsum(np.pad(counts, ((1, 0), (1, 0))), axis=0), axis=1)
    height, width = shape
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    # A lone bead is then not at the border.
    best = np.argwhere(inside == inside.max())
    return int(np.median(best[:, 0])), int(np.median(best[:, 1]))


def _draw(recording: Recording, folder: Path, path: Path) -> None:
    """Sum of all windows, sum of a few, and reconstruction at the middle of the run."""
    with open_run(folder) as run:
        segment = run.segments[0]
        maps = [run.read_window(row).astype(np.float32) for row in run.windows("counts", 0)]
        rows = run.windows("full", 0)
        middle = len(rows) // 2
        few = maps[max(0, middle - SUM_WINDOWS // 2) : middle + SUM_WINDOWS // 2 + 1]
        picture = run.read_window(rows[middle]).astype(np.float32) / 255
    title = f"{recording.title}, window {middle} of {len(rows)}: sum of {len(few)} windows, reconstruction"
    render_panels(None, sum(few), picture, segment.grid.pitch_nm, recording.pixel_size_nm, path, title)
    title = f"{recording.title}: sum of all {len(maps)} windows, reconstruction of one"
    everything = path.with_name(f"{path.stem}_all.png")
    render_panels(None, sum(maps), picture, segment.grid.pitch_nm, recording.pixel_size_nm, everything, title)


def _pictures(recording: Recording) -> str:
    """What the page shows of a recording."""
    few = f"![{recording.title}: sum of a few windows, reconstruction](../images/real_{recording.name}.png)"
    every = f"![The same field: sum of all windows, reconstruction of one](../images/real_{recording.name}_all.png)"
    return f"{few}\n\n{every}"


def _nm(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} nm"


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0%}"


def _frc(figures: Mapping[str, Any], what: str) -> str:
    at_most = figures["frc_at_most_nm"][what]
    return _nm(figures["frc_nm"][what]) if at_most is None else f"below {at_most:.0f} nm"


ROWS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "windows": lambda found: str(found["windows"]["all"]),
    "FRC (1/7) of the localizations": lambda found: _frc(found, "localizations"),
    "the same, half-bit": lambda found: _nm(found["frc_half_bit_nm"]["localizations"]),
    "FRC (1/7) of two reconstructions from halves": lambda found: _frc(found, "reconstruction"),
    "decorrelation of the pictures": lambda found: _nm(found["decorrelation_nm"]),
    "predicted pixels that localizations support": lambda found: _share(found["supported_fraction"]),
    "localizations where nothing is predicted": lambda found: _share(found["left_out_fraction"]),
    "revised: provisional to bounded": lambda found: _share(found["revisions"]["provisional_to_bounded"]),
    "revised: bounded to full": lambda found: _share(found["revision"]),
    "consistency": lambda found: "not known" if found["consistency"] is None else f"{found['consistency']:.2f}",
    "drift by pictures": lambda found: _nm(found["drift_nm"]),
    "drift by RCC": lambda found: _nm(found["drift_localizations_nm"]),
    "drift by beads": lambda found: "-" if found["fiducials"] is None else _nm(found["fiducials"]["drift_nm"]),
}

if __name__ == "__main__":
    main()
