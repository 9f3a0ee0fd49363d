"""Connect a viewer to a publisher: sockets of one setup, one open request at a time."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import zmq

from dblink_live.bus.address import Address, ClientKeys
from dblink_live.bus.images import MAX_PART_BYTES
from dblink_live.errors import WireError

_EVENT = struct.Struct("=Hi")
_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)

_Socket = zmq.Socket[bytes]


@dataclass(frozen=True)
class Connection:
    """Makes sockets that are connected to one publisher."""

    context: zmq.Context[_Socket]
    address: Address
    keys: ClientKeys | None

    def connect(self, kind: int, port: int | None, options: Mapping[int, int | bytes]) -> _Socket:
        """A socket of ``kind`` that connects to ``port`` on the publisher's host."""
        socket = self._prepare(kind, options)
        socket.connect(str(self.address.with_port(port)))
        return socket

    def question(self) -> Question:
        """A fresh way to ask."""
        socket = self._prepare(zmq.REQ, {zmq.MAXMSGSIZE: MAX_PART_BYTES})
        # From before it connects, so that no handshake is missed.
        monitor = socket.get_monitor_socket(_HANDSHAKE_FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(str(self.address))
        return Question(socket, monitor, has_keys=self.keys is not None)

    def _prepare(self, kind: int, options: Mapping[int, int | bytes]) -> _Socket:
        socket = self.context.socket(kind)
        for option, value in {zmq.LINGER: 0, zmq.IPV6: int(self.address.is_ipv6), **options}.items():
            socket.set(option, value)
        if self.keys is not None:
            socket.curve_publickey = self.keys.public
            socket.curve_secretkey = self.keys.secret
            socket.curve_serverkey = self.keys.server_public
        return socket


class Question:
    """A REQ socket that never waits: one request at a time, and why the publisher refused the connection, if it did."""

    def __init__(self, socket: _Socket, monitor: _Socket, *, has_keys: bool) -> None:
        self._socket = socket
        self._monitor = monitor
        self._has_keys = has_keys

    def ask(self, request: bytes) -> None:
        """Send ``request`` as soon as there is a connection."""
        with contextlib.suppress(zmq.Again):
            self._socket.send(request, zmq.NOBLOCK)

    def answer(self) -> bytes | None:
        """The answer, or None while there is none.

        Raises
        ------
        WireError
            It has several parts; the question has to be closed then.
        """
        try:
            part = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        if self._socket.get(zmq.RCVMORE):
            raise WireError("expected an answer of one part, found several")
        return part

    def news(self) -> str | None:
        """Why connecting failed last, an empty text when it worked, None when neither has happened since."""
        news = None
        while self._monitor.poll(0):
            event, _ = _EVENT.unpack(self._monitor.recv_multipart()[0])
            news = "" if event == zmq.EVENT_HANDSHAKE_SUCCEEDED else self._reason(event)
        return news

    def close(self) -> None:
        """Disconnect at once."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _reason(self, event: int) -> str:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return "the run does not know this viewer's key; its folder clients/ needs the viewer's public key"
        if self._has_keys:
            return "server.key is not the public key of the run there, or that run was started without --keys"
        return "the run there demands keys, or it is no run of dblink-live; give --keys FOLDER"
