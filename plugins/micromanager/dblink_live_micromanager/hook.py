"""Hands the images of your own pycromanager acquisition to a running ``dblink-live run --source mm:script``.

    from dblink_live_micromanager import LiveHook                                     # 1

    with LiveHook() as live:                                                          # 2
        with Acquisition("D:/data", "cell1", image_process_fn=live) as acquisition:   # 3
            acquisition.acquire(events)

Your acquisition stays as it is: images go on to be saved and shown, and the hook never waits. It copies an image
into a socket's queue and returns; while nobody takes them, images are let go, counted, and named in the run's ledger.

This file needs NumPy and pyzmq alone, which pycromanager brings: it can be copied beside a script.
"""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import zmq

DEFAULT_PORT = 4829
MARK = b"dblink-script-1"
QUEUE = 64
"""Images that may wait while the other side is busy."""
LINGER_MS = 2000
"""What is queued at the end may take so long to be handed over."""


class LiveHook:
    """An ``image_process_fn`` for pycromanager's ``Acquisition``, on either backend.

    Parameters
    ----------
    port
        Where ``dblink-live run --source mm:script?port=...`` listens.
    channel, position
        The one to reconstruct, as the events name it; None takes that of the first image. Others are counted.
    then
        Your own ``image_process_fn``, called with what the hook was called with; its answer is handed on.
    """

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        *,
        channel: str | int | None = None,
        position: str | int | None = None,
        then: Callable[..., Any] | None = None,
    ) -> None:
        self._chosen = {"channel": channel, "position": position}
        self._then = then
        # pycromanager counts the parameters: to a function of three it hands its queue of events as well.
        self.__signature__ = inspect.signature(then if then is not None else _two_parameters)
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, QUEUE)
        # Nothing is queued for somebody who is not there: an acquisition that began before must not fill the memory.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._n_deselected = 0
        self.n_images = 0
        """Chosen images that have come by."""
        self.n_sent = 0
        """Of these, how many were handed over."""
        self.failure: str | None = None
        """Why images are no longer handed over; the acquisition itself goes on."""

    def __call__(self, image: Any, metadata: dict[str, Any], *bridge: Any) -> Any:
        """Hand the image over, and hand it on. Never raises on account of the hand-over."""
        with self._lock:
            if self.failure is None:
                try:
                    self._hand_over(np.asarray(image), metadata)
                except Exception as error:
                    # A bug here must not cost an image that somebody waited for all night.
                    self.failure = f"{type(error).__name__}: {error}"
                    print(f"dblink-live: images are no longer handed over: {self.failure}")
        if self._then is not None:
            return self._then(image, metadata, *bridge)
        return image, metadata

    def close(self) -> None:
        """Say that the acquisition has ended, and let go."""
        with self._lock:
            if self._context.closed:
                return
            self._send({"kind": "end", "number": self.n_images, "count": self._n_deselected})
            self._socket.close(linger=LINGER_MS)
            self._context.term()

    def __enter__(self) -> LiveHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        lost = self.n_images - self.n_sent
        if lost:
            print(f"dblink-live: {lost} of {self.n_images} images were not taken; the run's ledger names them")

    def _hand_over(self, image: np.ndarray[Any, Any], metadata: Mapping[str, Any]) -> None:
        if not self._is_chosen(metadata.get("Axes") or {}):
            self._n_deselected += 1
            return
        number = self.n_images
        self.n_images += 1
        # Java has no unsigned numbers: its bytes and shorts hold the same bits.
        pixels = image.view(f"u{image.itemsize}") if image.dtype.kind == "i" else image
        head = {
            "kind": "image",
            "number": number,
            "count": self._n_deselected,
            "shape": list(pixels.shape),
            "dtype": pixels.dtype.name,
            "t_host_ns": time.perf_counter_ns(),
            "facts": _facts(metadata, self._chosen),
        }
        if self._send(head, np.ascontiguousarray(pixels)):
            self.n_sent += 1
            self._n_deselected = 0

    def _is_chosen(self, axes: Mapping[str, Any]) -> bool:
        for name in self._chosen:
            if self._chosen[name] is None and name in axes:
                self._chosen[name] = axes[name]
            if name in axes and str(axes[name]) != str(self._chosen[name]):
                return False
        return True

    def _send(self, head: Mapping[str, Any], pixels: np.ndarray[Any, Any] | None = None) -> bool:
        parts: list[Any] = [MARK, json.dumps(head).encode()]
        if pixels is not None:
            parts.append(pixels.data)
        try:
            self._socket.send_multipart(parts, flags=zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True


def _two_parameters(image: Any, metadata: dict[str, Any]) -> None:
    """What pycromanager is to believe the hook to be."""


def _facts(metadata: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What Micro-Manager's metadata say of the camera, under one set of names."""
    return {
        "exposure_ms": _number(metadata.get("Exposure")),
        "pixel_size_um": _number(metadata.get("PixelSizeUm")),
        "bit_depth": _whole(metadata.get("BitDepth")),
        "binning": _whole(str(metadata.get("Binning", 1)).partition("x")[0]) or 1,
        "roi": _roi(metadata.get("ROI")),
        "channel": None if chosen["channel"] is None else str(chosen["channel"]),
        "position": None if chosen["position"] is None else str(chosen["position"]),
    }


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _roi(value: Any) -> list[int] | None:
    """Micro-Manager writes ``x-y-width-height``."""
    numbers = [_whole(part) for part in str(value or "").split("-")]
    return None if len(numbers) != 4 or None in numbers else [int(number or 0) for number in numbers]
