"""Addresses and keys: loopback for everyone, anything else only with CURVE."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

import zmq

from dblink_live.errors import WireError

_LOOPBACK_OF = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_ADDRESS = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+|\*):(?P<port>\*|\d{1,5})")


@dataclass(frozen=True)
class Address:
    """A TCP endpoint; ``port`` is None for "any free one".

    Examples
    --------
    >>> Address.parse("tcp://localhost:5556")
    Address(host='127.0.0.1', port=5556)
    >>> Address.parse("tcp://10.0.0.5:5556").is_loopback
    False
    """

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``tcp://HOST:PORT``; raises `WireError` for anything else."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise WireError(f"expected an address like tcp://127.0.0.1:5556, found {text!r}")
        host = match["host"].strip("[]")
        port = None if match["port"] == "*" else int(match["port"])
        if port is not None and not 1 <= port <= 65535:
            raise WireError(f"expected a port of 1 to 65535, found {port} in {text!r}")
        # ZeroMQ binds interfaces, not names, on some systems.
        return cls("127.0.0.1" if host == "localhost" else host, port)

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def from_here(self) -> Address:
        """The same address as seen from this machine: a wildcard address is reached through loopback."""
        return Address(_LOOPBACK_OF.get(self.host, self.host), self.port)

    def with_port(self, port: int | None) -> Address:
        return Address(self.host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.is_ipv6 else self.host
        return f"tcp://{host}:{'*' if self.port is None else self.port}"


@dataclass(frozen=True)
class ServerKeys:
    """Keys of a publisher beyond loopback: its own CURVE pair (Z85) and the public keys of accepted viewers."""

    public: bytes
    secret: bytes = field(repr=False)
    allowed_clients: frozenset[bytes]


@dataclass(frozen=True)
class ClientKeys:
    """Keys of a viewer of such a publisher: its own CURVE pair and the publisher's public key (all Z85)."""

    public: bytes
    secret: bytes = field(repr=False)
    server_public: bytes


def new_key_pair() -> tuple[bytes, bytes]:
    """A fresh CURVE pair (public, secret), Z85-encoded."""
    public, secret = zmq.curve_keypair()
    return public, secret


def check_binding(address: Address, keys: ServerKeys | None) -> None:
    """Refuse to publish beyond this machine without keys.

    Raises
    ------
    WireError
        The address is not a loopback one and there are no keys, or ZeroMQ here has no CURVE.
    """
    if keys is None and not address.is_loopback:
        raise WireError(
            f"expected a loopback address (tcp://127.0.0.1:PORT), found {address}; "
            "pictures leave this machine only encrypted: make keys with `dblink-live keys` and give them with --keys"
        )
    _check_curve(keys)


def check_connecting(address: Address, keys: ClientKeys | None) -> None:
    """Refuse to connect to another machine without keys: without them the peer is not authenticated.

    Raises
    ------
    WireError
        The address is not a loopback one and there are no keys, or ZeroMQ here has no CURVE.
    """
    if keys is None and not address.is_loopback:
        raise WireError(
            f"expected keys for a run on another machine, found none for {address}; give --keys FOLDER, with "
            "client.key_secret of this viewer and server.key of the run"
        )
    _check_curve(keys)


def _check_curve(keys: ServerKeys | ClientKeys | None) -> None:
    if keys is not None and not zmq.has("curve"):
        raise WireError("CURVE keys were given, but this ZeroMQ was built without CURVE; install pyzmq's own wheel")
