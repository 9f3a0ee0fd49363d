"""Follows a run in a napari viewer: its folder while windows are committed, or its address while pictures are
published.

No Qt here: `refresh` is called from a timer. Nothing waits, and nothing is ever written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dblink_live.bus import ClientKeys, ImageMessage, Link, Subscriber, Topic
from dblink_live.store import open_run
from dblink_live_napari.molecules import Molecules
from dblink_live_napari.videos import layers_of_run

_TITLES: dict[Topic, str] = {"camera": "camera, newest frame", "sum": "plain sum, newest", "live": "live, newest"}
_COLORMAPS: dict[Topic, str] = {"camera": "gray", "sum": "gray", "live": "inferno"}
_WORDS = {
    Link.CONNECTING: "connecting",
    Link.LIVE: "live",
    Link.LOST: "silent, waiting for it",
    Link.ENDED: "ended",
}
_HIDDEN_AT_FIRST = ("camera", "sum")


class Following(Protocol):
    """A run that is being followed."""

    def refresh(self) -> str:
        """Show what is new, and say in a line how the run is doing."""
        ...

    def close(self) -> None: ...


class FolderFollower:
    """Shows what a run commits, as it commits it.

    Parameters
    ----------
    viewer
        A ``napari.Viewer`` or ``napari.components.ViewerModel``.
    folder
        The run folder.

    Raises
    ------
    StoreError
        The folder is no run, or damaged.
    """

    def __init__(self, viewer: Any, folder: Path) -> None:
        self._viewer = viewer
        self._run = open_run(folder)
        self._molecules = Molecules(self._run)
        self._layers: dict[str, Any] = {}
        self._n_windows: dict[str, int] = {}
        self._n_seen: tuple[int, ...] = ()

    def refresh(self) -> str:
        run = self._run
        n_seen = tuple(run.committed_count(product) for product in ("counts", "live", "full"))
        if n_seen != self._n_seen:
            self._n_seen = n_seen
            self._show()
        return f"{run.path.name}: {run.status}, {n_seen[0]} windows, {n_seen[1]} pictures" + (
            f", {n_seen[2]} of the full pass" if n_seen[2] else ""
        )

    def close(self) -> None:
        """Stop looking. Layers stay, and read from the folder as before."""

    def _show(self) -> None:
        was_at_end = self._is_at_end()
        for data, settings, kind in layers_of_run(self._run, self._molecules):
            series = settings["metadata"]["series"]
            if kind == "image":
                self._n_windows[series] = data.shape[0]
            layer = self._layers.get(series)
            if layer is None or layer not in self._viewer.layers:
                self._layers[series] = getattr(self._viewer, f"add_{kind}")(data, **settings)
            else:
                # Contrast, colours and order are the user's by now.
                layer.data = data
        if was_at_end and self._layers:
            self._viewer.dims.set_current_step(0, self._newest())

    def _newest(self) -> int:
        """The last window of the visible videos, or of all where none is visible."""
        visible = [series for series in self._n_windows if self._layers[series].visible]
        return max(self._n_windows[series] for series in visible or self._n_windows) - 1

    def _is_at_end(self) -> bool:
        """Whether the user looks at the newest picture: only then does the slider follow."""
        if not self._layers:
            return True
        return int(self._viewer.dims.current_step[0]) >= self._newest()


class AddressFollower:
    """Shows the newest pictures that a run publishes, as dblink_live's own viewer does.

    Parameters
    ----------
    viewer
        A ``napari.Viewer`` or ``napari.components.ViewerModel``.
    address
        What the run says, for instance ``tcp://127.0.0.1:5556``.
    keys
        For a run on another machine; see docs/explanation/security.md.

    Raises
    ------
    WireError
        The address cannot be read or is not allowed.
    """

    def __init__(self, viewer: Any, address: str, keys: ClientKeys | None = None) -> None:
        self._viewer = viewer
        self._subscriber = Subscriber(address, keys=keys)
        self._layers: dict[Topic, Any] = {}

    def refresh(self) -> str:
        subscriber = self._subscriber
        subscriber.poll()
        for topic in _TITLES:
            message = subscriber.latest(topic)
            if message is not None:
                self._show(message)
        return self._words()

    def close(self) -> None:
        self._subscriber.close()

    def _words(self) -> str:
        subscriber = self._subscriber
        if subscriber.refusal:
            return f"{subscriber.address}: {subscriber.refusal}"
        if subscriber.end is not None:
            return f"{subscriber.address}: {subscriber.end.message or 'the run has ended'}"
        source = subscriber.start.source if subscriber.start else ""
        return f"{subscriber.address}: {_WORDS[subscriber.link]}" + (f", {source}" if source else "")

    def _show(self, message: ImageMessage) -> None:
        pitch_um = message.pitch_nm / 1000
        image = np.array(message.image)
        corner = tuple(origin / 1000 + pitch_um / 2 for origin in message.origin_nm)
        layer = self._layers.get(message.topic)
        if layer is None or layer not in self._viewer.layers:
            self._layers[message.topic] = self._viewer.add_image(
                image,
                name=_TITLES[message.topic],
                scale=(pitch_um, pitch_um),
                translate=corner,
                colormap=_COLORMAPS[message.topic],
                contrast_limits=_limits(message, image),
                visible=message.topic not in _HIDDEN_AT_FIRST,
            )
            return
        layer.data = image
        layer.scale, layer.translate = (pitch_um, pitch_um), corner


def _limits(message: ImageMessage, image: np.ndarray[Any, Any]) -> tuple[float, float]:
    if message.topic == "live":
        # Probability, as numbers in [0, 1] or as whole ones up to 255.
        return (0.0, 255.0 if image.dtype == np.uint8 else 1.0)
    found = image[image > 0] if message.topic == "sum" else image
    if not found.size:
        return (0.0, 1.0)
    low = 0.0 if message.topic == "sum" else float(np.min(found))
    return (low, max(float(np.percentile(found, 99.5)), low + 1.0))
