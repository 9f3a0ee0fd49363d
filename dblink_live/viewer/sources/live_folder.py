"""The run folder of a live run, where it lies on this machine."""

from __future__ import annotations

from pathlib import Path

from dblink_live.errors import DblinkError
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.stored_source import StoredSource


class LiveFolder:
    """Opens the folder of a live run once; a folder that cannot be opened is not tried again."""

    def __init__(self) -> None:
        self._refused: Path | None = None

    def open_new(self, live: LiveSource, opened: Path | None) -> StoredSource | None:
        """Return the run's folder, unless it is ``opened`` already; None where there is none to open."""
        folder = live.run_folder
        if folder is None or folder in (opened, self._refused):
            return None
        try:
            found = StoredSource(folder)
        except DblinkError:
            # The live pictures need no folder.
            self._refused = folder
            return None
        if found.run_uuid != live.run_uuid:
            # Through a tunnel, the run's path can name another folder here.
            found.close()
            self._refused = folder
            return None
        return found
