"""Plug-ins by name, found through entry points and imported only when they are asked for.

A package registers a localizer in its ``pyproject.toml``:

    [project.entry-points."dblink_live.localizers"]
    mine = "my_package:MyLocalizer"

What stands there is called as ``MyLocalizer(camera, psf_sigma_px=..., ...)`` and returns a
`dblink_live.interfaces.Localizer`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from dblink_live.errors import PluginError
from dblink_live.interfaces import Localizer

LOCALIZERS = "dblink_live.localizers"
_BUILT_IN = {"gaussian": "dblink_live.localization:GaussianLocalizer"}
"""By name and not by import: this room lies below the localizers."""

LocalizerFactory = Callable[..., Localizer]


def installed_localizers() -> list[str]:
    """Names that `get_localizer_factory` knows."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=LOCALIZERS))})


def get_localizer_factory(name: str) -> LocalizerFactory:
    """The factory of a localizer, built in or registered by a plug-in.

    Raises
    ------
    PluginError
        No localizer of that name is installed, or its package cannot be imported.
    """
    point = _find(name)
    try:
        factory: LocalizerFactory = point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"expected the localizer {name!r} at {point.value}, found: {error}; reinstall it") from error
    return factory


def _find(name: str) -> EntryPoint:
    if name in _BUILT_IN:
        return EntryPoint(name, _BUILT_IN[name], LOCALIZERS)
    for point in entry_points(group=LOCALIZERS):
        if point.name == name:
            return point
    installed = installed_localizers()
    nearest = difflib.get_close_matches(name, installed, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise PluginError(f"unknown localizer {name!r}; installed: {', '.join(installed)}{hint}")
