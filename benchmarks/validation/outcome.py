"""What an experiment hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from dblink_live.models import Model

Row = tuple[object, ...]


@dataclass(frozen=True)
class Outcome:
    """A table of figures, beside the paper's where it has any."""

    header: tuple[str, ...]
    rows: list[Row]
    weights: tuple[Model, ...]
    """The networks that the figures rest on."""
    settings: dict[str, object] = field(default_factory=dict)
    """Among them ``frames``."""
