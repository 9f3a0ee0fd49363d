"""The viewer: three linked pictures of a run, live or stored. It never imports torch, and may lose anything."""

import os

# Before anything imports pyqtgraph, which otherwise takes the first Qt it finds.
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from dblink_live.viewer.app import can_open_window, main, view

__all__ = ["can_open_window", "main", "view"]
