"""``dblink-live doctor``: what this machine has, what is wrong with it, and what it can hold."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from dblink_live.cli.console import say
from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb
from dblink_live.cli.outcome import Outcome
from dblink_live.errors import DblinkError


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "doctor",
        run=run,
        help="check this machine and measure what frame size and rate it can hold",
        example="dblink-live doctor --folder D:\\\\runs",
    )
    parser.add_argument(
        "--folder", metavar="DIR", type=Path, default=Path(), help="where runs will be written (default: here)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.cli import machine
    from dblink_live.cli.capacity import measure_capacity

    if not options.folder.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {options.folder}")
    say("asking torch, Qt and Micro-Manager")
    torch = machine.inspect_torch()
    qt = machine.inspect_qt()
    micromanager = machine.inspect_micromanager()
    say("measuring disk and memory")
    disk = machine.measure_disk_mb_s(options.folder)
    ring = machine.measure_ring_mb_s()
    problems = [*torch.problems, *qt.problems, *micromanager.problems, *disk.problems, *ring.problems]
    holds: list[dict[str, object]] = []
    if torch.version is not None and not torch.problems:
        say("measuring localizer and network")
        try:
            holds = [capacity.to_json_dict() for capacity in measure_capacity(torch.device)]
        except DblinkError as error:
            problems.append(str(error))
    figures: dict[str, object] = {
        "torch": torch.version,
        "device": torch.device,
        "device_description": torch.description,
        "qt": qt.value,
        "micromanager": micromanager.value,
        "disk_mb_s": disk.value,
        "ring_mb_s": ring.value,
        "holds": holds,
        "problems": problems,
    }
    return Outcome(text=_report(figures, holds, problems), figures=figures)


def _report(figures: dict[str, object], holds: list[dict[str, object]], problems: list[str]) -> RenderableType:
    facts = Table(show_header=False)
    for name in ("torch", "device", "device_description", "qt", "disk_mb_s", "ring_mb_s"):
        facts.add_row(name, str(figures[name]))
    if isinstance(figures["micromanager"], dict):
        for name, value in figures["micromanager"].items():
            facts.add_row(name, str(value))
    capacity = Table("camera field", "frames a second", title="what localizer and network can hold together")
    for row in holds:
        capacity.add_row(str(row["shape"]), str(row["fps"]))
    verdict = "\n".join(f"problem: {problem}" for problem in problems) or "no problems found"
    return Group(facts, capacity, verdict)
