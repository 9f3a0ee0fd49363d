"""The viewer: a start page, and four linked pictures of a run, live or stored. It never imports torch."""

import os

# Before anything imports pyqtgraph, which otherwise takes the first Qt it finds.
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from dblink_live.display.screen import can_open_window, missing_packages
from dblink_live.viewer.app import main, view

__all__ = ["can_open_window", "main", "missing_packages", "view"]
