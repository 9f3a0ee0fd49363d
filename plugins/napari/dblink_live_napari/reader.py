"""The reader that napari asks about each folder that is opened or dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dblink_live.store import open_run
from dblink_live_napari.molecules import Molecules
from dblink_live_napari.videos import LayerData, is_run, layers_of_run


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """A function that reads ``path``, or None where it is no run folder."""
    paths = [path] if isinstance(path, str) else path
    if not paths or not all(is_run(Path(one)) for one in paths):
        return None
    return read


def read(path: str | list[str]) -> list[LayerData]:
    """Layers of one run folder or of several.

    Raises
    ------
    StoreError
        It is damaged, or nothing is committed yet.
    """
    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        # Kept open by the layers, which read from it as they are looked at.
        run = open_run(one)
        layers += layers_of_run(run, Molecules(run))
    # napari reads an empty list as a failure; a layer of no kind means that there is nothing to show yet.
    return layers or [(None,)]  # type: ignore[list-item]
