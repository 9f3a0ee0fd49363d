"""Malformed messages against the wire: how many were tried, for how long, and how many crashed something.

    python -m benchmarks.fuzz [--minutes M] [--seed S] [--json FILE]

Valid messages are changed by the byte and by the field, and go to the decoder, to a publisher's ports (as requests,
as floods of parts, as subscriptions, from peers that never read, as plain bytes) and to a subscriber whose publisher
lies.
Each of the three runs in a process of its own. A crash is a process that ends, an exception other than `WireError`,
or an honest question that is not answered within 30 s any more; it is noted, and the process is started again with
the next seed. Where atheris is installed (``pip install atheris``; Linux and macOS), a quarter of the time goes to a
search guided by coverage through the decoder's Python code; msgspec's C code is exercised and not traced.

Memory is the highest resident size that was seen in any of the processes, and how much of it came after the first
tenth of its time: what leaks, grows.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import re
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection

import psutil

from benchmarks.fuzz_targets import TARGETS
from benchmarks.report import Report, markdown_table

_SAMPLE_S = 0.1
_GRACE_S = 120.0


@dataclass
class Finding:
    """What came of one target."""

    target: str
    inputs: int = 0
    minutes: float = 0.0
    crashes: list[str] = field(default_factory=list)
    peak_rss_mb: float = 0.0
    rss_growth_mb: float | None = None
    """Highest resident size after the first tenth of the time, less the highest within it."""


def fuzz(name: str, seconds: float, seed: int) -> Finding:
    """Run a target for ``seconds``, again and again where it crashes."""
    finding = Finding(name)
    begin = time.perf_counter()
    early = late = 0.0
    while (left := seconds - (time.perf_counter() - begin)) > 0:
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_run_target, args=(name, seed, left, there))
        process.start()
        there.close()
        watched = psutil.Process(process.pid)
        crash = f"seed {seed}: it came to no end"
        while time.perf_counter() - begin < seconds + _GRACE_S:
            try:
                told = here.recv() if here.poll(_SAMPLE_S) else None
            except EOFError:
                process.join()
                crash = f"seed {seed}: the process ended with {process.exitcode}"
                break
            if isinstance(told, int):
                finding.inputs += told
            elif isinstance(told, str):
                crash = f"seed {seed}: {told}" if told else ""
                break
            try:
                size_mb = watched.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            if time.perf_counter() - begin < seconds / 10:
                early = max(early, size_mb)
            else:
                late = max(late, size_mb)
        if crash:
            finding.crashes.append(crash)
        process.kill()
        process.join()
        seed += 1
    finding.minutes = (time.perf_counter() - begin) / 60
    finding.peak_rss_mb = max(early, late)
    finding.rss_growth_mb = late - early if late and early else None
    return finding


def _run_target(name: str, seed: int, seconds: float, out: Connection) -> None:
    """In a process of its own: tell the number of inputs now and then, and in the end what went wrong, or nothing."""
    inputs, told_s = 0, time.perf_counter()
    try:
        for tried in TARGETS[name](seed, seconds):
            inputs += tried
            if time.perf_counter() - told_s > 2 * _SAMPLE_S:
                out.send(inputs)
                inputs, told_s = 0, time.perf_counter()
    except Exception:
        out.send(inputs)
        out.send(traceback.format_exc(limit=-4))
        return
    out.send(inputs)
    out.send("")


def fuzz_guided(seconds: float, seed: int) -> Finding | None:
    """The decoder, with inputs that atheris finds by coverage; None where it is not installed."""
    if importlib.util.find_spec("atheris") is None:
        return None
    command = [sys.executable, "-m", "benchmarks.fuzz_guided", str(max(1, round(seconds))), str(seed)]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_S, check=False)
    finding = Finding("decoder, guided", minutes=(time.perf_counter() - begin) / 60)
    figures = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    finding.inputs = int(figures.get("number_of_executed_units", 0))
    finding.peak_rss_mb = float(figures.get("peak_rss_mb", 0)) * 2**20 / 1e6
    if done.returncode != 0 or not finding.inputs:
        finding.crashes.append(f"seed {seed}: exit status {done.returncode}: {done.stderr[-2000:]}")
    return finding


def main() -> int:
    """Print the table; exit status 1 where something crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="in all (default 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    share_s = 60.0 * options.minutes / (len(TARGETS) + 1)
    guided = fuzz_guided(share_s, options.seed)
    findings = [guided] if guided else []
    if guided is None:
        print("atheris is not installed: no search guided by coverage, its share of the time goes to the others")
        share_s = 60.0 * options.minutes / len(TARGETS)
    findings += [fuzz(name, share_s, options.seed) for name in TARGETS]

    rows = [
        (found.target, found.inputs, found.minutes, len(found.crashes), found.peak_rss_mb, found.rss_growth_mb or "")
        for found in findings
    ]
    print(markdown_table(("target", "inputs", "minutes", "crashes", "peak RSS [MB]", "grown [MB]"), rows))
    crashes = [crash for found in findings for crash in found.crashes]
    for crash in crashes:
        print(crash)
    report = Report("fuzz", {"minutes": options.minutes, "seed": options.seed, "guided": guided is not None})
    report.add("targets", [asdict(found) for found in findings])
    report.add("inputs", sum(found.inputs for found in findings))
    report.add("minutes", sum(found.minutes for found in findings))
    report.add("crashes", len(crashes))
    report.add("peak_rss_mb", max(found.peak_rss_mb for found in findings))
    report.finish(options.json)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
