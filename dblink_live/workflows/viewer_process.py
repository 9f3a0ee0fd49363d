"""The viewer, started in a process of its own: torch and Qt cannot share one on Windows."""

from __future__ import annotations

import os
import subprocess
import sys


def has_display() -> bool:
    """Return whether a window can be shown here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def viewer_command(*arguments: str) -> list[str]:
    """Return the command that starts the viewer."""
    return [sys.executable, "-m", "dblink_live.viewer", *arguments]


def start_viewer(address: str, keys: str | None = None) -> None:
    """Open the viewer on a live run; it outlives this process, so that the last picture can be looked at."""
    command = viewer_command(address, *(("--keys", keys) if keys else ()))
    if sys.platform == "win32":
        subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)
    else:
        # A session of its own: Ctrl-C in the terminal ends the run, not the window.
        subprocess.Popen(command, start_new_session=True)
