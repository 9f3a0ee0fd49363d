"""Authenticate viewers by their CURVE keys, and record refused connections.

ZeroMQ asks a socket of ours about every new connection (ZAP, https://rfc.zeromq.org/spec/27). pyzmq's own authenticator
answers from an asyncio loop, which on Windows needs tornado; this one is polled by the publisher's thread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import zmq
from zmq.utils import z85

from dblink_live.bus.address import ServerKeys

_DOMAIN = b"dblink-live"
_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_EVENT = struct.Struct("=Hi")
_REASONS: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "a viewer came without keys",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "the server.key of a viewer is not the public key of this run",
}

_Socket = zmq.Socket[bytes]


@dataclass(frozen=True)
class Refusals:
    """Refused connections."""

    count: int = 0
    last: str = ""
    """Why the last one was."""


class Authenticator:
    """Guards the sockets of one ZeroMQ context. All methods but `refusals` belong to one thread at a time.

    Parameters
    ----------
    context
        Whose sockets are guarded. It must not have another authenticator.
    keys
        The publisher's own pair, and the public keys of those it lets in.
    """

    def __init__(self, context: zmq.Context[_Socket], keys: ServerKeys) -> None:
        self._keys = keys
        self._refusals = Refusals()
        self._zap = context.socket(zmq.REP)
        self._zap.set(zmq.LINGER, 0)
        self._zap.bind(_ENDPOINT)
        self._watched: list[tuple[_Socket, _Socket]] = []

    @property
    def sockets(self) -> list[_Socket]:
        """Sockets to poll; call `serve` when one of them is readable."""
        return [self._zap, *(monitor for _, monitor in self._watched)]

    @property
    def refusals(self) -> Refusals:
        """Number of refused connections, and the reason of the last refusal."""
        return self._refusals

    def guard(self, socket: _Socket) -> None:
        """Require a known key of every peer that connects to ``socket``, which is not bound yet."""
        socket.curve_server = True
        socket.curve_publickey = self._keys.public
        socket.curve_secretkey = self._keys.secret
        socket.zap_domain = _DOMAIN
        # Without it ZeroMQ accepts every peer while no authenticator answers.
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def watch(self, socket: _Socket) -> None:
        """Note handshakes that fail at ``socket`` before a key is asked about; it is not bound yet."""
        self._watched.append((socket, socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)))

    def serve(self) -> None:
        """Answer what ZeroMQ asks, without waiting."""
        while self._zap.poll(0):
            self._zap.send_multipart(self._answer(self._zap.recv_multipart()))
        for _, monitor in self._watched:
            while monitor.poll(0):
                _, code = _EVENT.unpack(monitor.recv_multipart()[0])
                self._refuse(_REASONS.get(code, "a peer connected that does not use ZeroMQ's CURVE"))

    def close(self) -> None:
        """Stop watching and answering; the guarded sockets are closed by their owner, before or after."""
        for socket, monitor in self._watched:
            if not socket.closed:
                socket.disable_monitor()
            monitor.close(linger=0)
        self._zap.close(linger=0)

    def _answer(self, question: list[bytes]) -> list[bytes]:
        _, request_id, _, address, _, mechanism, *credentials = question
        is_known = mechanism == b"CURVE" and [self._is_known(key) for key in credentials] == [True]
        if not is_known:
            self._refuse(f"the key of a viewer at {address.decode('ascii', 'replace')} is not among the known ones")
        status, text = (b"200", b"OK") if is_known else (b"400", b"unknown key")
        return [_VERSION, request_id, status, text, b"", b""]

    def _is_known(self, key: bytes) -> bool:
        return z85.encode(key) in self._keys.allowed_clients

    def _refuse(self, reason: str) -> None:
        self._refusals = Refusals(self._refusals.count + 1, reason)
