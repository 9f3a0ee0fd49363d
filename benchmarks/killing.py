"""Starts a live run, kills one of its processes, takes the run up again, and examines what is left.

What `benchmarks.kills` and the tests of faults do; see there.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import yaozarrs

from benchmarks.edge_reader import reading_at_the_edge
from dblink_live.bus import Subscriber
from dblink_live.errors import StoreError
from dblink_live.store import checksum, encode_probability, open_run, verify_run

BEGINNING_TIMEOUT_S = 600.0
END_TIMEOUT_S = 600.0
GONE_TIMEOUT_S = 40.0
FPS = 100
N_FRAMES = 300

VICTIMS = {
    "main": "",
    "acquire": "dblink_live.sources.camera_process.producer",
    "viewer": "dblink_live.viewer",
    "record": "dblink_live.pipeline.recording.record_process",
}
"""Who can be killed, and what tells its command line among the children of the main process."""
DISPENSABLE = ("viewer", "record")
"""Without these a run goes on to its end."""

WindowKey = tuple[str, int, int]
Found = TypeVar("Found")


class VictimGoneError(Exception):
    """The process that was to be killed had done its work before; nothing was tried."""


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
    folder: Path,
    delay_s: float,
    frames: int = 1500,
    *,
    victim: str = "main",
    fps: float = 50,
    at_once: bool = False,
    record: bool = False,
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
    record
        Whether camera frames are recorded; they are where the recorder is to be killed.

    Raises
    ------
    VictimGoneError
        ``delay_s`` was longer than the victim had to live.
    """
    record = record or victim == "record"
    address = free_address()
    finding = KillFinding(victim, delay_s)
    shown: dict[tuple[int, int], str] = {}
    over, first_picture = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(address, shown, first_picture, over))
    watcher.start()
    process = subprocess.Popen(
        command_to_run(folder, address, frames, fps, view=victim == "viewer", record=record),
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    children: list[psutil.Process] = []
    try:
        doomed = _wait_for_victim(process, folder, victim)
        if not at_once and not first_picture.wait(BEGINNING_TIMEOUT_S):
            raise RuntimeError(f"expected a picture within {BEGINNING_TIMEOUT_S:g} s; exit status {process.poll()}")
        time.sleep(delay_s)
        if process.poll() is not None:
            finding.problems.append("the run was over before the kill came; ask for more frames")
        children = children_of(process.pid)
        try:
            doomed.kill()
        except psutil.NoSuchProcess as error:
            raise VictimGoneError(
                f"process {victim} had come to its end {delay_s:.2f} s after it was waited for"
            ) from error
        if victim != "main":
            status = process.wait(END_TIMEOUT_S)
            finding.end = f"ended with status {status}"
            if status != (0 if victim in DISPENSABLE else 1):
                finding.problems.append(f"the main process ended with status {status}")
    finally:
        process.kill()
        process.wait()
        over.set()
        watcher.join()
        for child in children:
            if VICTIMS["viewer"] in _command_line(child):  # meant to outlive the run
                child.kill()
    finding.problems += [f"process {pid} outlived the run" for pid in still_alive(children)]
    examine(folder, finding, shown)
    return finding


def resume_a_run(folder: Path, finding: KillFinding, frames: int) -> None:
    """Take the run up, unless it came to its end by itself, and examine it once more."""
    before = committed(folder)
    with open_run(folder) as run:
        n_kept = sum(row.stop - row.start for row in run.windows("counts"))
        is_complete = run.status == "complete"
    if is_complete:
        finding.end = "went on to its end"
    else:
        command = [sys.executable, "-m", "dblink_live", "resume", str(folder), "--no-view", "--json"]
        resumed = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=END_TIMEOUT_S)
        if resumed.returncode != 0:
            finding.problems.append(f"resume ended with status {resumed.returncode}: {resumed.stderr[-500:]}")
            return
        finding.end = "resumed"
        seen = json.loads(resumed.stdout)["frames"]["seen"]
        if seen != frames - n_kept:
            finding.problems.append(f"expected {frames - n_kept} frames after the {n_kept} that were kept, got {seen}")
    finding.problems += changed(before, committed(folder))
    report = verify_run(folder)
    if report.status != "complete" or report.windows["live"] != report.windows["counts"]:
        finding.problems.append(f"expected a complete run with a picture a map, found {report.status} {report.windows}")
    examine(folder, finding, {})


