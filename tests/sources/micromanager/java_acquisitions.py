"""Micro-Manager's side of an acquisition that pycromanager starts through the bridge, over a real core.

As much of AcqEngJ and of ``org.micromanager.remote`` as the unmodified client needs: events come in over a socket of
their own, images go to the client's image processor and what it gives back is stored, notifications go out over a
third socket.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pymmcore
import zmq
from java_bridge import ARRAYS, BOOLEAN, DOUBLE, INT, STRING, JavaClass, JavaObject, JavaSide, free_port, tagged_image

ACQUISITION = "org.micromanager.acqj.main.Acquisition"
PROCESSOR = "org.micromanager.remote.RemoteImageProcessor"
HANDLER = "org.micromanager.remote.RemoteNotificationHandler"
FACTORY = "org.micromanager.remote.RemoteAcquisitionFactory"
_HARDWARE = ("config_group", "exposure", "x", "y", "z", "properties")


class Pusher:
    """A PUSH socket that the client pulls from."""

    def __init__(self) -> None:
        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._lock = threading.Lock()
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")

    def send(self, message: dict[str, Any], *parts: bytes) -> None:
        with self._lock:
            text = json.dumps(message, ensure_ascii=False).encode("iso-8859-1", "replace")
            self._socket.send_multipart([text, *parts])


class Acquisition:
    """One acquisition: takes events until it is told that there are no more, or aborted."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.event_port = free_port()
        self.notifications: Pusher | None = None
        self.images: Pusher | None = None
        self.events_finished = threading.Event()
        self.sink_finished = threading.Event()
        self.aborted = threading.Event()
        self.error: str | None = None
        self._n_codes = 0
        threading.Thread(target=self._run, daemon=True).start()

    def check(self) -> None:
        if self.error is not None:
            raise RuntimeError(self.error)

    def _run(self) -> None:
        socket = zmq.Context.instance().socket(zmq.PULL)
        socket.connect(f"tcp://127.0.0.1:{self.event_port}")
        while not self.aborted.is_set():
            if not socket.poll(20):
                continue
            events = json.loads(socket.recv_multipart()[0].decode("iso-8859-1"))["events"]
            if events[0].get("special") == "acquisition-end":
                break
            try:
                for batch in _sequences(events):
                    self._acquire(batch)
            except Exception as error:
                self.error = str(error)
                break
        if self.core.isSequenceRunning():
            self.core.stopSequenceAcquisition()
        self.events_finished.set()
        self._notify("global", "acq_events_finished")
        if self.images is not None:
            self.images.send({"special": "finished"})
        self.sink_finished.set()
        self._notify("image", "data_sink_finished")

    def _acquire(self, batch: list[dict[str, Any]]) -> None:
        core, first = self.core, batch[0]
        due = first.get("min_start_time")
        while due is not None and time.time() < self._started() + due and not self.aborted.is_set():
            time.sleep(0.001)
        if "config_group" in first:
            core.setConfig(*first["config_group"])
            core.waitForConfig(*first["config_group"])
        if "exposure" in first:
            core.setExposure(first["exposure"])
        for device, name, value in first.get("properties", []):
            core.setProperty(device, name, value)
        if "x" in first:
            core.setXYPosition(first["x"], first["y"])
            core.waitForDevice(core.getXYStageDevice())
        if len(batch) == 1:
            core.snapImage()
            self._hand_over(core.getImage(), {}, first)
            return
        core.startSequenceAcquisition(len(batch), 0, True)
        for event in batch:
            while core.getRemainingImageCount() == 0:
                if self.aborted.is_set():
                    return
                if core.isBufferOverflowed():
                    raise RuntimeError("Sequence buffer overflow")
                if not core.isSequenceRunning() and core.getRemainingImageCount() == 0:
                    raise RuntimeError("Expected images did not arrive in circular buffer")
                time.sleep(0.0005)
            metadata = pymmcore.Metadata()
            pixels = core.popNextImageMD(metadata)
            self._hand_over(pixels, {key: metadata.GetSingleTag(key).GetValue() for key in metadata.GetKeys()}, event)

    def _hand_over(self, pixels: np.ndarray, tags: dict[str, Any], event: dict[str, Any]) -> None:
        image = tagged_image(self.core, pixels, tags)
        all_tags = {**image.values["tags"], "Axes": event["axes"], "Exposure": self.core.getExposure()}
        if self.images is not None:
            self._n_codes += 1
            kind, letter = ARRAYS[pixels.dtype.itemsize]
            message = {"metadata": all_tags, "pixels": {"type": kind, "value": f"[{letter}@{self._n_codes:x}"}}
            self.images.send(message, self._n_codes.to_bytes(4, "little"), np.ascontiguousarray(pixels).tobytes())

    def _started(self) -> float:
        if not hasattr(self, "_start_s"):
            self._start_s = time.time()
        return self._start_s

    def _notify(self, kind: str, milestone: str) -> None:
        while self.notifications is None:
            time.sleep(0.001)
        self.notifications.send({"type": kind, "milestone": milestone, "payload": None})


