"""The run's side of the bus: send pictures and status without ever waiting for a viewer.

Every image topic has a PUB socket of its own with CONFLATE, which keeps one message a socket and would otherwise
throw one topic away for another. Status goes through an ordinary PUB. Whoever joins late asks one socket for what was
missed and for the ports of the others; that is the one address a viewer has to know. The socket that answers is a
ROUTER, because a REP socket goes deaf under peers that break its protocol (found by benchmarks/fuzz.py).
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import Self

import zmq

from dblink_live.bus.address import Address, ServerKeys, check_binding
from dblink_live.bus.authenticator import Authenticator, Refusals
from dblink_live.bus.images import ImageMessage, encode_image
from dblink_live.bus.messages import (
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    TOPICS,
    Done,
    EndMessage,
    HeartbeatMessage,
    ImageInfo,
    ImageRequest,
    Refusal,
    RegionRequest,
    Snapshot,
    SnapshotRequest,
    StartMessage,
    StatusMessage,
    Topic,
    decode_control,
    encode_control,
)
from dblink_live.errors import DblinkError, WireError
from dblink_live.latency import PUBLISHER_BEAT_S

N_PORTS = 2 + len(TOPICS)
"""One for the snapshot, one for the status, one a topic."""
_STATUS_HWM = 1000
_POLL_MS = 100
# The end of a run is the one message that should not be lost when the sockets close right behind it.
_END_LINGER_MS = 250
# A viewer has one question open at a time. Who asks on and never reads the answers gets no thousand pictures queued.
_REPLY_HWM: dict[int, int] = {zmq.SNDHWM: 1, zmq.RCVHWM: 8}
# Requests are short, and a peer without a key by then will not send one.
_EVERY_SOCKET: dict[int, int] = {zmq.LINGER: 0, zmq.MAXMSGSIZE: MAX_REQUEST_BYTES, zmq.HANDSHAKE_IVL: 10_000}

_Socket = zmq.Socket[bytes]


@dataclass
class _Latest:
    """Snapshot for late joiners. Guarded by the publisher's lock."""

    start: StartMessage | None = None
    status: StatusMessage | None = None
    end: EndMessage | None = None
    info: dict[Topic, ImageInfo] = field(default_factory=dict)
    part: dict[Topic, bytes | bytearray] = field(default_factory=dict)


