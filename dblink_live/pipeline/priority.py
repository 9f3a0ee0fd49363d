"""Beside an acquisition of another program, that program comes first."""

from __future__ import annotations

import psutil

NICENESS = 10
"""Where processor time is short, a process of the usual priority then gets nine times as much of it (Linux)."""


def give_way() -> None:
    """Lower the priority of this process, and of those that it will start, for good.

    A camera of our own must not be kept waiting. But frames that another program writes to disk can be read a little
    later without loss, while its acquisition must not notice that its files are read. Called before there are other
    threads: on Linux each keeps its own priority.
    """
    process = psutil.Process()
    if psutil.WINDOWS:
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    elif process.nice() < NICENESS:
        process.nice(NICENESS)
