"""Losses forced on a real core: does the ledger explain every frame?

    python -m benchmarks.forced_losses [--kinds overflow stall roi] [--times 20] [--seed 1] [--json FILE]

Three kinds, each ``--times`` times at moments drawn at random:

- *overflow*: the pop loop of the camera process is held up until the core's buffer is full;
- *stall*: the process that reads the ring stands still until the ring has gone round;
- *roi*: while a preview watches, the camera is stopped, its region changed and started again.

What the camera took is known from the camera itself, apart from what is tested: the number of a sequence's last image
in the core's buffer, or how many frames were asked for. A time is *explained* when frames that arrived and frames that
the gaps name are together exactly those, each number once, and where a number cannot be known the ledger says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.ledger import Ledger
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.sources.frame_producer import HostClock, StopSignal
from dblink_live.sources.micromanager.live_preview import LivePreview
from dblink_live.types import CameraRecipe, Frame, FrameArray, Gap, Segment

SIDE_PX = 64
OVERFLOW_BUFFER_MB = 1
"""Holds 128 frames of 64 x 64 pixels."""


@dataclass(frozen=True)
class Outcome:
    """What one kind has shown."""

    kind: str
    times: int
    explained: int
    frames_taken: int
    frames_arrived: int
    frames_lost: dict[str, int]
    unknown_losses: int
    unexplained: list[str]


@dataclass(frozen=True)
class Account:
    """What one time has shown."""

    n_taken: int | None
    """By the camera's own word; None where nobody can know."""
    ledger: Ledger
    problem: str | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    outcomes = [summary(kind, KINDS[kind](random, options.times)) for kind in options.kinds]
    print("| kind | times | explained | taken | arrived | lost, by cause | losses of unknown size |")
    print("|---|---|---|---|---|---|---|")
    for outcome in outcomes:
        lost = ", ".join(f"{count} {cause}" for cause, count in outcome.frames_lost.items()) or "0"
        print(
            f"| {outcome.kind} | {outcome.times} | {outcome.explained} | {outcome.frames_taken} "
            f"| {outcome.frames_arrived} | {lost} | {outcome.unknown_losses} |"
        )
        for problem in outcome.unexplained:
            print(f"  {outcome.kind}: {problem}", file=sys.stderr)
    result = {
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "seed": options.seed,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result) + "\n")
    return 0 if all(outcome.explained == outcome.times for outcome in outcomes) else 1


def summary(kind: str, accounts: list[Account]) -> Outcome:
    lost: dict[str, int] = {}
    for account in accounts:
        for cause, count in account.ledger.lost.items():
            lost[cause.value] = lost.get(cause.value, 0) + count
    problems = [account.problem for account in accounts if account.problem is not None]
    return Outcome(
        kind=kind,
        times=len(accounts),
        explained=len(accounts) - len(problems),
        frames_taken=sum(account.n_taken or account.ledger.n_seen for account in accounts),
        frames_arrived=sum(account.ledger.n_arrived for account in accounts),
        frames_lost=lost,
        unknown_losses=sum(account.ledger.n_unknown for account in accounts),
        unexplained=problems,
    )


def account_of(events: list[SourceEvent], n_taken: int | None, segment: int = 0) -> Account:
    """Go through the events of one segment: every number once, as a frame or in a gap."""
    ledger, expected = Ledger(segment), 0
    problem: str | None = None
    for event in events:
        if isinstance(event, Frame):
            ledger = ledger.with_frames()
            if event.number != expected:
                problem = problem or f"frame {event.number} where {expected} was due"
            expected = event.number + 1
        elif isinstance(event, Gap):
            ledger = ledger.with_gap(event)
            if event.after != expected - 1:
                problem = problem or f"a gap after {event.after} where {expected} was due"
            expected += event.count or 0
    if n_taken is not None and ledger.n_seen != n_taken and (not ledger.n_unknown or ledger.n_seen > n_taken):
        problem = problem or f"{ledger.n_seen} frames explained of {n_taken} that the camera took"
    if n_taken is None and not ledger.n_unknown:
        problem = problem or "the ledger says nothing of a loss that nobody can count"
    return Account(n_taken, ledger, problem)


def overflow(random: np.random.Generator) -> Account:
    """From a random frame on, popping takes longer than a frame does, until the core stops."""
    recipe = CameraRecipe(
        name="overflow",
        builder="benchmarks.forced_losses:slow_core",
        options={"slow_from": int(random.integers(5, 150)), "pop_s": 0.02},
        buffer_mb=OVERFLOW_BUFFER_MB,
    )
    events: list[SourceEvent] = []
    message = ""
    with closing(CameraProcess(recipe)) as source:
        source.open()
        try:
            while not source.is_finished:
                events += source.read(64, 0.2)
        except SourceError as error:
            message = str(error)
        popped = source.counters.n_popped if source.counters else -1
    account = account_of(events, None)
    if "overflowed" not in message:
        return Account(None, account.ledger, f"expected an overflow, found {message or 'that the camera went on'}")
    if popped != account.ledger.n_arrived:
        return Account(None, account.ledger, f"{popped} frames were popped, {account.ledger.n_arrived} arrived")
    return account


