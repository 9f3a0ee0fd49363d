"""pycromanager's bridge to a Micro-Manager that runs in Java: finding it, and asking it without waiting for ever.

The bridge has no time limit of its own: a call to a Micro-Manager that was closed never returns. Here every call is
made in a thread that can be given up. What such a thread holds is given back by the end of its process, so a bridge is
used in the camera process only.

Texts go over the bridge in Latin-1: of what Micro-Manager answers, each character outside of it arrives as a question
mark (`as_answered`), while what it is asked for arrives whole.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from dblink_live.errors import SourceError, SourceLostError
from dblink_live.sources.micromanager.client_repairs import repair_client

DEFAULT_PORT = 4827
HOST = "127.0.0.1"
CONNECT_MS = 15_000
"""What pyjavaz waits for the server's first answer."""
CONNECT_S = 60.0
"""What the whole handshake may take: the description of the core alone is some hundred methods."""
GIVE_BACK_S = 3.0
"""What giving all objects back may take."""
VERSION_MS = 3_000
"""What the question for the version of the bridge may take."""
OPTION = f"Tools > Options > Run pycro-manager server on port {DEFAULT_PORT}"
"""What a user has to tick."""
ANSWER_S = 30.0
"""A Micro-Manager that has not answered for so long, while its port is open, hangs."""
LOOK_EVERY_S = 0.5
"""Between looks at the port while an answer is due."""

Answer = TypeVar("Answer")


def is_listening(port: int) -> bool:
    """Return whether some program of this machine accepts connections at ``port``."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def connect(port: int) -> Any:
    """The core of the Micro-Manager that serves at ``port``, by pycromanager.

    Raises
    ------
    SourceError
        pycromanager is not installed, no server listens there, or it is not Micro-Manager.
    """
    try:
        # pycromanager's own Core comes from here; importing pycromanager as a whole takes three times as long.
        from mmpycorex import Core
    except ImportError as error:
        raise SourceError(
            f"expected pycromanager for a running Micro-Manager, found that it cannot be imported ({error}); "
            'install the extra: pip install "dblink-live[micromanager]"'
        ) from error
    if not is_listening(port):
        raise SourceError(
            f"expected a running Micro-Manager at port {port}, found no server listening there; start Micro-Manager "
            f"and tick {OPTION}"
        )
    repair_client()
    other = other_version(server_version(port))
    if other is not None:
        print(f"dblink-live: {other}", file=sys.stderr, flush=True)
    try:
        return in_time(lambda: Core(port=port, timeout=CONNECT_MS), CONNECT_S)
    except Exception as error:
        if other is not None:
            raise SourceError(f"{other}; what failed: {first_line(error)}") from error
        raise SourceError(
            f"expected the server of Micro-Manager at port {port}, found a program that does not answer like one "
            f"({first_line(error)}); is another program using that port?"
        ) from error


def server_version(port: int) -> str | None:
    """The version of the bridge that the server at ``port`` speaks; None where it does not answer like one."""
    import zmq

    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"tcp://{HOST}:{port}")
        socket.send_multipart([b'{"command": "connect", "debug": false}'])
        if not socket.poll(VERSION_MS):
            return None
        reply = json.loads(socket.recv_multipart()[0].decode("iso-8859-1"))
        return str(reply["version"])
    except (zmq.ZMQError, ValueError, KeyError, TypeError):
        return None
    finally:
        socket.close()


def other_version(found: str | None) -> str | None:
    """Return what to say where a server's version is not that of the installed client; None where they agree."""
    from pyjavaz.bridge import Bridge

    expected = str(Bridge._EXPECTED_ZMQ_SERVER_VERSION)
    if found is None or found == expected:
        return None
    newer, advice = "Micro-Manager", "pip install --upgrade pycromanager"
    if _numbers(found) < _numbers(expected):
        newer, advice = "pycromanager", "install a newer nightly build of Micro-Manager"
    return (
        f"expected version {expected} of the bridge in Micro-Manager, found {found}: {newer} is the newer one; if "
        f"something fails, {advice}"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def as_answered(text: str) -> str:
    """``text`` as Micro-Manager sends it back over the bridge.

    Examples
    --------
    >>> as_answered("Grün"), as_answered("日-actin")
    ('Grün', '?-actin')
    """
    return text.encode("iso-8859-1", "replace").decode("iso-8859-1")


def give_back() -> None:
    """Give back every object that this process holds in a Micro-Manager, while it answers.

    Micro-Manager keeps what its clients hold: for an acquisition a thread, sockets and a handle of the core.
    """
    from pyjavaz.bridge import Bridge

    bridges = [made for made in (reference() for reference in list(Bridge._cached_bridges_by_port.values())) if made]

    def work() -> None:
        for made in bridges:
            for shadow in list(made._java_objects):
                with suppress(Exception):  # what is gone already needs no giving back
                    shadow._close()

    with suppress(TimeoutError):
        in_time(work, GIVE_BACK_S)


def let_go(port: int) -> None:
    """Make shadows of objects of a server that is gone end without waiting for it."""
    import pyjavaz

    pyjavaz.server_terminated(port)


def in_time(call: Callable[[], Answer], limit_s: float) -> Answer:
    """The answer of ``call``; its thread is left behind where there is none in time.

    Raises
    ------
    TimeoutError
        There was no answer.
    Exception
        What the call raised.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="bridge-call", daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return answers[0]


class Silence:
    """Notices that the other side of the bridge is gone: calls are marked, and looked at from another thread.

    Parameters
    ----------
    port
        Where Micro-Manager serves.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._since: float | None = None
        self._looked_at = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def answered(self) -> None:
        """A call of several has been answered; the next one is asked now."""
        self._since = time.perf_counter()

    def check(self) -> None:
        """From the other thread, every few milliseconds.

        Raises
        ------
        SourceLostError
            An answer is due and will not come.
        """
        since, now = self._since, time.perf_counter()
        if since is None or now - since < LOOK_EVERY_S or now - self._looked_at < LOOK_EVERY_S:
            return
        # The machine slept, or both sides were suspended: give an answer its time again.
        slept = self._looked_at and now - self._looked_at > 4 * LOOK_EVERY_S
        self._looked_at = now
        if not is_listening(self._port):
            raise SourceLostError(f"Micro-Manager at port {self._port} was closed")
        if now - since > ANSWER_S and not slept:
            raise SourceLostError(f"Micro-Manager at port {self._port} has not answered for {ANSWER_S:g} s")


def first_line(error: BaseException) -> str:
    """Return what an error says, without the stack that Java sends with it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
