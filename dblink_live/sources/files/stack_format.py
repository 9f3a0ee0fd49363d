"""What a format of recordings states of itself, and the registry of those in this package and of plug-ins.

Source specifications, ``--help``, `inspect` and docs/reference/formats.md are all made from this registry.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.errors import PluginError
from dblink_live.interfaces import FrameSource
from dblink_live.sources.replay import Stack

if TYPE_CHECKING:
    from dblink_live.sources.spec import SourceSpec

STACK_FORMATS = "dblink_live.stack_formats"
"""Group of entry points under which a package registers a `StackFormat`."""


@dataclass(frozen=True)
class StackOptions:
    """What of a recording is taken."""

    channel: str | None = None
    """Name or number; None where there is only one."""
    position: str | None = None
    n_frames: int | None = None
    """Frames up to this number are wanted; None wants all."""
    partial: bool = False
    """Whether frames that lie in absent files count as lost, instead of being an error."""


EVERYTHING = StackOptions()
REPLAY_OPTIONS = ("fps", "frames", "seed", "exposure_ms", "roi")
"""Options of every recording that is replayed."""


@dataclass(frozen=True)
class StackFormat:
    """A format of recordings.

    A module of `dblink_live.sources.files` registers one by the name ``FORMAT``; a package registers one as an entry
    point of the group ``dblink_live.stack_formats``. Exactly one of ``open`` and ``follow`` is given.
    """

    scheme: str
    """What stands before the colon of a source: ``tiff``."""
    name: str
    suffixes: tuple[str, ...]
    """Extensions that files of the format have."""
    options: tuple[str, ...]
    """Options of the source that the format understands; a replayed one has `REPLAY_OPTIONS` beside them."""
    versions: str
    """What is read: versions and layouts."""
    refused: str
    """What is not read, and why."""
    example: str
    """Path of an example, for help texts."""
    open: Callable[[Path, StackOptions], Stack] | None = None
    """Opens a recording that is replayed; raises `SourceError` where it cannot."""
    follow: Callable[[SourceSpec, int], FrameSource] | None = None
    """Return the source of a recording that may still grow; the number is that of the frames that are kept already."""
    contents: tuple[str, ...] = ()
    """Patterns of names of which a folder of the format holds at least one."""

    @property
    def all_options(self) -> tuple[str, ...]:
        """Every option of the source."""
        return self.options if self.follow is not None else (*REPLAY_OPTIONS, *self.options)

    def is_folder(self, path: Path) -> bool:
        """Return whether the folder ``path`` looks like one of this format."""
        return path.suffix.lower() in self.suffixes or any(any(path.glob(pattern)) for pattern in self.contents)


@functools.cache
def stack_formats() -> tuple[StackFormat, ...]:
    """Return every format: those of this package, then those of plug-ins.

    Raises
    ------
    PluginError
        A plug-in cannot be imported, or registers something else.
    """
    package = importlib.import_module("dblink_live.sources.files")
    names = [item.name for item in pkgutil.iter_modules(package.__path__)]
    modules = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    own = [module.FORMAT for module in modules if isinstance(getattr(module, "FORMAT", None), StackFormat)]
    # What is looked for among the names in a folder: NDTiff before TIFF, whose extension its files have, too.
    return (*sorted(own, key=lambda found: found.scheme), *_registered())


def format_of_scheme(scheme: str) -> StackFormat | None:
    """Return the format that a source's scheme selects; None where it selects none."""
    return next((found for found in stack_formats() if found.scheme == scheme), None)


def format_of_path(path: Path) -> StackFormat | None:
    """Return the format of the recording at ``path``, by its extension or the names in a folder; None for another."""
    if path.is_dir():
        return next((found for found in stack_formats() if found.is_folder(path)), None)
    return next((found for found in stack_formats() if path.suffix.lower() in found.suffixes), None)


def scheme_by_suffix() -> dict[str, str]:
    """Return the scheme of each extension that names a format."""
    return {suffix: found.scheme for found in stack_formats() for suffix in found.suffixes}


def _registered() -> list[StackFormat]:
    found = []
    for point in entry_points(group=STACK_FORMATS):
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"expected the stack format {point.name!r} at {point.value}, found: {error}; reinstall it"
            ) from error
        if not isinstance(loaded, StackFormat):
            raise PluginError(f"expected a StackFormat at {point.value}, found {type(loaded).__name__}; reinstall it")
        found.append(loaded)
    return found
