"""Runs one experiment or all of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.documents import find_page, measured_with, write_block
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
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), help="pictures go into its images/, tables into its validation.md"
    )
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    length_name = "--full" if options.full else "--quick"
    images = options.docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    report = Report("validation", {"quick": not options.full})
    chosen = list(EXPERIMENTS) if options.experiment == "all" else [options.experiment]
    for name in chosen:
        started = time.perf_counter()
        outcome = EXPERIMENTS[name](not options.full, images)
        seconds = time.perf_counter() - started
        table = markdown_table(outcome.header, outcome.rows)
        head = f"`{length_name}`: {outcome.settings['frames']:,} frames; {measured_with(outcome.weights, seconds)}"
        print(f"## {name}\n\n{head}\n\n{table}\n", flush=True)
        if any(options.docs.rglob("validation.md")):
            document = find_page(options.docs, "validation")
            write_block(document, f"{name} {length_name}", f"{head}\n\n{table}")
            if (images / f"validation_{name}.mp4").exists():
                write_block(document, f"{name} movie", f"**[The movie](../images/validation_{name}.mp4)**")
        else:
            print(f"no validation.md below {options.docs}: tables were only printed", file=sys.stderr)
        sha256 = {model.name: model.sha256 for model in outcome.weights}
        settings = {**outcome.settings, "weights": sha256, "seconds": seconds}
        report.add(name, {"settings": settings, "header": outcome.header, "rows": outcome.rows})
    report.finish(options.json)


if __name__ == "__main__":
    main()
