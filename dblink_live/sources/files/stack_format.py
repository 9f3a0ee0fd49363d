"""What a format of recorded stacks states of itself, and the registry of those in this package and of plug-ins."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from dblink_live.errors import PluginError
from dblink_live.sources.replay import Stack

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


@dataclass(frozen=True)
class StackFormat:
    """A format of recorded stacks.

    A module of `dblink_live.sources.files` registers one by the name ``FORMAT``; a package registers one as an entry
    point of the group ``dblink_live.stack_formats``.
    """

    scheme: str
    """What stands before the colon of a source: ``tiff``."""
    name: str
    suffixes: tuple[str, ...]
    """Extensions that files of the format have."""
    open: Callable[[Path, StackOptions], Stack]
    """Opens a recording; raises `SourceError` where it cannot."""
    options: tuple[str, ...]
    """Options of the source that the format understands, beside those of every replay."""
    versions: str
    """What is read: versions and layouts."""
    refused: str
    """What is not read, and why."""
    example: str
    """Name of a file, for messages."""


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
    return (*sorted(own, key=lambda found: found.scheme), *_registered())


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
