"""What every benchmark prints: a table for people, a JSON for machines, and the name of the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path


def machine() -> dict[str, object]:
    """What the figures of this run were measured on."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers with three digits after the point."""
    lines = ["| " + " | ".join(map(str, header)) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


class Report:
    """Gathers the figures of one benchmark."""

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        self._content: dict[str, object] = {"benchmark": name, "settings": dict(settings), "machine": machine()}

    def add(self, key: str, value: object) -> None:
        self._content[key] = value

    def finish(self, json_path: str | Path | None) -> None:
        """Print the machine, and write everything as JSON where a path was given."""
        found = self._content["machine"]
        print("\nmachine:", ", ".join(f"{key} {value}" for key, value in found.items()))  # type: ignore[attr-defined]
        if json_path is not None:
            Path(json_path).write_text(json.dumps(self._content, indent=2) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
