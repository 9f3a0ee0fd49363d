"""Looks for a running Micro-Manager on this machine, without asking it for anything."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QAbstractSocket, QTcpSocket

from dblink_live.viewer.start.choices import BRIDGE_PORT

EVERY_MS = 3000


class MicroManagerFinder(QObject):
    """Says whether something answers at the port of Micro-Manager's server; connects and hangs up.

    Parameters
    ----------
    port
        Of the server.
    """

    found = Signal(bool)
    """Whether it answers, each time that this changes."""

    def __init__(self, port: int = BRIDGE_PORT) -> None:
        super().__init__()
        self.port = port
        self.is_found: bool | None = None
        """None before the first answer."""
        self._socket = QTcpSocket(self)
        self._socket.connected.connect(self._on_connected)
        self._socket.errorOccurred.connect(self._on_error)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._ask)

    def start(self) -> None:
        """Look now and every few seconds."""
        self._ask()
        self._timer.start(EVERY_MS)

    def stop(self) -> None:
        """Look no longer."""
        self._timer.stop()
        self._socket.abort()

    def _ask(self) -> None:
        self._socket.abort()
        self._socket.connectToHost("127.0.0.1", self.port)

    def _on_connected(self) -> None:
        self._socket.abort()
        self._tell(True)

    def _on_error(self, _error: QAbstractSocket.SocketError) -> None:
        self._tell(False)

    def _tell(self, is_found: bool) -> None:
        if is_found != self.is_found:
            self.is_found = is_found
            self.found.emit(is_found)
