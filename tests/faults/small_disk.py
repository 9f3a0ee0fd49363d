"""Fills a real file system of a few pages at every page of a short run. Linux: it mounts one in a namespace of its own.

python small_disk.py FOLDER --stride 1

FOLDER is an empty directory, over which a tmpfs is mounted that nobody else sees. For each size a run is written until
it does not fit; then space is given, and the run is taken up. One line of JSON says what was found.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from synthetic import GRID, INFO, WINDOW_FRAMES, balanced_ledger, make_map, make_picture, make_segment, write_window

from dblink_live.errors import StoreError
from dblink_live.store import RunWriter, checksum, encode_probability, open_run, verify_run

N_WINDOWS = 5
PAGE = 4096
PLENTY = 4096
"""Pages that any of these runs fits into."""
COARSE = 8
"""Pages between two disks, until one holds at least a run's databases; from there on they are tried one by one."""
CANNOT_MOUNT = 77
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000


@dataclass
class DiskFinding:
    """What became of the runs."""

    n_too_small: int = 0
    """Disks that no run could be begun on."""
    n_interrupted: int = 0
    n_fitted: int = 0
    max_committed: int = 0
    """Windows of the run that came furthest before its disk was full."""
    messages: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def enter_namespace() -> None:
    """From here on, what this process mounts is seen by itself alone."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        sys.exit(CANNOT_MOUNT)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def resize(folder: Path, n_pages: int, *, again: bool = False) -> None:
    option = f"{'remount,' if again else ''}size={n_pages * PAGE}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        sys.exit(CANNOT_MOUNT)


def write(run: Path) -> str | None:
    """Write the run; what stopped it, or None."""
    try:
        with RunWriter.create(run, INFO, window_frames=WINDOW_FRAMES) as writer:
            writer.begin_segment(make_segment(), GRID)
            for window in range(N_WINDOWS):
                write_window(writer, 0, window)
            writer.write_ledger(0, balanced_ledger(N_WINDOWS))
    except StoreError as error:
        return str(error)
    return None


def take_up(run: Path) -> None:
    """Write what is missing and complete the run."""
    with open_run(run) as opened:
        n_segments = len(opened.segments)
        done = {(row.product, row.window) for row in opened.windows()}
    with RunWriter.resume(run) as writer:
        if n_segments == 0:
            writer.begin_segment(make_segment(), GRID)
        for window in range(N_WINDOWS):
            if ("counts", window) not in done:
                write_window(writer, 0, window)
        writer.write_ledger(0, balanced_ledger(N_WINDOWS))


def check(run: Path, when: str, finding: DiskFinding) -> int:
    """Compare every committed window with what was written; return their number."""
    finding.problems += [f"{when}: {problem}" for problem in verify_run(run).problems]
    with open_run(run) as opened:
        rows = opened.windows()
        for row in rows:
            expected = (
                make_map(0, row.window)[0].counts
                if row.product == "counts"
                else encode_probability(make_picture(0, row.window), "uint8")
            )
            if checksum(opened.read_window(row)) != checksum(expected):
                finding.problems.append(f"{when}: {row.product} window {row.window} differs")
    return len(rows)


def read_while_full(run: Path, n_pages: int, finding: DiskFinding) -> None:
    """What is committed can be read before any space is given."""
    try:
        with open_run(run) as opened:
            rows = opened.windows()
    except StoreError as error:
        if "is full" in str(error):
            finding.problems.append(f"{n_pages} pages, while full: {error}")
        return
    if rows:
        check(run, f"{n_pages} pages, while full", finding)


def try_size(folder: Path, n_pages: int, finding: DiskFinding) -> None:
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    resize(folder, n_pages, again=True)
    message = write(run)
    if message is not None:
        read_while_full(run, n_pages, finding)
    resize(folder, PLENTY, again=True)
    if message is None:
        finding.n_fitted += 1
        return
    general = message.replace(str(folder), "DISK")
    if general not in finding.messages:
        finding.messages.append(general)
    try:
        open_run(run).close()
    except StoreError:
        finding.n_too_small += 1
        return
    finding.n_interrupted += 1
    finding.max_committed = max(finding.max_committed, check(run, f"{n_pages} pages", finding))
    take_up(run)
    if open_run(run).status != "complete":
        finding.problems.append(f"{n_pages} pages: not complete after it was taken up")
    check(run, f"{n_pages} pages, taken up", finding)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stride", type=int, default=1, help="pages between two sizes")
    options = parser.parse_args()
    enter_namespace()
    resize(options.folder, PLENTY)
    finding = DiskFinding()
    n_pages = 1
    while not finding.n_interrupted and not finding.n_fitted:
        try_size(options.folder, n_pages, finding)
        n_pages += COARSE
    n_pages -= 2 * COARSE - 1
    while not finding.n_fitted:
        try_size(options.folder, n_pages, finding)
        n_pages += options.stride
    print(json.dumps(asdict(finding)))


if __name__ == "__main__":
    main()
