"""Dynamic instability: filaments that grow, break off into shrinkage (catastrophe) and recover from it (rescue).

The two-state model of Mitchison & Kirschner (Nature 312, 237, 1984), with constant speeds and constant rates of
switching. The defaults are rounded from Rusan et al. (Molecular Biology of the Cell 12, 971, 2001), who followed
microtubules of interphase LLC-PK1 cells: 11.5 um/min of growth, 13.1 um/min of shortening, 0.026 catastrophes and 0.175
rescues a second. Those microtubules also pause, for much of the time; the two-state model does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.checks import require


@dataclass(frozen=True)
class DynamicInstability:
    """Speeds and rates of one end; the other stands still."""

    growth_nm_per_s: float = 190.0
    shrinkage_nm_per_s: float = 220.0
    catastrophe_per_s: float = 0.026
    """Rate at which growth turns into shrinkage."""
    rescue_per_s: float = 0.175
    """Rate at which shrinkage turns into growth."""

    def __post_init__(self) -> None:
        for name in ("growth_nm_per_s", "shrinkage_nm_per_s", "catastrophe_per_s", "rescue_per_s"):
            require(name, getattr(self, name), 0.0)


@dataclass(frozen=True)
class LengthHistory:
    """Length of one filament over time: straight lines between turning points."""

    times_s: npt.NDArray[np.float64]
    """[K] rising."""
    lengths_nm: npt.NDArray[np.float64]
    """[K]"""

    def at(self, time_s: float) -> float:
        """In nm; before the first and after the last turning point the filament rests."""
        return float(np.interp(time_s, self.times_s, self.lengths_nm))


def draw_history(
    rng: np.random.Generator,
    instability: DynamicInstability,
    longest_nm: float,
    start_s: float,
    stop_s: float,
) -> LengthHistory:
    """One filament from ``start_s`` to ``stop_s``, of a length between 0 and ``longest_nm``.

    It starts at any length, growing or shrinking as often as the rates say. A filament that has shrunk to nothing grows
    again at once; one that has reached ``longest_nm``, as at the edge of a cell, waits there for its catastrophe.
    """
    switching = instability.catastrophe_per_s + instability.rescue_per_s
    grows = bool(rng.random() * switching <= instability.rescue_per_s)
    time, length = start_s, float(rng.uniform(0.2, 1.0)) * longest_nm
    times, lengths = [time], [length]
    while time < stop_s:
        rate = instability.catastrophe_per_s if grows else instability.rescue_per_s
        speed = instability.growth_nm_per_s if grows else instability.shrinkage_nm_per_s
        lasts = float(rng.exponential(1.0 / rate)) if rate > 0 else stop_s - time
        room = longest_nm - length if grows else length
        moves = min(lasts, room / speed) if speed > 0 else lasts
        length += (speed if grows else -speed) * moves
        times.append(time + moves)
        lengths.append(length)
        if grows and moves < lasts:
            times.append(time + lasts)
            lengths.append(length)
        time, grows = times[-1], not grows
    return LengthHistory(np.array(times), np.array(lengths))


def lengths_at(histories: Sequence[LengthHistory], time_s: float) -> npt.NDArray[np.float64]:
    """[F] lengths in nm at ``time_s``."""
    return np.array([history.at(time_s) for history in histories])
