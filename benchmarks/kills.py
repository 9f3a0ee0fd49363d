"""Kills the main process of a live run at random moments and looks at what is left.

    python -m benchmarks.kills [--times 10] [--seed S] [--json FILE]

Each time a simulated camera behind a real Micro-Manager core runs at 50 frames a second, a subscriber keeps every
picture that it is shown, and
the process that localizes, reconstructs and commits is killed (SIGKILL; TerminateProcess on Windows). Then `verify` is
asked, every committed window is read, every committed picture that was shown is compared bit by bit, and the camera
process must be gone.
"""

from __future__ import annotations

import argparse
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Report, markdown_table
from dblink_live.bus import Subscriber
from dblink_live.store import checksum, open_run, verify_run
from dblink_live.store.arrays import encode_probability

FIRST_PICTURE_TIMEOUT_S = 120.0
CAMERA_GONE_TIMEOUT_S = 40.0


@dataclass
class KillFinding:
    """What one kill left behind."""

    killed_after_s: float
    """Since the first picture was shown."""
    n_counts: int = 0
    n_live: int = 0
    n_compared: int = 0
    """Committed pictures that were compared with what had been shown."""
    problems: list[str] = field(default_factory=list)


def kill_a_run(folder: Path, delay_s: float, frames: int = 1500) -> KillFinding:
    """Start a run in ``folder``, kill it ``delay_s`` after its first picture, examine what is left."""
    address = f"tcp://127.0.0.1:{_free_port()}"
    source = f"sim:filaments?fps=50&size=32&seed=3&frames={frames}"
    command = [sys.executable, "-m", "dblink_live", "run", "--no-view", "--source", source, "--out", str(folder)]
    command += [
        "--set",
        f'publish.address="{address}"',
        "--set",
        "reconstruct.lookahead=4",
        "--set",
        "reconstruct.hop=2",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    shown: dict[tuple[int, int], str] = {}
    over, first_picture = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(address, shown, first_picture, over))
    watcher.start()
    try:
        if not first_picture.wait(FIRST_PICTURE_TIMEOUT_S):
            raise RuntimeError(f"expected a picture within {FIRST_PICTURE_TIMEOUT_S:g} s; exit status {process.poll()}")
        time.sleep(delay_s)
        children = _children(process.pid)
    finally:
        process.kill()
        process.wait()
        over.set()
        watcher.join()
    finding = KillFinding(delay_s)
    report = verify_run(folder)
    finding.problems += report.problems
    with open_run(folder) as run:
        for window in run.windows():
            found = checksum(run.read_window(window)).hex()
            expected = shown.get((window.segment, window.window)) if window.product == "live" else None
            if expected is not None:
                finding.n_compared += 1
                if found != expected:
                    finding.problems.append(f"window {window.window} differs from what was shown")
        finding.n_counts, finding.n_live = run.committed_count("counts"), run.committed_count("live")
    finding.problems += [f"process {pid} outlived the run" for pid in _still_alive(children)]
    return finding


def _watch(
    address: str, shown: dict[tuple[int, int], str], first_picture: threading.Event, over: threading.Event
) -> None:
    """Keep the checksum of each picture that is shown; some are skipped, as the wire is allowed to."""
    with Subscriber(address) as subscriber:
        while not over.is_set():
            subscriber.poll()
            message = subscriber.latest("live")
            if message is not None:
                picture = encode_probability(message.image, "uint8")
                shown[message.segment, message.number] = checksum(picture).hex()
                first_picture.set()
            time.sleep(0.001)


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _still_alive(pids: list[int]) -> list[int]:
    import psutil

    deadline = time.perf_counter() + CAMERA_GONE_TIMEOUT_S
    while time.perf_counter() < deadline and any(psutil.pid_exists(pid) for pid in pids):
        time.sleep(0.05)
    return [pid for pid in pids if psutil.pid_exists(pid)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for n in range(options.times):
            finding = kill_a_run(Path(name) / f"{n}.run", rng.uniform(0.0, 6.0))
            verdict = "whole" if not finding.problems else "; ".join(finding.problems)
            rows.append([finding.killed_after_s, finding.n_counts, finding.n_live, finding.n_compared, verdict])
            print(f"{n + 1}/{options.times}: {verdict}", file=sys.stderr, flush=True)
    header = ["killed after s", "maps committed", "pictures committed", "compared with what was shown", "verify"]
    print(markdown_table(header, rows))
    report = Report("kills", {"times": options.times, "seed": options.seed})
    report.add("rows", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)
    return int(any(row[-1] != "whole" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
