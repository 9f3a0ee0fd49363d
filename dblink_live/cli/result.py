"""What a verb hands back, and how it says that it failed on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import RenderableType

from dblink_live.errors import CalibrationError, ConfigError, DblinkError, ModelError, PluginError


@dataclass(frozen=True)
class Outcome:
    """The answer of a verb. `main` prints ``figures`` as one JSON object under ``--json``, else ``text``."""

    text: RenderableType = ""
    figures: Mapping[str, object] = field(default_factory=dict)
    status: int = 0
    """Exit status: 0, or 1 when the answer is "no" (`verify`) or the work ended early."""


class FailedOnTheWayError(Exception):
    """The input was accepted, and something failed while working on it: exit status 1, not 2."""


WRONG_INPUT = (ConfigError, CalibrationError, ModelError, PluginError)


@contextmanager
def on_the_way() -> Iterator[None]:
    """Mark the phase after the input was accepted: a failing disk or camera is then no wrong usage.

    Outside of it every `DblinkError` exits with status 2. Inside, only those that always speak of the input do.
    """
    try:
        yield
    except WRONG_INPUT:
        raise
    except DblinkError as error:
        raise FailedOnTheWayError(str(error)) from error
