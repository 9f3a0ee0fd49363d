"""How long work reports to a person: messages and progress, on standard error.

A bar is drawn on a terminal and in a notebook; elsewhere, in logs and pipes, a plain line is printed now and then.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

FIRST_LINE_AFTER_S = 2.0
SECONDS_BETWEEN_LINES = 5.0


class Advance(Protocol):
    """Tells how far the work is; may be called as often as convenient."""

    def __call__(self, done: int) -> None: ...


class Progress(Protocol):
    """Where a workflow reports to."""

    def note(self, text: str) -> None:
        """Report one line that is worth knowing."""

    def warn(self, text: str) -> None:
        """Report one line that questions the result."""

    def bar(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Report the progress of one stage of the work.

        Parameters
        ----------
        total
            Items in all, or None if unknown.
        unit
            What is counted, in the plural: frames, windows.

        Returns
        -------
        A context manager of a function that is called with the number of items done so far.
        """
        ...


class ConsoleProgress:
    """Progress on standard error."""

    def note(self, text: str) -> None:
        """Print ``text``."""
        say(text)

    def warn(self, text: str) -> None:
        """Print ``text`` as a warning."""
        say(f"warning: {text}")

    def bar(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Draw a bar where it can be drawn, else print a line now and then once the work has lasted two seconds."""
        if sys.stderr.isatty() or _is_notebook():
            return _bar(label, total, unit)
        return nullcontext(_PlainLines(label, total, unit))


class NoProgress:
    """No progress: notes are dropped, and warnings become Python's own."""

    def note(self, text: str) -> None:
        """Drop ``text``."""

    def warn(self, text: str) -> None:
        """Issue ``text`` as a `UserWarning`."""
        warnings.warn(text, UserWarning, stacklevel=3)

    def bar(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Show nothing."""
        return nullcontext(_ignore)


CONSOLE = ConsoleProgress()


def progress_of(progress: bool | Progress) -> Progress:
    """The progress that an argument ``progress`` asks for: True for the console, False for none."""
    if isinstance(progress, bool):
        return CONSOLE if progress else NoProgress()
    return progress


def say(text: str) -> None:
    """Print one line to standard error."""
    print(text, file=sys.stderr, flush=True)


def _ignore(done: int) -> None:
    pass


def _is_notebook() -> bool:
    """Whether a notebook can show a bar: rich needs ipywidgets there."""
    return Console().is_jupyter and importlib.util.find_spec("ipywidgets") is not None


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
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
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
