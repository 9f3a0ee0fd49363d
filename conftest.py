"""The environment of every test process, set before anything imports torch or Qt."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

# One thread: tests compare small tensors, and threads that outnumber the cores make them many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Windows do not appear while testing. A test of the real display asks for it in a process of its own.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

if sys.platform == "win32":
    # Outside the tests no process imports both. Here one does, and torch after Qt can fail to load its DLLs.
    importlib.import_module("torch")

sys.path.append(str(Path(__file__).parent / "tests"))
pytest_plugins = ["windows_rules"]

# All are modules called conftest, of which doctest could import one only.
collect_ignore_glob: list[str] = ["tests/conftest.py", "tests/**/conftest.py", "tests/windows_rules_child/*"]
try:
    importlib.import_module("PySide6.QtWidgets")
except ImportError:
    # The viewer is an extra, and its system libraries may be missing: then its doctests cannot be imported.
    collect_ignore_glob.append("dblink_live/viewer/*")