def kill_and_resume(folder: Path, victim: str, delay_s: float, frames: int = N_FRAMES, fps: float = FPS) -> KillFinding:
    """One kill, and one resumption, under the eyes of a reader."""
    # A run begins when its recorder has come up; one that dies before has not been lost, it was refused.
    at_once = victim != "record"
    with reading_at_the_edge(folder) as edge:
        finding = kill_a_run(folder, delay_s, frames, victim=victim, fps=fps, at_once=at_once, record=True)
        resume_a_run(folder, finding, frames)
    finding.n_at_edge = edge.n_compared
    finding.problems += edge.problems
    return finding


def command_to_run(folder: Path, address: str, frames: int, fps: float, *, view: bool, record: bool) -> list[str]:
    """The command line of a live run of a simulated camera."""
    source = f"sim:filaments?fps={fps:g}&size=32&seed=3&frames={frames}"
    settings = [f'publish.address="{address}"', "reconstruct.lookahead=4", "reconstruct.hop=2"]
    # Every window gets its whole picture, however busy the machine is: what is looked for is what a death costs.
    settings += ["live.latency_s=1e6", "live.region=0,0,32,32"]
    command = [sys.executable, "-m", "dblink_live", "run", "--view" if view else "--no-view", "--source", source]
    command += ["--record"] if record else []
    return [*command, "--out", str(folder), *(word for setting in settings for word in ("--set", setting))]


def environment() -> dict[str, str]:
    """Of the processes that are started: a viewer needs no screen."""
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
        return next((child for child in children_of(process.pid) if VICTIMS[victim] in _command_line(child)), None)

    found = poll(look, BEGINNING_TIMEOUT_S)
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


def examine(folder: Path, finding: KillFinding, shown: dict[tuple[int, int], str]) -> None:
    """Add what is wrong with the run as it is now, also against what was shown of it."""
    finding.problems += verify_run(folder).problems
    root = folder / "run.ome.zarr"
    if (root / "zarr.json").exists():
        try:
            yaozarrs.validate_zarr_store(str(root))
        except Exception as error:
            finding.problems.append(f"not a valid OME-Zarr: {error}")
    for (product, segment, window), digest in committed(folder).items():
        expected = shown.get((segment, window)) if product == "live" else None
        if expected is not None:
            finding.n_compared += 1
            if digest != expected:
                finding.problems.append(f"window {window} of segment {segment} differs from what was shown")
    with open_run(folder) as run:
        finding.n_counts, finding.n_live = run.committed_count("counts"), run.committed_count("live")


def committed(folder: Path) -> dict[WindowKey, str]:
    """Checksums of the pixels of all committed windows, as they are read now."""
    with open_run(folder) as run:
        return {(row.product, row.segment, row.window): checksum(run.read_window(row)).hex() for row in run.windows()}


def changed(before: dict[WindowKey, str], after: dict[WindowKey, str]) -> list[str]:
    """Windows that were committed and are gone, or are others now."""
    return [
        f"{product} window {window} of segment {segment} is lost or changed"
        for (product, segment, window), digest in before.items()
        if after.get((product, segment, window)) != digest
    ]


def children_of(pid: int) -> list[psutil.Process]:
    """Processes that ``pid`` has started, and those that they have."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def still_alive(processes: list[psutil.Process]) -> list[int]:
    """Of ``processes``, those that do not end by themselves."""
    gone = poll(lambda: not any(_is_alive(process) for process in processes) or None, GONE_TIMEOUT_S)
    return [] if gone else [process.pid for process in processes if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    """A process that nobody has waited for has ended, too."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def poll(look: Callable[[], Found | None], timeout_s: float) -> Found | None:
    """Look again and again, until there is something."""
    deadline = time.perf_counter() + timeout_s
    while (found := look()) is None and time.perf_counter() < deadline:
        time.sleep(0.02)
    return found


def free_address() -> str:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"
