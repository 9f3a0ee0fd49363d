"""An orderly end on Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dblink_live.workflows.progress import Progress


@contextmanager
def stop_on_interrupt(
    report: Progress, message: Callable[[], str], has_begun: Callable[[], bool] = lambda: True
) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or SIGTERM) into a flag, for an orderly end; the second one interrupts as usual.

    ``message`` says what happens then. While ``has_begun`` is false there is nothing to be ended in order: the first
    one interrupts, and a wait for a dataset or a camera ends. Only the main thread receives signals: elsewhere the flag
    stays unset.
    """
    flag = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.is_set() or not has_begun():
            raise KeyboardInterrupt
        flag.set()
        report.note(f"{message()}; Ctrl-C again to stop now")

    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
