"""What the chosen file is and what is odd in it, in the words of ``dblink-live inspect``."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from dblink_live.viewer.processes.child import Child
from dblink_live.viewer.theme import Tone, set_look

_LEFT_OUT = ("path", "odd", "problem", "command", "format")
"""Shown in a line of its own, or said by the page already."""
_CLEARER = {"counts": "lowest, median, highest count"}
_UNITS = {"nm": "nm", "um": "µm", "ms": "ms"}
"""At the end of a figure's name, and as it is written."""


class InspectionBox(QLabel):
    """Asks ``inspect`` in a process of its own: a large or strange file neither stops the page nor ends it."""

    def __init__(self) -> None:
        super().__init__()
        set_look(self, "small", Tone.FAINT)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self._path: Path | None = None
        self._child: Child | None = None
        self.hide()

    @property
    def path(self) -> Path | None:
        """What is shown, or looked at."""
        return self._path

    @property
    def is_looking(self) -> bool:
        """Whether the file is still looked at."""
        return self._child is not None

    def show_path(self, path: Path | None) -> None:
        """Look at ``path``, once; None shows nothing."""
        if path == self._path:
            return
        self.close_down()
        self._path = path
        self.setVisible(path is not None)
        if path is None:
            return
        self.setText("looking at the file\N{HORIZONTAL ELLIPSIS}")
        child = Child(["inspect", str(path), "--json"])
        child.finished.connect(lambda _status: self._on_finished(child))
        self._child = child
        child.start()

    def close_down(self) -> None:
        """Look no longer."""
        if self._child is not None:
            self._child.stop()
            self._child.let_go()
            self._child = None

    def _on_finished(self, child: Child) -> None:
        if child is not self._child:
            return
        self._child = None
        answer = next((line for line in reversed(child.lines) if line.startswith("{")), "")
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError:
            self.setText(html.escape(child.problem or "the file could not be looked at"))
            return
        self.setText(as_rich_text(found))


def as_rich_text(found: dict[str, Any]) -> str:
    """Return the figures of ``inspect --json``, odd things first.

    Examples
    --------
    >>> as_rich_text({"kind": "recording", "odd": ["it is 3 < 4"], "problem": None, "pixel size nm": 160.0})
    '<b>odd</b>: it is 3 &lt; 4<br>kind: recording<br>pixel size: 160 nm'
    """
    lines = [f"<b>problem</b>: {html.escape(str(found['problem']))}"] if found.get("problem") else []
    lines += [f"<b>odd</b>: {html.escape(str(sentence))}" for sentence in found.get("odd") or ()]
    for name, value in found.items():
        if name not in _LEFT_OUT and value is not None:
            lines.append(html.escape(_line(name, value)))
    return "<br>".join(lines)


def _line(name: str, value: object) -> str:
    """A figure with its unit behind the number."""
    name = _CLEARER.get(name, name.replace("_", " "))
    stem, _, ending = name.rpartition(" ")
    if ending not in _UNITS:
        return f"{name}: {_figure(value)}"
    shown = " to ".join(map(_figure, value)) if isinstance(value, list) else _figure(value)
    return f"{stem}: {shown} {_UNITS[ending]}"


def _figure(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_figure, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
