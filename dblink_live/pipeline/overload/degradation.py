"""When a live run gives something up to stay within its latency budget, and when it takes it back.

The order is that of `dblink_live.latency.Step`. Two things are watched: how long maps wait for the network, and the
share of the time that the network computes. The policy is pure: it is told what was measured and keeps no threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dblink_live.latency import Step
from dblink_live.pipeline.overload.live_region import MIN_SIDE_PX

LATE_SHARE = 0.25
"""Of the slack: a map that has waited so long, and not less than those before it, takes the next step..."""
EARLY_SHARE = 0.05
"""...and while none waits longer than this, steps may be taken back."""
MAX_LOAD_AFTER = 0.75
"""A step is taken back only where the network would then compute for no more than this share of the time."""
FIRST_HOLD_S = 5.0
"""A step is kept for so long before it is taken back..."""
LONGEST_HOLD_S = 80.0
"""...and twice as long each time that taking it back did not hold, up to this."""


@dataclass(frozen=True)
class Level:
    """What holds for the windows that come next."""

    step: Step
    hop: int
    provisional: bool = False
    newest_only: bool = False
    """Of the windows that share a reverse pass only the newest gets its picture."""
    n_halvings: int = 0
    """How often the sides of the live region are halved."""
    relief: float = 1.0
    """By how much the network's load rises where this level is taken back: an estimate from above."""


def levels(hop: int, provisional: bool, side_px: int) -> list[Level]:
    """Every level that a run can take, from nothing given up to the last.

    Examples
    --------
    >>> [level.step.value for level in levels(hop=4, provisional=False, side_px=128)]
    ['whole', 'one_per_hop', 'larger_hop', 'smaller_region', 'smaller_region']
    """
    found = [Level(Step.WHOLE, hop, provisional)]
    if provisional:
        found.append(Level(Step.NO_PROVISIONAL, hop, relief=2.0))
    if hop > 1:
        found.append(Level(Step.ONE_PER_HOP, hop, newest_only=True, relief=float(hop)))
    found.append(Level(Step.LARGER_HOP, 2 * hop, newest_only=True, relief=2.0))
    n_halvings = 1
    while side_px >> n_halvings >= MIN_SIDE_PX:
        found.append(Level(Step.SMALLER_REGION, 2 * hop, newest_only=True, n_halvings=n_halvings, relief=4.0))
        n_halvings += 1
    return found


class Degradation:
    """Decides what a stream gives up.

    Parameters
    ----------
    levels
        As `levels` returns them.
    slack_s
        Seconds of the latency budget beyond the windows that a picture waits for anyway.
    clock_s
        Seconds, never backwards.

    Examples
    --------
    A network that takes twice as long as a window lasts:

    >>> policy = Degradation(levels(4, False, 64), slack_s=2.0, clock_s=lambda: 0.0)
    >>> for n in range(12):
    ...     changed = policy.after_window(wait_s=0.1 * n, busy_s=0.2, window_s=0.1)
    >>> policy.level.step
    <Step.LARGER_HOP: 'larger_hop'>
    """

    def __init__(self, levels: list[Level], slack_s: float, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._levels = levels
        self._slack_s = slack_s
        self._clock_s = clock_s
        self._at = 0
        self._since_s = clock_s()
        self._hold_s = FIRST_HOLD_S
        self._was_taken_back = False
        """Whether the last change took a step back."""
        self._last_wait_s = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=2 * levels[-1].hop)
        """(busy, lasted) seconds of the last windows."""

    @property
    def level(self) -> Level:
        """What holds now."""
        return self._levels[self._at]

    @property
    def is_last(self) -> bool:
        """Whether nothing more can be given up than pictures themselves."""
        return self._at == len(self._levels) - 1

    def after_window(self, wait_s: float, busy_s: float, window_s: float) -> bool:
        """Take note of a window; True where another `level` holds from now on.

        Parameters
        ----------
        wait_s
            How long its map has waited for the network.
        busy_s
            How long the network has computed for it.
        window_s
            How long the window lasted.
        """
        self._recent.append((busy_s, window_s))
        is_growing, self._last_wait_s = wait_s >= self._last_wait_s, wait_s
        is_settled = len(self._recent) >= self.level.hop
        is_late = wait_s > LATE_SHARE * self._slack_s and is_growing and is_settled
        if (is_late or wait_s > self._slack_s) and self._at < len(self._levels) - 1:
            self._relapse()
            self._move(+1)
            return True
        held_s = self._clock_s() - self._since_s
        if wait_s > EARLY_SHARE * self._slack_s or held_s < self._hold_s or self._at == 0:
            return False
        busy, lasted = (sum(values) for values in zip(*self._recent, strict=True))
        if len(self._recent) < self.level.hop or busy * self.level.relief > MAX_LOAD_AFTER * lasted:
            return False
        self._move(-1)
        return True

    def _relapse(self) -> None:
        """A step that was taken back and is needed again is kept longer the next time."""
        if self._was_taken_back:
            self._hold_s = min(2 * self._hold_s, LONGEST_HOLD_S)
        elif self._at == 0:
            self._hold_s = FIRST_HOLD_S

    def _move(self, by: int) -> None:
        self._at += by
        self._was_taken_back = by < 0
        self._since_s = self._clock_s()
        self._recent.clear()
