"""pycromanager's bridge to a Micro-Manager that runs in Java: finding it, and asking it without waiting for ever.

The bridge has no time limit of its own: a call to a Micro-Manager that was closed never returns. Here every call is
made in a thread that can be given up. What such a thread holds is given back by the end of its process, so a bridge is
used in the camera process only.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from dblink_live.errors import SourceError, SourceLostError

DEFAULT_PORT = 4827
HOST = "127.0.0.1"
CONNECT_MS = 15_000
"""What pyjavaz waits for the server's first answer."""
CONNECT_S = 60.0
"""What the whole handshake may take: the description of the core alone is some hundred methods."""
ANSWER_S = 30.0
"""A Micro-Manager that has not answered for so long, while its port is open, hangs."""
LOOK_EVERY_S = 0.5
"""Between looks at the port while an answer is due."""

Answer = TypeVar("Answer")


def is_listening(port: int) -> bool:
    """Whether some program of this machine accepts connections at ``port``."""
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
            "install the extra: pip install 'dblink-live[micromanager]'"
        ) from error
    if not is_listening(port):
        raise SourceError(
            f"expected a running Micro-Manager at port {port}, found no server listening there; start Micro-Manager "
            f"and tick Tools > Options > Run server on port {DEFAULT_PORT}"
        )
    _drop_exit_handlers()
    try:
        return in_time(lambda: Core(port=port, timeout=CONNECT_MS), CONNECT_S)
    except Exception as error:
        raise SourceError(
            f"expected the server of Micro-Manager at port {port}, found a program that does not answer like one "
            f"({first_line(error)}); is another program using that port?"
        ) from error


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
    """What an error says, without the stack that Java sends with it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class _NoExitHandlers:
    """Stands in for `atexit` in pyjavaz."""

    def register(self, *_: object, **__: object) -> None: ...


def _drop_exit_handlers() -> None:
    """Keep pyjavaz from registering an exit handler for each object: for each frame two, never taken back.

    The process of a camera ends without them (`producer`), and at 100 frames per second they would
    fill some hundred megabytes per hour.
    """
    from pyjavaz import bridge

    bridge.atexit = _NoExitHandlers()
