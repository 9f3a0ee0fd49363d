"""Checks of parameters at the door: one sentence that says what was expected and what was found."""

from __future__ import annotations

import math

from dblink_live.errors import ConfigError


def require(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a ``value`` that is not a finite number in [``low``, ``high``].

    Raises
    ------
    ConfigError
        It is outside, infinite or not a number.
    """
    if not (math.isfinite(value) and low <= value <= high):
        wanted = f"of {low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise ConfigError(f"expected {name} {wanted}, found {value}")


def require_seed(seed: int) -> None:
    """Refuse a ``seed`` that numpy's generators would not take.

    Raises
    ------
    ConfigError
        It is negative.
    """
    if seed < 0:
        raise ConfigError(f"expected a seed of 0 or more, found {seed}")
