"""The viewer, started in a process of its own: torch and Qt cannot share one on Windows."""

from __future__ import annotations

import os
import subprocess
import sys

from dblink_live.display.screen import missing_packages
from dblink_live.workflows.progress import Progress


def has_display() -> bool:
    """Return whether a window can be shown here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def viewer_command(*arguments: str) -> list[str]:
    """Return the command that starts the viewer."""
    return [sys.executable, "-m", "dblink_live.viewer", *arguments]


def window_problem() -> str | None:
    """Return why no window can be opened on this screen, and the command that mends it; None where nothing is known."""
    packages = missing_packages()
    if not packages:
        return None
    names = " ".join(packages)
    return f"Qt needs {names} for a window on this screen, which is missing; install it: sudo apt-get install {names}"


def start_viewer(address: str, keys: str | None, report: Progress) -> None:
    """Open the viewer on a live run; it outlives this process, so that the last picture can be looked at."""
    problem = window_problem()
    if problem is not None:
        report.warn(f"no viewer is opened: {problem}; `dblink-live view {address}` opens it then")
        return
    command = viewer_command(address, *(("--keys", keys) if keys else ()))
    if sys.platform == "win32":
        subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)
    else:
        # A session of its own: Ctrl-C in the terminal ends the run, not the window.
        subprocess.Popen(command, start_new_session=True)
