"""Runs the scripts of ``examples/`` and puts their pictures into the tutorial.

python -m benchmarks.examples [--docs docs] [--only 1 4]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.examples", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="pictures go into its images/tutorial")
    parser.add_argument("--only", nargs="+", metavar="N", help="numbers of the scripts to run (default: all)")
    options = parser.parse_args()
    images = options.docs / "images" / "tutorial"
    images.mkdir(parents=True, exist_ok=True)
    for script in sorted(EXAMPLES.glob("[0-9]*.py")):
        if options.only and script.name[0] not in options.only:
            continue
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(EXAMPLES / "data", Path(folder) / "data")
            subprocess.run([sys.executable, script], cwd=folder, check=True)
            for picture in sorted((Path(folder) / "pictures").iterdir()):
                shutil.copy(picture, images / picture.name)
        print(f"{script.name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