def _sequences(events: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Events that the camera can take in one sequence, together: nothing but the axes differs."""
    batch: list[dict[str, Any]] = []
    for event in events:
        if batch and (
            any(event.get(name) != batch[-1].get(name) for name in _HARDWARE)
            or event.get("min_start_time") != batch[-1].get("min_start_time")
        ):
            yield batch
            batch = []
        batch.append(event)
    if batch:
        yield batch


def add_acquisitions(java: JavaSide, core: Any) -> None:
    """Let clients make acquisitions, image processors and handlers of notifications."""
    storage = JavaObject(
        JavaClass(
            "org.micromanager.ndtiffstorage.NDRAMStorage",
            (
                ("getSummaryMetadata", (), lambda _: {}),
                ("getDiskLocation", (), lambda _: None),
                ("isFinished", (), lambda _: True),
            ),
        )
    )

    def create(_: JavaObject, directory: str | None, name: str, viewer: bool, queue: int, debug: bool) -> JavaObject:
        acquisition = Acquisition(core)
        sink = JavaObject(
            JavaClass(
                "org.micromanager.acqj.api.AcqEngJDataSink",
                (
                    ("getStorage", (), lambda _: storage),
                    ("isFinished", (), lambda _: acquisition.sink_finished.is_set()),
                ),
            )
        )
        return JavaObject(
            JavaClass(
                ACQUISITION,
                (
                    ("getEventPort", (), lambda _: acquisition.event_port),
                    ("getDataSink", (), lambda _: sink),
                    ("isFinished", (), lambda _: acquisition.events_finished.is_set()),
                    ("areEventsFinished", (), lambda _: acquisition.events_finished.is_set()),
                    (
                        "blockUntilEventsFinished",
                        (DOUBLE,),
                        lambda _, seconds: acquisition.events_finished.wait(seconds) and None,
                    ),
                    ("waitForCompletion", (), lambda _: acquisition.sink_finished.wait() and None),
                    ("checkForExceptions", (), lambda _: acquisition.check()),
                    ("abort", (), lambda _: acquisition.aborted.set()),
                    (
                        "addImageProcessor",
                        (PROCESSOR,),
                        lambda _, processor: setattr(acquisition, "images", processor.peer),
                    ),
                ),
            ),
            peer=acquisition,
        )

    def processor() -> JavaObject:
        images, pull_port = Pusher(), free_port()
        return JavaObject(
            JavaClass(
                PROCESSOR,
                (
                    ("getPullPort", (), lambda _: pull_port),
                    ("getPushPort", (), lambda _: images.port),
                    ("startPull", (), lambda _: None),
                    ("startPush", (), lambda _: None),
                ),
            ),
            peer=images,
        )

    def handler(acquisition: JavaObject) -> JavaObject:
        pusher = Pusher()
        return JavaObject(
            JavaClass(
                HANDLER,
                (
                    ("getPort", (), lambda _: pusher.port),
                    ("start", (), lambda _: setattr(acquisition.peer, "notifications", pusher)),
                    ("notificationHandlingComplete", (), lambda _: None),
                ),
            )
        )

    arguments = (STRING, STRING, BOOLEAN, INT, BOOLEAN)
    factory = JavaObject(JavaClass(FACTORY, (("createAcquisition", arguments, create),)))
    java.constructors[FACTORY] = (("mmcorej.CMMCore",), lambda _: factory)
    java.constructors[PROCESSOR] = ((), processor)
    java.constructors[HANDLER] = ((ACQUISITION,), handler)
