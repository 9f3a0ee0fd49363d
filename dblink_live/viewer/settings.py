"""What the viewer remembers from one start to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QSettings

MAX_RECENT = 12
"""Runs that the start page lists."""


class ViewerSettings:
    """Settings of the viewer, kept by the system for this user.

    A value that cannot be read, of another version or edited by hand, counts as not set.

    Parameters
    ----------
    store
        Where they are kept; None takes the user's own place.
    """

    def __init__(self, store: QSettings | None = None) -> None:
        self._store = QSettings("dblink-live", "viewer") if store is None else store

    @property
    def geometry(self) -> QByteArray | None:
        """Size and place of the window."""
        value = self._store.value("geometry")
        return value if isinstance(value, QByteArray) else None

    @geometry.setter
    def geometry(self, value: QByteArray) -> None:
        self._store.setValue("geometry", value)

    def get(self, key: str, default: Any) -> Any:
        """Return the plain value of ``key``; ``default`` where it is not set, or of another type than it."""
        try:
            value = json.loads(str(self._store.value(key, "")))
        except ValueError:
            return default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value if default is None or type(value) is type(default) else default

    def set(self, key: str, value: Any) -> None:
        """Keep a plain value: text, number, yes or no, a list or a table of them."""
        self._store.setValue(key, json.dumps(value))

    @property
    def recent_runs(self) -> list[Path]:
        """Run folders that were opened, the newest first; those that are gone are left out."""
        found = [Path(text) for text in self.get("recent_runs", []) if isinstance(text, str)]
        return [path for path in found if (path / "journal.sqlite").is_file()]

    def remember_run(self, path: Path) -> None:
        """Put a run folder at the head of the recent ones."""
        path = path.absolute()
        others = [str(other) for other in self.recent_runs if other != path]
        self.set("recent_runs", [str(path), *others][:MAX_RECENT])
