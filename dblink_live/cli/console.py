"""What the user sees besides the answer: messages and progress. All of it goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

FIRST_LINE_AFTER_S = 2.0
SECONDS_BETWEEN_LINES = 5.0


def say(text: str) -> None:
    """Print one line to standard error."""
    print(text, file=sys.stderr, flush=True)


class Advance(Protocol):
    """Tells how far the work is; may be called as often as convenient."""

    def __call__(self, done: int) -> None: ...


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    """A bar on a terminal, else a plain line now and then once the work has lasted two seconds.

    Parameters
    ----------
    total
        Items in all, or None where nobody knows.
    unit
        What is counted, in the plural: frames, windows.

    Yields
    ------
    A function to be called with the number of items done so far.
    """
    if sys.stderr.isatty():
        with _bar(label, total, unit) as advance:
            yield advance
    else:
        yield _PlainLines(label, total, unit)


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(done: int) -> None:
            bar.update(task, completed=done)

        yield advance


class _PlainLines:
    """Progress for logs and pipes."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label = label
        self._total = total
        self._unit = unit
        self._due_s = time.perf_counter() + FIRST_LINE_AFTER_S

    def __call__(self, done: int) -> None:
        now = time.perf_counter()
        if now < self._due_s:
            return
        self._due_s = now + SECONDS_BETWEEN_LINES
        of_total = f"/{self._total} {self._unit} ({100 * done // self._total} %)" if self._total else f" {self._unit}"
        say(f"{self._label}: {done}{of_total}")
