"""Measurements that read the run's folder, beside the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QThread, Signal

from dblink_live.errors import DblinkError


class Measurement(QThread):
    """Runs one function in a thread of its own.

    Parameters
    ----------
    work
        Called there with a function that says whether it is to end early; opens the run for itself.
    """

    measured = Signal(object)
    """What it returned."""
    failed = Signal(str)
    """Why it could not be measured, in a line."""

    def __init__(self, work: Callable[[Callable[[], bool]], Any]) -> None:
        super().__init__()
        self._work = work

    def run(self) -> None:
        try:
            found = self._work(self.isInterruptionRequested)
        except DblinkError as error:
            self.failed.emit(str(error))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            self.failed.emit(f"the run could not be read: {error}")
        else:
            self.measured.emit(found)

    def end(self) -> None:
        """End it and wait for that."""
        self.requestInterruption()
        self.wait()
