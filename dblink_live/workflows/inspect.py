"""What a file is, for the command line and for Python."""

from __future__ import annotations

from pathlib import Path

from dblink_live.inspection import Inspection, inspect_path, quiet_readers


def inspect(path: str | Path) -> Inspection:
    """Return what lies at ``path``, or what a source such as ``tiff:FOLDER`` names; what is odd in it is part of that.

    Raises
    ------
    SourceError
        Nothing lies there.
    """
    with quiet_readers():
        return inspect_path(path)
