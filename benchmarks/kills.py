"""Kills a process of a live run at random moments, takes the run up again, and looks at what is left.

    python -m benchmarks.kills [--times 10] [--resume] [--victims main,acquire,viewer] [--seed S] [--json FILE]

Each time a simulated camera behind a real Micro-Manager core runs at 100 frames a second, a subscriber keeps the
checksum of every picture that it is shown, and one process is killed (SIGKILL; TerminateProcess on Windows): the main
one, which localizes, reconstructs and commits; the camera's; or the viewer. Then `verify` is asked, every committed
window is read, every committed picture that was shown is compared bit by bit, the OME-Zarr is validated by yaozarrs,
and no camera process may be left.

With ``--resume`` the run is then taken up by `dblink-live resume`, and looked at again: what was committed must be
what it was, the ledger must balance, and all frames that were asked for must have come. A run whose viewer is killed
must go on to its end by itself. A reader follows the edge of what is committed through all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import yaozarrs

from benchmarks.edge_reader import reading_at_the_edge
from benchmarks.report import Report, markdown_table
from dblink_live.bus import Subscriber
from dblink_live.errors import StoreError
from dblink_live.store import checksum, encode_probability, open_run, verify_run

BEGINNING_TIMEOUT_S = 120.0
END_TIMEOUT_S = 120.0
GONE_TIMEOUT_S = 40.0
FPS = 100
N_FRAMES = 300

VICTIMS = {"main": "", "acquire": "dblink_live.acquire.process", "viewer": "dblink_live.viewer"}
"""Who can be killed, and what tells its command line among the children of the main process."""

WindowKey = tuple[str, int, int]
Found = TypeVar("Found")


@dataclass
class KillFinding:
    """What one kill left behind."""

    victim: str
    killed_after_s: float
    """Since the moment that it was counted from."""
    n_counts: int = 0
    n_live: int = 0
    n_compared: int = 0
    """Committed pictures that were compared with what had been shown."""
    n_at_edge: int = 0
    """Windows that were read and compared while they were the newest."""
    end: str = "left as it was"
    problems: list[str] = field(default_factory=list)


def kill_a_run(
    folder: Path, delay_s: float, frames: int = 1500, *, victim: str = "main", fps: float = 50, at_once: bool = False
) -> KillFinding:
    """Start a run in ``folder``, kill a process of it, examine what is left.

    Parameters
    ----------
    folder
        The run to make.
    delay_s
        When the kill comes, counted from the first picture; with ``at_once`` from the moment that the victim and a
        readable journal are there.
    frames
        That the camera takes.
    victim
        One of `VICTIMS`.
    """
    address = f"tcp://127.0.0.1:{_free_port()}"
    finding = KillFinding(victim, delay_s)
    shown: dict[tuple[int, int], str] = {}
    over, first_picture = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(address, shown, first_picture, over))
    watcher.start()
    process = subprocess.Popen(
        _command(folder, address, frames, fps, view=victim == "viewer"), stderr=subprocess.DEVNULL, env=_environment()
    )
    children: list[psutil.Process] = []
    try:
        doomed = _wait_for_victim(process, folder, victim)
        if not at_once and not first_picture.wait(BEGINNING_TIMEOUT_S):
            raise RuntimeError(f"expected a picture within {BEGINNING_TIMEOUT_S:g} s; exit status {process.poll()}")
        time.sleep(delay_s)
        if process.poll() is not None:
            finding.problems.append("the run was over before the kill came; ask for more frames")
        children = _children(process.pid)
        doomed.kill()
        if victim != "main":
            status = process.wait(END_TIMEOUT_S)
            finding.end = f"ended with status {status}"
            if status != (0 if victim == "viewer" else 1):
                finding.problems.append(f"the main process ended with status {status}")
    finally:
        process.kill()
        process.wait()
        over.set()
        watcher.join()
        for child in children:
            if VICTIMS["viewer"] in _command_line(child):  # meant to outlive the run
                child.kill()
    finding.problems += [f"process {pid} outlived the run" for pid in _still_alive(children)]
    _examine(folder, finding, shown)
    return finding


def resume_a_run(folder: Path, finding: KillFinding, frames: int) -> None:
    """Take the run up, unless it came to its end by itself, and examine it once more."""
    before = _committed(folder)
    with open_run(folder) as run:
        n_kept = sum(row.stop - row.start for row in run.windows("counts"))
        is_complete = run.status == "complete"
    if is_complete:
        finding.end = "went on to its end"
    else:
        command = [sys.executable, "-m", "dblink_live", "resume", str(folder), "--no-view", "--json"]
        resumed = subprocess.run(command, capture_output=True, text=True, env=_environment(), timeout=END_TIMEOUT_S)
        if resumed.returncode != 0:
            finding.problems.append(f"resume ended with status {resumed.returncode}: {resumed.stderr[-500:]}")
            return
        finding.end = "resumed"
        seen = json.loads(resumed.stdout)["frames"]["seen"]
        if seen != frames - n_kept:
            finding.problems.append(f"expected {frames - n_kept} frames after the {n_kept} that were kept, got {seen}")
    after = _committed(folder)
    finding.problems += [
        f"{product} window {window} of segment {segment} is lost or changed"
        for (product, segment, window), digest in before.items()
        if after.get((product, segment, window)) != digest
    ]
    report = verify_run(folder)
    if report.status != "complete" or report.windows["live"] != report.windows["counts"]:
        finding.problems.append(f"expected a complete run with a picture a map, found {report.status} {report.windows}")
    _examine(folder, finding, {})


def kill_and_resume(folder: Path, victim: str, delay_s: float, frames: int = N_FRAMES, fps: float = FPS) -> KillFinding:
    """One kill, and one resumption, under the eyes of a reader."""
    with reading_at_the_edge(folder) as edge:
        finding = kill_a_run(folder, delay_s, frames, victim=victim, fps=fps, at_once=True)
        resume_a_run(folder, finding, frames)
    finding.n_at_edge = edge.n_compared
    finding.problems += edge.problems
    return finding


def _command(folder: Path, address: str, frames: int, fps: float, *, view: bool) -> list[str]:
    source = f"sim:filaments?fps={fps:g}&size=32&seed=3&frames={frames}"
    settings = [f'publish.address="{address}"', "reconstruct.lookahead=4", "reconstruct.hop=2"]
    command = [sys.executable, "-m", "dblink_live", "run", "--view" if view else "--no-view", "--source", source]
    return [*command, "--out", str(folder), *(word for setting in settings for word in ("--set", setting))]


def _environment() -> dict[str, str]:
    return {"QT_QPA_PLATFORM": "offscreen", **os.environ}


def _wait_for_victim(process: subprocess.Popen[bytes], folder: Path, victim: str) -> psutil.Process:
    def look() -> psutil.Process | None:
        if process.poll() is not None:
            raise RuntimeError(f"expected the run to begin, found that it ended with status {process.returncode}")
        try:
            open_run(folder).close()
        except StoreError:
            return None
        if victim == "main":
            return psutil.Process(process.pid)
        return next((child for child in _children(process.pid) if VICTIMS[victim] in _command_line(child)), None)

    found = _poll(look, BEGINNING_TIMEOUT_S)
    if found is None:
        raise RuntimeError(f"expected a process {victim} within {BEGINNING_TIMEOUT_S:g} s, found none")
    return found


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


def _examine(folder: Path, finding: KillFinding, shown: dict[tuple[int, int], str]) -> None:
    """Add what is wrong with the run as it is now, also against what was shown of it."""
    finding.problems += verify_run(folder).problems
    root = folder / "run.ome.zarr"
    if (root / "zarr.json").exists():
        try:
            yaozarrs.validate_zarr_store(str(root))
        except Exception as error:
            finding.problems.append(f"not a valid OME-Zarr: {error}")
    for (product, segment, window), digest in _committed(folder).items():
        expected = shown.get((segment, window)) if product == "live" else None
        if expected is not None:
            finding.n_compared += 1
            if digest != expected:
                finding.problems.append(f"window {window} of segment {segment} differs from what was shown")
    with open_run(folder) as run:
        finding.n_counts, finding.n_live = run.committed_count("counts"), run.committed_count("live")


def _committed(folder: Path) -> dict[WindowKey, str]:
    """Checksums of the pixels of all committed windows, as they are read now."""
    with open_run(folder) as run:
        return {(row.product, row.segment, row.window): checksum(run.read_window(row)).hex() for row in run.windows()}


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _still_alive(processes: list[psutil.Process]) -> list[int]:
    gone = _poll(lambda: not any(_is_alive(process) for process in processes) or None, GONE_TIMEOUT_S)
    return [] if gone else [process.pid for process in processes if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    """A process that nobody has waited for has ended, too."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _poll(look: Callable[[], Found | None], timeout_s: float) -> Found | None:
    deadline = time.perf_counter() + timeout_s
    while (found := look()) is None and time.perf_counter() < deadline:
        time.sleep(0.02)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="kills, over all victims together")
    parser.add_argument("--resume", action="store_true", help="take each run up again")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="whom to kill, in turn")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    victims = options.victims.split(",")
    if not set(victims) <= set(VICTIMS):
        parser.error(f"expected victims among {', '.join(VICTIMS)}, found {options.victims}")
    rng = random.Random(options.seed)
    findings = []
    for n in range(options.times):
        victim, delay_s = victims[n % len(victims)], rng.uniform(0.0, N_FRAMES / FPS)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "killed.run"
            if options.resume:
                finding = kill_and_resume(folder, victim, delay_s)
            else:
                finding = kill_a_run(folder, delay_s, N_FRAMES, victim=victim, fps=FPS, at_once=True)
        findings.append(finding)
        verdict = "whole" if not finding.problems else "; ".join(finding.problems)
        print(f"{n + 1}/{options.times}: {victim} {finding.end}: {verdict}", file=sys.stderr, flush=True)
    print(markdown_table(*_table(findings, victims)))
    report = Report("kills", {"times": options.times, "seed": options.seed, "resume": options.resume})
    report.add("rows", [vars(finding) for finding in findings])
    report.finish(options.json)
    return int(any(finding.problems for finding in findings))


def _table(findings: list[KillFinding], victims: list[str]) -> tuple[list[str], list[list[object]]]:
    header = [
        "killed",
        "kills",
        "resumed",
        "went on",
        "with problems",
        "windows committed",
        "compared with what was shown",
    ]
    rows: list[list[object]] = []
    for victim in [*victims, "all"]:
        own = [finding for finding in findings if victim in (finding.victim, "all")]
        counted: list[object] = [
            sum(finding.end == end for finding in own) for end in ("resumed", "went on to its end")
        ]
        n_windows = sum(finding.n_counts + finding.n_live for finding in own)
        n_compared = sum(finding.n_compared + finding.n_at_edge for finding in own)
        rows.append([victim, len(own), *counted, sum(bool(f.problems) for f in own), n_windows, n_compared])
    return header, rows


if __name__ == "__main__":
    sys.exit(main())
