"""Live super-resolved video beside Micro-Manager.

The public names are imported when they are first used: the viewer and the camera process import this package too and
must stay free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dblink_live.analysis.metrics import Scores, evaluate
    from dblink_live.localization import localize
    from dblink_live.models import Model, StreamingReconstructor, load_model, reconstruct
    from dblink_live.store import Run, open_run
    from dblink_live.tables import read_localizations, write_localizations
    from dblink_live.types import Camera
    from dblink_live.windows import bin_localizations
    from dblink_live.workflows.export import export

_HOME = {
    "Camera": "dblink_live.types",
    "Model": "dblink_live.models",
    "Run": "dblink_live.store",
    "Scores": "dblink_live.analysis.metrics",
    "StreamingReconstructor": "dblink_live.models",
    "bin_localizations": "dblink_live.windows",
    "evaluate": "dblink_live.analysis.metrics",
    "export": "dblink_live.workflows.export",
    "load_model": "dblink_live.models",
    "localize": "dblink_live.localization",
    "open_run": "dblink_live.store",
    "read_localizations": "dblink_live.tables",
    "reconstruct": "dblink_live.models",
    "write_localizations": "dblink_live.tables",
}

__all__ = [
    "Camera",
    "Model",
    "Run",
    "Scores",
    "StreamingReconstructor",
    "bin_localizations",
    "evaluate",
    "export",
    "load_model",
    "localize",
    "open_run",
    "read_localizations",
    "reconstruct",
    "write_localizations",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
