"""Records what a Micro-Manager answers over pycromanager's bridge, so that a test can be given the same answers.

    record_bridge(4827, Path("my_microscope.json"))

A proxy stands between the unmodified client and the server while the settings of the camera, and one image if there is
one, are asked for. Only questions are asked: nothing is set, snapped or started. The file holds each request with its
answer; pixels are compressed.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dblink_live.errors import SourceError
from dblink_live.files import replacing
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager import bridge
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.segments import segment_of
from dblink_live.types import Segment

FORMAT = 1
"""Version of the file."""
_POLL_MS = 50


@dataclass(frozen=True)
class Exchange:
    """A request of the client, the answer to it, and the arrays that came with that, by their ids."""

    request: dict[str, Any]
    reply: dict[str, Any]
    arrays: list[tuple[int, bytes]] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        arrays = [
            {"id": code, "zlib_base64": base64.b64encode(zlib.compress(content)).decode("ascii")}
            for code, content in self.arrays
        ]
        return {"request": self.request, "reply": self.reply, "arrays": arrays}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Exchange:
        arrays = [(item["id"], zlib.decompress(base64.b64decode(item["zlib_base64"]))) for item in plain["arrays"]]
        return cls(plain["request"], plain["reply"], arrays)


def record_bridge(port: int, path: Path) -> Segment:
    """Ask the Micro-Manager at ``port`` for its camera's settings and its newest image, and store the exchange.

    To be called in a process of its own, as from a command line: the client library keeps threads.

    Parameters
    ----------
    port
        Of its server, usually 4827.
    path
        JSON file to write.

    Returns
    -------
    Segment
        What was found.

    Raises
    ------
    SourceError
        Nobody answers there, the camera delivers colour or more than 16 bits, or the file cannot be written.
    """
    if not bridge.is_listening(port):
        bridge.connect(port)  # which says what to do
    proxy = _Proxy(port)
    try:
        core = CameraCore(bridge.connect(proxy.port))
        segment = segment_of(core, HostClock.now())
        version = core.version
        # These differ between configurations: what there is not is an answer, too.
        for question in (core.is_running, lambda: core.channel, lambda: core.stage_um, lambda: core.peek(0)):
            with suppress(Exception):
                question()
        bridge.give_back()
    finally:
        proxy.stop()
        bridge.let_go(proxy.port)
    content = {
        "format": FORMAT,
        "recorded_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "micromanager": version,
        "exchanges": [exchange.to_plain() for exchange in proxy.exchanges],
    }
    try:
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SourceError(f"cannot write the recording {path}: {error.strerror}; choose another place") from error
    return segment


def read_recording(path: Path) -> list[Exchange]:
    """Return what `record_bridge` has stored.

    Raises
    ------
    SourceError
        It is no such file, or one of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise SourceError(f"expected a recording of format {FORMAT} at {path}, found {content['format']}")
        return [Exchange.from_plain(item) for item in content["exchanges"]]
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise SourceError(f"expected a recording of the bridge at {path}, found: {error!r}; record it again") from error


class _Proxy:
    """Hands requests on to a server, answers back, and keeps both.

    Parameters
    ----------
    port
        Of the server; the proxy's own port is free one.
    """

    def __init__(self, port: int) -> None:
        import zmq

        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._client = context.socket(zmq.REP)
        self.port = int(self._client.bind_to_random_port(f"tcp://{bridge.HOST}"))
        self._server = context.socket(zmq.REQ)
        self._server.setsockopt(zmq.LINGER, 0)
        self._server.connect(f"tcp://{bridge.HOST}:{port}")
        self.exchanges: list[Exchange] = []
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._hand_on, name="bridge-proxy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopped.set()
        self._thread.join(1.0)

    def _hand_on(self) -> None:
        while not self._is_stopped.is_set():
            if not self._client.poll(_POLL_MS):
                continue
            request = self._client.recv_multipart()
            self._server.send_multipart(request)
            while not self._server.poll(_POLL_MS):
                if self._is_stopped.is_set():
                    return
            reply = self._server.recv_multipart()
            codes = [int.from_bytes(code, sys.byteorder) for code in reply[1::2]]
            arrays = list(zip(codes, reply[2::2], strict=True))
            self.exchanges.append(Exchange(_decoded(request[0]), _decoded(reply[0]), arrays))
            self._client.send_multipart(reply)


def _decoded(part: bytes) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(part.decode("iso-8859-1"))
    return plain
