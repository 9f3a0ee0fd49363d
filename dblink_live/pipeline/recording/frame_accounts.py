"""The ledgers of a live run's segments, updated by several threads: those that read, count and commit frames."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dblink_live.ledger import Ledger
from dblink_live.types import Gap


class FrameAccounts:
    """One `Ledger` per segment; every method may be called from any thread."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may ask what is left while its thread is in here.
        self._lock = threading.RLock()
        self._ledgers: dict[int, Ledger] = {}

    def open(self, segment: int) -> None:
        """Begin a segment's ledger."""
        with self._lock:
            self._ledgers[segment] = Ledger(segment)

    def arrived(self, segment: int, count: int) -> None:
        """``count`` frames were taken in."""
        self._change(segment, lambda ledger: ledger.with_frames(count))

    def missed(self, gap: Gap) -> None:
        """Frames will not come."""
        self._change(gap.segment, lambda ledger: ledger.with_gap(gap))

    def committed(self, segment: int, count: int) -> None:
        """``count`` frames lie in a window that was handed to the store."""
        self._change(segment, lambda ledger: ledger.with_committed(count))

    def left_over(self, segment: int, count: int) -> None:
        """``count`` frames fill no whole window at the segment's end."""
        self._change(segment, lambda ledger: ledger.with_tail(count))

    def ledger(self, segment: int) -> Ledger:
        """The ledger of a segment as it is now."""
        with self._lock:
            return self._ledgers[segment]

    @property
    def ledgers(self) -> list[Ledger]:
        """All of them, in the order in which their segments began."""
        with self._lock:
            return list(self._ledgers.values())

    @property
    def n_seen(self) -> int:
        """Frames that the camera is known to have taken."""
        return sum(ledger.n_seen for ledger in self.ledgers)

    def _change(self, segment: int, change: Callable[[Ledger], Ledger]) -> None:
        with self._lock:
            self._ledgers[segment] = change(self._ledgers[segment])
