"""Runs one experiment or all of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.report import Report, markdown_table
from benchmarks.validation import __doc__ as explanation
from benchmarks.validation import drift, filaments, live, mitochondria, rotation, static

EXPERIMENTS = {
    "filaments": filaments.run,
    "drift": drift.run,
    "rotation": rotation.run,
    "live": live.run,
    "mitochondria": mitochondria.run,
    "static": static.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.validation",
        description=explanation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", choices=["all", *EXPERIMENTS])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="minutes: fewer frames (default)")
    length.add_argument("--full", action="store_true", help="as many frames as the paper, or more")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where figures go")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("validation", {"quick": not options.full})
    chosen = list(EXPERIMENTS) if options.experiment == "all" else [options.experiment]
    for name in chosen:
        started = time.perf_counter()
        outcome = EXPERIMENTS[name](not options.full, options.out)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        print(f"## {name}\n\n{markdown_table(outcome.header, outcome.rows)}\n", flush=True)
        report.add(name, {"settings": outcome.settings, "header": outcome.header, "rows": outcome.rows})
    report.finish(options.json)


if __name__ == "__main__":
    main()
