"""The plug-ins are packages of their own; here they are imported from where they lie."""

from __future__ import annotations

import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
for name in ("napari", "micromanager"):
    if str(PLUGINS / name) not in sys.path:
        sys.path.insert(0, str(PLUGINS / name))
