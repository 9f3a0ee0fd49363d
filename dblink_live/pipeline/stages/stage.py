"""A stage of the live run: a thread that handles items in order, behind a bounded queue.

PyTorch, Numba and TensorStore give the interpreter lock back while they compute, so threads overlap where it matters,
and nothing is copied between stages. A stage that is behind holds up those before it once its queue is full.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from dblink_live.status import Clock, RateMeter, StageStatus

Item = TypeVar("Item")

_WAKE_S = 0.5
"""On Windows a wait without a limit cannot be interrupted by Ctrl-C."""


class Stage(Generic[Item]):
    """Handles items one after the other in a thread of its own.

    The first exception that ``handle`` raises is kept in `error`; the stage then discards what it has and what still
    comes, so that no stage waits for it, and the stages after it finish what they were given.

    Parameters
    ----------
    name
        What the stage is called in the status.
    handle
        Called with each item, in this stage's thread.
    capacity
        Items that may wait; `put` blocks while there are so many.
    clock
        Nanoseconds, never backwards.
    """

    def __init__(
        self, name: str, handle: Callable[[Item], None], *, capacity: int, clock: Clock = time.perf_counter_ns
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.error: BaseException | None = None
        """What ``handle`` raised; None while the stage is in order."""
        self._handle = handle
        self._clock = clock
        self._waiting: deque[tuple[int, Item]] = deque()
        """(when it came, item)."""
        self.waited_s = 0.0
        """How long the item at hand has waited."""
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_discarding = False
        self._rate = RateMeter(clock=clock)
        self._delay_s: float | None = None
        self._busy_ns = 0
        # A daemon: a stage that hangs in a driver or a library must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"stage-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: Item, timeout_s: float = math.inf) -> bool:
        """Hand over an item; False where the queue has stayed full for ``timeout_s``.

        A stage that has failed or was stopped takes it and discards it.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(self._waiting) >= self.capacity and not self._is_discarding:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, _WAKE_S))
            if not self._is_discarding:
                self._waiting.append((self._clock(), item))
                self._changed.notify_all()
            return True

    def offer(self, item: Item) -> bool:
        """Hand over an item that may be lost: False, at once, where the queue is full."""
        with self._changed:
            if len(self._waiting) >= self.capacity or self._is_discarding:
                return False
            self._waiting.append((self._clock(), item))
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """End the thread once all that was handed over is handled."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def discard(self) -> None:
        """Forget what waits, and end the thread after the item at hand."""
        with self._changed:
            self._is_discarding = self._is_closing = True
            self._waiting.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; False where it has not within ``timeout_s``."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def count(self, n: int, t_data_ns: int) -> None:
        """Note that ``n`` units were handled, the newest of them taken by the camera at ``t_data_ns`` (0: unknown)."""
        with self._changed:
            self._rate.add(n)
            if t_data_ns:
                self._delay_s = max(0.0, (self._clock() - t_data_ns) * 1e-9)

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """Seconds that ``handle`` has taken so far."""
        return self._busy_ns * 1e-9

    def status(self) -> StageStatus:
        """How the stage is doing."""
        with self._changed:
            return StageStatus(self.name, self._rate.rate_hz(), self.depth, self.capacity, self._delay_s, self.busy_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closing:
                    self._changed.wait(_WAKE_S)
                if not self._waiting:
                    return
                came_ns, item = self._waiting.popleft()
                self._changed.notify_all()
            started = self._clock()
            self.waited_s = (started - came_ns) * 1e-9
            try:
                self._handle(item)
            except BaseException as error:
                self.error = error
                self.discard()
            self._busy_ns += self._clock() - started