def stall(random: np.random.Generator) -> Account:
    """The reader stands still for more than a whole ring of frames, and then goes on."""
    n_frames, n_before = 400, int(random.integers(5, 100))
    # Dimensioned for 10 frames per second the ring holds 64; the camera takes some hundred a second.
    recipe = CameraRecipe(
        name="stall", builder="benchmarks.forced_losses:slow_core", n_frames=n_frames, fps=10.0, exposure_ms=2.0
    )
    events: list[SourceEvent] = []
    with closing(CameraProcess(recipe)) as source:
        source.open()
        while sum(isinstance(event, Frame) for event in events) < n_before:
            events += source.read(8, 0.2)
        while source.counters is not None and source.counters.depth < 120:
            time.sleep(0.01)
        while not source.is_finished:
            events += source.read(64, 0.2)
    account = account_of(events, n_frames)
    if not account.ledger.n_lost and account.problem is None:
        return Account(n_frames, account.ledger, "expected a loss, found none: the stall was too short")
    return account


def slow_core(slow_from: int | None = None, pop_s: float = 0.0) -> Any:
    """A real core with DemoCamera, of which popping takes long from one frame on. Runs in the camera process."""
    import mm_test_adapters
    import pymmcore

    class SlowCore(pymmcore.CMMCore):  # type: ignore[misc]  # pymmcore ships no types
        n_popped = 0

        def popNextImageMD(self, *arguments: Any) -> Any:  # noqa: N802
            self.n_popped += 1
            if slow_from is not None and slow_from < self.n_popped:
                time.sleep(pop_s)
            return super().popNextImageMD(*arguments)

    return demo_camera(SlowCore(), str(mm_test_adapters.device_adapter_path()))


def demo_camera(core: Any, adapters: str) -> Any:
    """Load DemoCamera with frames of `SIDE_PX`, at 2 ms."""
    core.setDeviceAdapterSearchPaths([adapters])
    core.loadDevice("Cam", "DemoCamera", "DCam")
    core.initializeAllDevices()
    core.setCameraDevice("Cam")
    core.setProperty("Cam", "PixelType", "16bit")
    core.setROI(0, 0, SIDE_PX, SIDE_PX)
    core.setExposure(2.0)
    return core


class Listener:
    """A sink that keeps what a preview says, by segment."""

    def __init__(self, first: Segment) -> None:
        self.segments: list[tuple[Segment, list[SourceEvent]]] = [(first, [])]

    def write_segment(self, segment: Segment) -> None:
        self.segments.append((segment, []))

    def write_frame(self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0) -> None:
        self.segments[-1][1].append(Frame(segment, number, t_host_ns, data[:1, :1], n_saturated))

    def write_gap(self, gap: Gap) -> None:
        self.segments[-1][1].append(gap)


def roi_changes(random: np.random.Generator, times: int) -> list[Account]:
    """One preview through all changes; each region is one sequence, of which the core tells the last number."""
    import mm_test_adapters
    import pymmcore

    core = demo_camera(pymmcore.CMMCore(), str(mm_test_adapters.device_adapter_path()))
    core.setCircularBufferMemoryFootprint(64)
    core.setExposure(5.0)
    is_over = threading.Event()
    with socket.socket() as listening:
        # The preview asks whether Micro-Manager's port still is there when an answer takes long.
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        preview = LivePreview(core, listening.getsockname()[1])
        sink = Listener(preview.prepare(HostClock.now()).segment)
        orders: Callable[[], StopSignal] = lambda: StopSignal.STOP if is_over.is_set() else StopSignal.GO_ON  # noqa: E731
        thread = threading.Thread(target=preview.run, args=(sink, orders))
        thread.start()
        taken: list[int] = []
        # One more than there are changes; the first is joined from its beginning or not, and is not judged.
        for index in range(times + 1):
            if index:
                # Never the same twice running: it would be a restart, not another region. Nor a larger one than the
                # first: a ring of larger frames is made anew.
                width, height = (int(value) for value in random.integers(16, SIDE_PX // 2, 2))
                core.setROI(0, 0, width + SIDE_PX // 2 * (index % 2), height)
            core.startContinuousSequenceAcquisition(0)
            time.sleep(float(random.uniform(0.3, 1.0)))
            while len(sink.segments) <= index or not sink.segments[-1][1]:
                time.sleep(0.01)
            core.stopSequenceAcquisition()
            metadata = pymmcore.Metadata()
            core.getLastImageMD(metadata)
            taken.append(int(metadata.GetSingleTag("ImageNumber").GetValue()) + 1)
            # For half of the changes the preview sees the end; for the others the core is quicker.
            if index % 2:
                time.sleep(0.5)
        time.sleep(1.0)
        is_over.set()
        thread.join()
    core.unloadAllDevices()
    accounts = []
    for index, (segment, events) in enumerate(sink.segments[1:], start=1):
        account = account_of(events, taken[index], segment.index)
        wrong = None if segment.reason == "roi" else f"expected the reason roi, found {segment.reason}"
        accounts.append(Account(account.n_taken, account.ledger, account.problem or wrong))
    return accounts


KINDS: dict[str, Callable[[np.random.Generator, int], list[Account]]] = {
    "overflow": lambda random, times: [overflow(random) for _ in range(times)],
    "stall": lambda random, times: [stall(random) for _ in range(times)],
    "roi": roi_changes,
}

if __name__ == "__main__":
    sys.exit(main())
