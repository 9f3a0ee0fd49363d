"""Localizer for a user-trained network, chosen from the checkpoint's metadata."""

from __future__ import annotations

import os

from dblink_live.errors import ModelError
from dblink_live.interfaces import Localizer
from dblink_live.localization.neural.weights import architecture_of, find_network
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera

_LOCALIZERS = ("deepstorm", "dense")


def own_network(camera: Camera, *, weights: str | os.PathLike[str], **options: object) -> Localizer:
    """The localizer of the checkpoint ``weights``; ``options`` are its own.

    Raises
    ------
    ConfigError
        What the localizer refuses.
    ModelError
        No such file, a damaged one, or one of a localizer that this version does not have.
    """
    path = find_network(weights)
    architecture = architecture_of(path)
    if architecture not in _LOCALIZERS:
        raise ModelError(
            f"expected a network of the localizers {', '.join(_LOCALIZERS)}, found {path} of {architecture!r}; "
            "update dblink-live"
        )
    return get_localizer_factory(architecture)(camera, weights=path, **options)
