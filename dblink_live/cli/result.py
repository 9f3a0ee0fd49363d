"""What a verb hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import RenderableType

INTERRUPTED = 130
"""Exit status after Ctrl-C and an orderly end."""


@dataclass(frozen=True)
class Outcome:
    """The answer of a verb. `main` prints ``figures`` as one JSON object under ``--json``, else ``text``."""

    text: RenderableType = ""
    figures: Mapping[str, object] = field(default_factory=dict)
    status: int = 0
    """Exit status: 0, or 1 when the answer is "no" (`verify`) or the work ended early."""
