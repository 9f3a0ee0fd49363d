"""What a file is, for the command line and for Python."""

from __future__ import annotations

import logging
from pathlib import Path

from dblink_live.inspection import Inspection, inspect_path


def inspect(path: str | Path) -> Inspection:
    """Return what lies at ``path``, or what a source such as ``tiff:FOLDER`` names; what is odd in it is part of that.

    Raises
    ------
    SourceError
        Nothing lies there.
    """
    # What readers log of a file is in the inspection.
    readers = logging.getLogger("dblink_live.sources")
    level = readers.level
    readers.setLevel(logging.ERROR)
    try:
        return inspect_path(path)
    finally:
        readers.setLevel(level)
