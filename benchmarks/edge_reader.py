"""A reader that lives at the edge of what is committed: plain zarr-python, in a process of its own.

    python -m benchmarks.edge_reader RUN

It asks the journal for the newest committed window of each product, reads its pixels with zarr-python, which knows
nothing of the journal, and compares their checksum with the row's. It begins before the run is there, goes on over
deaths and resumptions, and answers with a line of JSON when its standard input ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zarr

from dblink_live.errors import DblinkError
from dblink_live.store import Run, checksum, open_run

REPOSITORY = Path(__file__).resolve().parents[1]
PAUSE_S = 0.005
ANSWER_TIMEOUT_S = 60.0


@dataclass
class EdgeFinding:
    """What the reader saw."""

    n_compared: int = 0
    problems: list[str] = field(default_factory=list)


@contextmanager
def reading_at_the_edge(folder: Path) -> Iterator[EdgeFinding]:
    """Let a reader follow ``folder``; the finding is filled in when the block ends."""
    finding = EdgeFinding()
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.edge_reader", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    )
    try:
        if process.stdout is not None:
            process.stdout.readline()  # it is up
        yield finding
        answer, _ = process.communicate(timeout=ANSWER_TIMEOUT_S)
        seen = EdgeFinding(**json.loads(answer))
        finding.n_compared, finding.problems = seen.n_compared, seen.problems
    finally:
        process.kill()
        process.wait()


def follow(folder: Path, finding: EdgeFinding, over: threading.Event) -> None:
    """Compare the newest committed windows until ``over``."""
    seen: set[tuple[str, int]] = set()
    run: Run | None = None
    while not over.wait(PAUSE_S):
        if run is None:
            # Before the journal's tables are there it is no run yet.
            with suppress(DblinkError):
                run = open_run(folder)
            continue
        for name, length in _lengths(run).items():
            if (name, length) not in seen:
                seen.add((name, length))
                _compare(run, name, length - 1, finding)
    if run is not None:
        run.close()


def _lengths(run: Run) -> dict[str, int]:
    return {name: len(array) for name in ("counts", "live") if (array := run.array(name)) is not None and len(array)}


def _compare(run: Run, series: str, index: int, finding: EdgeFinding) -> None:
    row = next(row for row in run.windows("counts" if series == "counts" else "live") if row.array_index == index)
    # Opened anew, as a program would that comes just now.
    array = zarr.open_array(run.path / "run.ome.zarr" / series / "0", mode="r")
    finding.n_compared += 1
    if checksum(array[index]) != row.checksum:
        finding.problems.append(f"{series} window {row.window} differed from its row when it was the newest")


def main() -> int:
    finding, over = EdgeFinding(), threading.Event()

    def wait_for_the_end() -> None:
        # The descriptor itself: the lock of sys.stdin would still be held when the interpreter shuts down.
        while os.read(0, 4096):
            time.sleep(PAUSE_S)
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print("reading", flush=True)
    try:
        follow(Path(sys.argv[1]), finding, over)
    except Exception as error:
        finding.problems.append(f"the reader failed: {type(error).__name__}: {error}")
    print(json.dumps(asdict(finding)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
