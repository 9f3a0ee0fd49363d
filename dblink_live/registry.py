"""Plug-ins by name, found through entry points and imported only when they are asked for.

A package registers a localizer in its ``pyproject.toml``:

    [project.entry-points."dblink_live.localizers"]
    mine = "my_package:MyLocalizer"

What stands there is called as ``MyLocalizer(camera, psf_sigma_px=..., ...)`` and returns a
`dblink_live.interfaces.Localizer`; docs/how-to/plugins.md says the rest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from dblink_live.errors import ConfigError, PluginError
from dblink_live.interfaces import Localizer
from dblink_live.text.suggest import did_you_mean

LOCALIZERS = "dblink_live.localizers"
_BUILT_IN = {
    "auto": "dblink_live.localization:AutoLocalizer",
    "deepstorm": "dblink_live.localization:DeepStormLocalizer",
    "dense": "dblink_live.localization:DenseLocalizer",
    "gaussian": "dblink_live.localization:GaussianLocalizer",
}
"""By name and not by import: this room lies below the localizers."""

NETWORK_SUFFIX = ".safetensors"
"""A localizer of such a name is the one that the network of that file is of: dense or deepstorm."""
_OF_WEIGHTS = "dblink_live.localization:localizer_of_weights"

LocalizerFactory = Callable[..., Localizer]

_registered: dict[str, LocalizerFactory] = {}
"""What `register_localizer` was given in this process."""


def register_localizer(name: str, factory: LocalizerFactory) -> None:
    """Make ``factory`` known as the localizer ``name`` in this process: for scripts and notebooks.

    A second call with the same name replaces the first, as a notebook cell does that is run again. An entry point makes
    a localizer known in every process, the command line included.

    Parameters
    ----------
    name
        As ``localize(..., localizer=name)`` and ``localizer.name`` take it.
    factory
        Called as ``factory(camera, psf_sigma_px=..., ...)``; returns a `dblink_live.interfaces.Localizer`.

    Raises
    ------
    PluginError
        The name belongs to a built-in localizer, or ends like the file of a network.

    Examples
    --------
    >>> import numpy as np
    >>> import dblink_live as dbl
    >>> from dblink_live.types import LOCALIZATION_DTYPE
    >>> class NothingFound:
    ...     name = "nothing"
    ...     def __init__(self, camera, psf_sigma_px=None): ...
    ...     def localize(self, frames, frame_numbers):
    ...         return np.zeros(0, LOCALIZATION_DTYPE)
    >>> register_localizer("nothing", NothingFound)
    >>> len(dbl.localize(np.zeros((3, 8, 8), np.uint16), dbl.Camera(pixel_size_nm=100), localizer="nothing"))
    0
    """
    if name in _BUILT_IN or name.endswith(NETWORK_SUFFIX):
        raise PluginError(f"the name {name!r} is taken by a built-in localizer; choose another")
    _registered[name] = factory


def installed_localizers() -> list[str]:
    """Names that `get_localizer_factory` knows."""
    return sorted({*_BUILT_IN, *_registered, *(point.name for point in entry_points(group=LOCALIZERS))})


def get_localizer_factory(name: str) -> LocalizerFactory:
    """The factory of a localizer: built in, registered by a plug-in, or that of the user's own network.

    Raises
    ------
    PluginError
        No localizer of that name is installed, or its package cannot be imported.
    """
    if name.endswith(NETWORK_SUFFIX):
        return functools.partial(EntryPoint(name, _OF_WEIGHTS, LOCALIZERS).load(), weights=name)
    if name in _registered:
        return _checking_options(name, _registered[name])
    point = _find(name)
    try:
        factory: LocalizerFactory = point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"expected the localizer {name!r} at {point.value}, found: {error}; reinstall it") from error
    return _checking_options(name, factory)


def _checking_options(name: str, factory: LocalizerFactory) -> LocalizerFactory:
    """Return the factory of a localizer, which need not know every setting that others have."""

    @functools.wraps(factory, updated=())
    def checked(*arguments: object, **options: object) -> Localizer:
        known = _option_names(factory)
        unknown = [option for option in options if known is not None and option not in known]
        if unknown:
            raise ConfigError(
                f"expected settings that the localizer {name!r} has ({', '.join(known or ())}), found "
                f"{', '.join(unknown)}; leave that out"
            )
        try:
            return factory(*arguments, **options)
        except (TypeError, ValueError) as error:
            told = ", ".join(f"{option}={value!r}" for option, value in options.items())
            raise ConfigError(f"expected settings that the localizer {name!r} takes, found {told}: {error}") from error

    return checked


def _option_names(factory: LocalizerFactory) -> list[str] | None:
    """Names that the factory can be given, beside the camera; None where it takes, or may take, any."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters[1:]]


def _find(name: str) -> EntryPoint:
    if name in _BUILT_IN:
        return EntryPoint(name, _BUILT_IN[name], LOCALIZERS)
    for point in entry_points(group=LOCALIZERS):
        if point.name == name:
            return point
    installed = installed_localizers()
    raise PluginError(f"unknown localizer {name!r}; installed: {', '.join(installed)}{did_you_mean(name, installed)}")
