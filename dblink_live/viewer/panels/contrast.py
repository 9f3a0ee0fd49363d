"""What a panel remembers about its contrast: follow the pictures, or hold what the operator has chosen."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from dblink_live.display.contrast import ContrastPolicy, Limits, contrast_limits

_EASE = 0.3
"""Share of the way that automatic limits go towards a new picture's: at once would flicker with every molecule."""
_STEP = 1.25


class Contrast:
    """The limits of one panel; the mathematics is `dblink_live.display.contrast`.

    Parameters
    ----------
    policy
        How automatic limits are chosen.
    """

    def __init__(self, policy: ContrastPolicy) -> None:
        self._policy = policy
        self._limits: Limits | None = None
        self._is_auto = True

    @property
    def is_auto(self) -> bool:
        return self._is_auto

    @property
    def limits(self) -> Limits | None:
        """What the last picture was shown with; None before the first."""
        return self._limits

    def update(self, image: npt.NDArray[Any]) -> Limits:
        """The limits to show ``image`` with."""
        if self._limits is None:
            self._limits = contrast_limits(image, self._policy)
        elif self._is_auto:
            target, now = contrast_limits(image, self._policy), self._limits
            self._limits = Limits(now.low + _EASE * (target.low - now.low), now.high + _EASE * (target.high - now.high))
        return self._limits

    def lock(self) -> None:
        """Keep the limits as they are."""
        self._is_auto = False

    def unlock(self) -> None:
        """Follow the pictures again, starting with the next one's own limits."""
        self._is_auto = True
        self._limits = None

    def hold(self, limits: Limits) -> None:
        """Show everything with ``limits`` from now on."""
        self._limits = limits
        self._is_auto = False

    def brighten(self, steps: int) -> None:
        """Bring the bright limit closer (darker for negative ``steps``), and keep it there."""
        if self._limits is not None:
            span = (self._limits.high - self._limits.low) * _STEP**-steps
            self._limits = Limits(self._limits.low, self._limits.low + span)
            self.lock()
