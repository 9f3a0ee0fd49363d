"""``dblink-live doctor``: what this machine has, what is wrong with it, and what it can hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb, positive_int
from dblink_live.cli.result import Outcome
from dblink_live.workflows.progress import say

if TYPE_CHECKING:
    from dblink_live.workflows.doctor.examination import Examination


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "doctor",
        run=run,
        help="check this machine and measure what frame size and rate it can hold",
        example='dblink-live doctor --folder runs --config "My Scope.cfg"',
    )
    parser.add_argument(
        "--folder", metavar="DIR", type=Path, default=Path(), help="where runs will be written (default: here)"
    )
    parser.add_argument(
        "--mm-folder",
        metavar="DIR",
        type=Path,
        action="append",
        help="a Micro-Manager folder whose adapters are to be compared with pymmcore (default: those that are found)",
    )
    parser.add_argument(
        "--config", metavar="CFG", help="measure the rate of the camera of this Micro-Manager configuration"
    )
    parser.add_argument(
        "--port", metavar="N", type=positive_int, default=4827, help="of a running Micro-Manager (default 4827)"
    )
    parser.add_argument(
        "--record-bridge",
        metavar="FILE",
        type=Path,
        help="only store what the running Micro-Manager answers over its bridge, as JSON, to be sent to the developers",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.doctor.examination import examine

    if options.record_bridge is not None:
        return _record_bridge(options.port, options.record_bridge)
    if not options.folder.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {options.folder}")
    examination = examine(options.folder, options.mm_folder, options.config, options.port, on_step=say)
    return Outcome(text=_report(examination), figures=examination.to_json_dict())


def _record_bridge(port: int, path: Path) -> Outcome:
    from dblink_live.sources.micromanager.bridge_recording import record_bridge

    if not path.parent.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {path.parent}")
    say(f"asking the Micro-Manager at port {port}: its camera's settings and, where Live runs, its newest image")
    segment = record_bridge(port, path)
    return Outcome(
        text=f"{segment.shape.width} x {segment.shape.height} px {segment.dtype}: {path}. It holds settings of your "
        "camera and one image: look at it before you send it",
        figures={"recording": str(path), "port": port, "shape": list(segment.shape), "dtype": segment.dtype},
    )


def _report(examination: Examination) -> RenderableType:
    figures, problems = examination.to_json_dict(), examination.problems
    facts = Table(show_header=False)
    for name in ("torch", "device", "device_description", "qt", "disk_mb_s", "ring_mb_s"):
        facts.add_row(name, str(figures[name]))
    for gpu in examination.gpus:
        capability = "unknown" if gpu.compute_capability is None else f"{gpu.compute_capability:g}"
        memory = "memory unknown" if gpu.memory_gb is None else f"{gpu.memory_gb:g} GB"
        facts.add_row("gpu", f"{gpu.name}, {memory}, compute capability {capability}, driver {gpu.driver}")
    if isinstance(figures["micromanager"], dict):
        for name, value in figures["micromanager"].items():
            facts.add_row(name, str(value))
    if isinstance(figures["micromanager_folders"], dict):
        for folder, interface in figures["micromanager_folders"].items():
            facts.add_row(f"interface of {folder}", str(interface))
    facts.add_row("bridge", str(figures["bridge"]))
    capacity = Table("camera field", "frames per second", title="what localizer and network can hold together")
    for row in examination.holds:
        is_scaled = "" if row["is_measured"] else " (scaled)"
        capacity.add_row(str(row["shape"]), f"{row['fps']}{is_scaled}")
    lines = [*examination.verdicts, *(f"problem: {problem}" for problem in problems)]
    verdict = "\n".join(lines if problems else [*lines, "no problems found"])
    return Group(facts, capacity, verdict)
