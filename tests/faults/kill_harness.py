"""Runs a command that writes a run, kills it at a random moment, and looks at what is left.

    python tests/faults/kill_harness.py --times 10 -- COMMAND...

``{run}`` in the command stands for the run folder, which is made anew each time, and ``{published}`` for a file in
which the command may name what it showed to others: lines of JSON, ``[product, segment, window, checksum in hex]``.
What is committed must then be what was published.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dblink_live.errors import StoreError
from dblink_live.store import checksum, open_run, verify_run

PublishedKey = tuple[str, int, int]


@dataclass
class CrashFinding:
    """What one kill left behind."""

    killed_after_s: float
    """Since the journal appeared."""
    had_ended: bool
    """The command was over before the moment came."""
    status: str = "no run yet"
    committed: dict[str, int] = field(default_factory=dict)
    n_published: int = 0
    n_compared: int = 0
    """Committed windows that were compared with what was published."""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        windows = ", ".join(f"{n} {product}" for product, n in self.committed.items() if n) or "nothing"
        verdict = "whole" if not self.problems else f"{len(self.problems)} PROBLEMS: {self.problems[0]}"
        return (
            f"killed after {self.killed_after_s:.3f} s{' (had ended)' if self.had_ended else ''}: {self.status}; "
            f"committed {windows}; {self.n_compared} compared with {self.n_published} published; {verdict}"
        )


def run_and_kill(
    command: Sequence[str],
    run: Path,
    delay_s: float,
    *,
    published: Path | None = None,
    patience_s: float = 120.0,
) -> CrashFinding:
    """Start ``command``, kill it ``delay_s`` after its journal appeared, and examine the run.

    The kill cannot be caught: SIGKILL, or TerminateProcess on Windows. Only the process itself is killed, as a crash
    would; what it had started must notice for itself.

    Raises
    ------
    RuntimeError
        The command ended, or took ``patience_s``, without beginning a run.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    started = time.perf_counter()
    try:
        while not (run / "journal.sqlite").exists():
            if process.poll() is not None or time.perf_counter() - started > patience_s:
                raise RuntimeError(f"expected {command[0]} to begin a run in {run}, exit status {process.poll()}")
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay_s)
        had_ended = process.poll() is not None
    finally:
        process.kill()
        process.wait()
    finding = CrashFinding(delay_s, had_ended)
    examine(run, finding, read_published(published))
    return finding


def examine(run: Path, finding: CrashFinding, published: dict[PublishedKey, str]) -> None:
    """Fill in what is left of ``run``; every committed window must be readable and be what was published."""
    finding.n_published = len(published)
    try:
        report = verify_run(run)
    except StoreError as error:
        # Killed before the journal's tables were there: no run has begun, so there is nothing to be whole.
        if published:
            finding.problems.append(f"windows were published, but: {error}")
        return
    finding.status, finding.committed = report.status, report.windows
    finding.problems += report.problems
    with open_run(run) as opened:
        for row in opened.windows():
            shown = published.get((row.product, row.segment, row.window))
            if shown is None:
                if published:
                    finding.problems.append(f"{row.product} window {row.window} is committed and was never published")
                continue
            finding.n_compared += 1
            if checksum(opened.read_window(row)).hex() != shown:
                finding.problems.append(f"{row.product} window {row.window} differs from what was published")


def read_published(path: Path | None) -> dict[PublishedKey, str]:
    """What the command said it had shown; the line that the kill cut short does not count."""
    if path is None or not path.exists():
        return {}
    shown = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            product, segment, window, digest = json.loads(line)
        except ValueError:
            continue
        shown[product, segment, window] = digest
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument(
        "--spread-s", type=float, default=2.0, help="the kill comes within so many seconds of the run's beginning"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = [word for word in options.command if word != "--"]
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    tally: Counter[str] = Counter()
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as scratch:
            run, published = Path(scratch) / "run", Path(scratch) / "published"
            filled = [word.format(run=run, published=published) for word in command]
            finding = run_and_kill(filled, run, chance.uniform(0, options.spread_s), published=published)
        print(finding, flush=True)
        tally["with problems" if finding.problems else "whole"] += 1
    print(dict(tally))
    return 1 if tally["with problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