class Publisher:
    """Publishes a run to any number of viewers.

    No method waits for a viewer, and pictures are copied before it returns. Methods may be called from any thread.

    Parameters
    ----------
    address
        Where viewers ask for the snapshot; ``*`` takes a free port. On loopback the other sockets take free ports as
        well; beyond it they take the `N_PORTS` - 1 that follow, so that a firewall can be told.
    keys
        CURVE keys; without them only loopback addresses are allowed.

    Raises
    ------
    WireError
        The address cannot be read, is not allowed, or is taken.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:*", *, keys: ServerKeys | None = None) -> None:
        wanted = Address.parse(address)
        check_binding(wanted, keys)
        self._id = uuid.uuid4().hex
        self.on_region: Callable[[str], None] | None = None
        """Called in the publisher's thread with the live region that a viewer asks for; a `DblinkError` refuses it."""
        self._lock = threading.Lock()
        self._latest = _Latest()
        self._sent: dict[str, int] = dict.fromkeys((*TOPICS, "status"), 0)
        self._closing = threading.Event()
        self._context: zmq.Context[_Socket] = zmq.Context()
        self._sockets: list[_Socket] = []
        self._authenticator: Authenticator | None = None
        try:
            self._authenticator = Authenticator(self._context, keys) if keys is not None else None
            others = _following(wanted)
            self._reply, self._address = self._bind(zmq.ROUTER, wanted, _REPLY_HWM)
            self._status, self._status_address = self._bind(zmq.PUB, next(others), {zmq.SNDHWM: _STATUS_HWM})
            bound = {topic: self._bind(zmq.PUB, next(others), {zmq.CONFLATE: 1}) for topic in TOPICS}
        except BaseException:
            self._destroy()
            raise
        self._images = {topic: socket for topic, (socket, _) in bound.items()}
        self._image_ports = {topic: _port(address) for topic, (_, address) in bound.items()}
        self._thread = threading.Thread(target=self._serve, name="publisher-service", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Address for a viewer on this machine, with the port that was taken."""
        return str(self._address.from_here)

    @property
    def refusals(self) -> Refusals:
        """Viewers that were turned away for their keys: how many attempts, and why the last one was."""
        return self._authenticator.refusals if self._authenticator else Refusals()

    @property
    def sent(self) -> Mapping[str, int]:
        """Number of messages sent, by topic and for "status"."""
        with self._lock:
            return MappingProxyType(dict(self._sent))

    def start(self, message: StartMessage) -> None:
        """Announce the run."""
        with self._lock:
            self._latest.start = message
            self._latest.end = None
            self._send_status_locked(encode_control(message))

    def send_status(self, message: StatusMessage) -> None:
        """Tell how the run is doing."""
        packed = encode_control(message)
        with self._lock:
            self._latest.status = message
            self._send_status_locked(packed)
            self._sent["status"] += 1

    def end(self, message: EndMessage) -> None:
        """Tell that nothing follows."""
        packed = encode_control(message)
        with self._lock:
            self._latest.end = message
            if message.status is not None:
                self._latest.status = message.status
            self._send_status_locked(packed)

    def send_image(self, message: ImageMessage) -> None:
        """Publish a picture; of those that a viewer has not fetched yet, only the newest stays.

        Raises
        ------
        WireError
            The picture has a dtype, shape or size that the wire does not carry.
        """
        with self._lock:
            sequence = self._sent.get(message.topic, 0) + 1
            part = encode_image(replace(message, sequence=sequence))
            if self._closing.is_set():
                return
            self._sent[message.topic] = sequence
            self._latest.info[message.topic] = ImageInfo(message.segment, message.number, sequence, message.t_host_ns)
            self._latest.part[message.topic] = part
            # copy=True: the part stays here for late joiners, and ZeroMQ's threads must not share it.
            with contextlib.suppress(zmq.Again):
                self._images[message.topic].send(part, zmq.NOBLOCK, copy=True)

    def close(self) -> None:
        """Close every socket at once; a viewer that is slow is not waited for. Can be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        if self._latest.end is not None:
            self._status.set(zmq.LINGER, _END_LINGER_MS)
        self._destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bind(self, kind: int, address: Address, options: Mapping[int, int]) -> tuple[_Socket, Address]:
        socket = self._context.socket(kind)
        self._sockets.append(socket)
        for option, value in {zmq.IPV6: int(address.is_ipv6), **_EVERY_SOCKET, **options}.items():
            socket.set(option, value)
        if self._authenticator is not None:
            self._authenticator.guard(socket)
            if kind == zmq.ROUTER:
                self._authenticator.watch(socket)
        try:
            socket.bind(str(address))
        except zmq.ZMQError as error:
            raise WireError(
                f"cannot publish at {address}: {error.strerror}; choose another port, or * for a free one"
            ) from error
        return socket, address.with_port(_port_of(socket))

    def _send_status_locked(self, packed: bytes) -> None:
        if self._closing.is_set():
            return
        with contextlib.suppress(zmq.Again):
            self._status.send(packed, zmq.NOBLOCK)

    def _serve(self) -> None:
        """Answer late joiners and beat, on a thread of its own: both go on while the pipeline computes."""
        poller = zmq.Poller()
        for socket in (self._reply, *(self._authenticator.sockets if self._authenticator else ())):
            poller.register(socket, zmq.POLLIN)
        beats = 0
        due_s = time.perf_counter()
        while not self._closing.is_set():
            if time.perf_counter() >= due_s:
                due_s = time.perf_counter() + PUBLISHER_BEAT_S
                with self._lock:
                    self._send_status_locked(encode_control(HeartbeatMessage(self._id, beats)))
                beats += 1
            readable = dict(poller.poll(_POLL_MS))
            if self._authenticator is not None:
                self._authenticator.serve()
            if self._reply in readable:
                # A peer that vanished may not end the service.
                with contextlib.suppress(zmq.ZMQError):
                    self._reply_to(self._reply.recv_multipart(zmq.NOBLOCK))

    def _reply_to(self, parts: list[bytes]) -> None:
        """Answer a request of a REQ socket: identity, empty part, request. Anything else gets no answer."""
        if len(parts) == 3 and parts[1] == b"":
            self._reply.send_multipart([*parts[:2], self._answer(parts[2])], zmq.NOBLOCK)

    def _answer(self, request: bytes) -> bytes | bytearray:
        try:
            message = decode_control(request)
        except WireError as error:
            return encode_control(Refusal(str(error)[:1000]))
        if isinstance(message, SnapshotRequest):
            return encode_control(self._snapshot())
        if isinstance(message, ImageRequest):
            with self._lock:
                return self._latest.part.get(message.topic, b"")
        if isinstance(message, RegionRequest):
            return encode_control(self._follow(message))
        return encode_control(Refusal(f"expected a request, found {type(message).__name__}"))

    def _follow(self, request: RegionRequest) -> Done | Refusal:
        if self.on_region is None or self._latest.end is not None:
            return Refusal("expected a run that is being reconstructed, found none: its live region cannot be moved")
        try:
            self.on_region(request.region)
        except DblinkError as error:
            return Refusal(str(error)[:1000])
        return Done()

    def _snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                protocol=PROTOCOL_VERSION,
                publisher_id=self._id,
                status_port=_port(self._status_address),
                image_ports=dict(self._image_ports),
                start=self._latest.start,
                status=self._latest.status,
                end=self._latest.end,
                latest=dict(self._latest.info),
            )

    def _destroy(self) -> None:
        with self._lock:
            if self._authenticator is not None:
                self._authenticator.close()
            for socket in self._sockets:
                socket.close()
            self._context.term()


def _following(address: Address) -> Iterator[Address]:
    """Addresses of the other sockets: free ports, or beyond loopback those after the requested port."""
    if address.port is None or address.is_loopback:
        yield from itertools.repeat(address.with_port(None))
        return
    if address.port + N_PORTS - 1 > 65535:
        raise WireError(f"expected a port of at most {65535 - N_PORTS + 1}, found {address.port}: others follow it")
    for port in range(address.port + 1, address.port + N_PORTS):
        yield address.with_port(port)


def _port_of(socket: _Socket) -> int:
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return int(endpoint.rstrip("\0").rpartition(":")[2])


def _port(address: Address) -> int:
    if address.port is None:
        raise WireError(f"expected a bound address, found {address}")
    return address.port
