"""Kills what comes after a run's first process: the one that takes it up again, and the one that refines it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.edge_reader import reading_at_the_edge
from benchmarks.killing import (
    BEGINNING_TIMEOUT_S,
    END_TIMEOUT_S,
    KillFinding,
    changed,
    children_of,
    command_to_run,
    committed,
    environment,
    examine,
    free_address,
    kill_a_run,
    poll,
    resume_a_run,
    still_alive,
)
from dblink_live.store import open_run
from dblink_live.store.lock import is_being_written

RESUMING_S = 2.0
"""The process that resumes is killed within so many seconds after it has opened the run for writing."""
REFINING_S = 0.6


def kill_the_resumption(folder: Path, chance: random.Random, frames: int, fps: float) -> KillFinding:
    """Kill the main process, then the one that takes the run up, and take it up once more."""
    with reading_at_the_edge(folder) as edge:
        first = kill_a_run(folder, chance.uniform(0.0, 0.5 * frames / fps), frames, fps=fps, at_once=True, record=True)
        finding = KillFinding("resume", chance.uniform(0.0, RESUMING_S), problems=first.problems)
        _kill_a_verb(folder, ["resume", str(folder), "--no-view"], finding)
        resume_a_run(folder, finding, frames)
    finding.n_at_edge = edge.n_compared
    finding.problems += edge.problems
    return finding


def kill_the_refinement(folder: Path, chance: random.Random, frames: int, fps: float) -> KillFinding:
    """Refine a whole run, kill that, and refine again."""
    finding = KillFinding("refine", chance.uniform(0.0, REFINING_S))
    command = command_to_run(folder, free_address(), frames, fps, view=False, record=True)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment(), timeout=END_TIMEOUT_S)
    _kill_a_verb(folder, ["refine", str(folder), "--device", "cpu"], finding)
    before = committed(folder)
    again = [sys.executable, "-m", "dblink_live", "refine", str(folder), "--device", "cpu"]
    done = subprocess.run(again, capture_output=True, text=True, env=environment(), timeout=END_TIMEOUT_S)
    if done.returncode != 0:
        finding.problems.append(f"refine ended with status {done.returncode}: {done.stderr[-500:]}")
    finding.end = "refined"
    finding.problems += changed(before, committed(folder))
    with open_run(folder) as run:
        rows = [*run.windows("counts"), *run.windows("mended")]
        n_full, n_maps = run.committed_count("full"), len({(row.segment, row.window) for row in rows})
    if n_full != n_maps:
        finding.problems.append(f"expected a picture of the full pass for each of {n_maps} maps, found {n_full}")
    examine(folder, finding, {})
    return finding


AFTERWARDS: dict[str, Callable[[Path, random.Random, int, float], KillFinding]] = {
    "resume": kill_the_resumption,
    "refine": kill_the_refinement,
}


def _kill_a_verb(folder: Path, arguments: list[str], finding: KillFinding) -> None:
    """Start a verb that writes to a run, kill it, and examine the run."""
    before = committed(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "dblink_live", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    children: list[psutil.Process] = []
    try:
        begun = poll(lambda: is_being_written(folder) or process.poll() is not None or None, BEGINNING_TIMEOUT_S)
        if not begun:
            raise RuntimeError(f"expected {arguments[0]} to begin within {BEGINNING_TIMEOUT_S:g} s, found nothing")
        time.sleep(finding.killed_after_s)
        children = children_of(process.pid)
    finally:
        process.kill()
        process.wait()
    finding.problems += [f"process {pid} outlived {arguments[0]}" for pid in still_alive(children)]
    finding.problems += changed(before, committed(folder))
    examine(folder, finding, {})
