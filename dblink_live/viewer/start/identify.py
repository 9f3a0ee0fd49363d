"""What a file or folder is that was dropped on the start page or chosen in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dblink_live.errors import SourceError
from dblink_live.sources.files.picasso_raw import RawStack
from dblink_live.sources.files.tiff import TiffStack
from dblink_live.sources.replay import Stack
from dblink_live.tables import format_of_content, table_formats
from dblink_live.types import Segment

Kind = Literal["run", "config", "stack", "table", "folder"]

JOURNAL = "journal.sqlite"
"""By this file a folder is known as a run."""


@dataclass(frozen=True)
class Subject:
    """Something that a run can be made of, or a run itself."""

    kind: Kind
    path: Path
    scheme: str = ""
    """Of the source specification, for a stack."""
    segment: Segment | None = None
    """Geometry and timing, where the file tells them."""
    n_frames: int | None = None

    @property
    def description(self) -> str:
        """What it is, in a line."""
        if self.kind == "stack" and self.segment is not None:
            shape = self.segment.shape
            return f"a stack of {self.n_frames} frames of {shape.width} x {shape.height} pixels"
        return {
            "run": "a run folder",
            "config": "a Micro-Manager configuration: its camera is opened and owned by the run",
            "stack": "a stack",
            "table": "a localization table",
            "folder": "a folder in which Micro-Manager saves NDTiff data: the next dataset in it is followed",
        }[self.kind]


def identify(path: Path) -> Subject:
    """Return what lies at ``path``.

    Raises
    ------
    SourceError
        Nothing is there, it may not be read, or it is nothing that a run can be made of.
    """
    try:
        if path.is_dir():
            return _identify_folder(path)
        if not path.exists():
            raise SourceError(f"expected a file or folder, found nothing at {path}")
        with path.open("rb"):
            pass  # only to see whether it may be read
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; choose a file or folder that you may read") from error
    suffix = path.suffix.lower()
    if suffix == ".cfg":
        return Subject("config", path)
    if suffix in (".tif", ".tiff", ".raw"):
        return _identify_stack(path, "raw" if suffix == ".raw" else "tiff")
    if not _is_table(path):
        raise SourceError(
            f"{path.name} is nothing that a run can be made of; expected a stack (.tif, .raw, .zarr), a localization "
            "table, a Micro-Manager configuration (.cfg), a folder of NDTiff data or a run folder"
        )
    return Subject("table", path)


def _is_table(path: Path) -> bool:
    # By name and content: a letter of an office program is a zip file, as some tables are.
    if path.suffix.lower() not in {suffix for found in table_formats() for suffix in found.suffixes}:
        return False
    try:
        format_of_content(path)
    except (SourceError, OSError, UnicodeError, ValueError):
        return False
    return True


def _identify_folder(path: Path) -> Subject:
    if not os.access(path, os.R_OK | os.X_OK):
        raise SourceError(f"cannot read the folder {path}: permission denied; choose one that you may read")
    if (path / JOURNAL).is_file():
        return Subject("run", path)
    if path.suffix.lower() == ".zarr" or (path / "zarr.json").is_file() or (path / ".zattrs").is_file():
        return _identify_stack(path, "zarr")
    return Subject("folder", path)


def _identify_stack(path: Path, scheme: str) -> Subject:
    openers: dict[str, Callable[[Path], Stack]] = {"tiff": TiffStack, "raw": RawStack, "zarr": _open_zarr}
    stack = openers[scheme](path)
    try:
        return Subject("stack", path, scheme, stack.segment, stack.n_frames)
    finally:
        stack.close()


def _open_zarr(path: Path) -> Stack:
    from dblink_live.sources.files.zarr import ZarrStack

    return ZarrStack(path)
