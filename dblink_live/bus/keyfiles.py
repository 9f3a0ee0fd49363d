"""The folder of CURVE keys: made once, read by the run that publishes and by the viewers it lets in.

    FOLDER/server.key_secret     of the run; stays on the microscope's machine
    FOLDER/server.key            its public half, by which a viewer knows the run
    FOLDER/client.key_secret     of a viewer
    FOLDER/clients/client.key    its public half; viewers with a key in this folder are accepted

A run reads ``server.key_secret`` and ``clients/``, a viewer ``client.key_secret`` and ``server.key``. The files are
ZeroMQ certificates (as `zmq.auth` writes them), so that other tools can read them.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path

import zmq
from zmq.auth import load_certificate
from zmq.utils import z85

from dblink_live.bus.address import ClientKeys, ServerKeys, new_key_pair
from dblink_live.errors import WireError
from dblink_live.files import remove

SERVER_SECRET = "server.key_secret"
SERVER_PUBLIC = "server.key"
CLIENT_SECRET = "client.key_secret"
CLIENT_PUBLIC = "clients/client.key"
HAS_OWNER_ONLY_MODE = sys.platform != "win32"
"""Whether files have an owner-only mode: on Windows the folder decides who can read them."""

_KEY_BYTES = 32


def write_new_keys(folder: Path) -> list[Path]:
    """Make a key pair for the run and one for a viewer; the secret ones can be read by their owner alone.

    On Windows the files inherit the permissions of ``folder``.

    Returns
    -------
    The files that were made.

    Raises
    ------
    WireError
        One of them is there already (nothing is overwritten), or they cannot be written.
    """
    server, client = new_key_pair(), new_key_pair()
    contents = {
        SERVER_SECRET: _certificate(*server),
        SERVER_PUBLIC: _certificate(server[0]),
        CLIENT_SECRET: _certificate(*client),
        CLIENT_PUBLIC: _certificate(client[0]),
    }
    for name in contents:
        # lexists: a dangling link is something, too.
        if os.path.lexists(folder / name):
            raise WireError(f"expected a folder without keys, found {folder / name}; keys are never overwritten")
    made: list[Path] = []
    try:
        (folder / CLIENT_PUBLIC).parent.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            mode = 0o644 if path.suffix == ".key" else 0o600
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                made.append(path)
                file.write(content)
    except OSError as error:
        for path in made:  # half a set would be refused the next time
            remove(path)
        raise WireError(f"cannot write keys to {folder}: {error.strerror}") from error
    return made


def read_server_keys(folder: Path) -> ServerKeys:
    """Read the keys that a run needs to publish beyond this machine.

    Raises
    ------
    WireError
        A key is missing or damaged, others can read the secret one, or no viewer would be accepted.
    """
    public, secret = _read_pair(folder / SERVER_SECRET)
    clients = frozenset(_read_public(path) for path in sorted((folder / "clients").glob("*.key")))
    if not clients:
        raise WireError(f"expected public keys of viewers, clients/*.key, found none in {folder}")
    return ServerKeys(public, secret, clients)


def read_client_keys(folder: Path) -> ClientKeys:
    """Read the keys that a viewer needs to reach such a run.

    Raises
    ------
    WireError
        A key is missing or damaged, or others can read the secret one.
    """
    public, secret = _read_pair(folder / CLIENT_SECRET)
    return ClientKeys(public, secret, _read_public(folder / SERVER_PUBLIC))


def _certificate(public: bytes, secret: bytes | None = None) -> bytes:
    lines = [b"# ZeroMQ CURVE certificate of dblink-live, public: give it to the other side"]
    if secret is not None:
        lines = [b"# ZeroMQ CURVE certificate of dblink-live, SECRET: do not share it"]
    lines += [b"metadata", b"curve", b'    public-key = "%s"' % public]
    if secret is not None:
        lines.append(b'    secret-key = "%s"' % secret)
    return b"\n".join(lines) + b"\n"


def _read_pair(path: Path) -> tuple[bytes, bytes]:
    public, secret = _read(path)
    if HAS_OWNER_ONLY_MODE and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WireError(f"expected a secret key that its owner alone can read, found {path} open to others; chmod 600")
    if secret is None or not _is_key(secret) or zmq.curve_public(secret) != public:
        raise WireError(f"expected a secret key and the public key that belongs to it, found something else in {path}")
    return public, secret


def _read_public(path: Path) -> bytes:
    return _read(path)[0]


def _read(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = load_certificate(path)
    except ValueError as error:
        raise WireError(f"expected a ZeroMQ certificate, found none in {path}") from error
    except OSError as error:
        if not path.exists():
            raise WireError(
                f"expected a key at {path}, found no such file; make keys with: dblink-live keys --folder {path.parent}"
            ) from error
        raise WireError(f"cannot read the key {path}: {error.strerror}") from error
    if not _is_key(public):
        raise WireError(f"expected a public key of 40 characters, found something else in {path}")
    return public, secret


def _is_key(text: bytes) -> bool:
    try:
        return len(z85.decode(text)) == _KEY_BYTES
    except (ValueError, KeyError, struct.error):
        return False
