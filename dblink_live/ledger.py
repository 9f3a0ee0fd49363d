"""The ledger: what became of every frame of a segment.

    frames seen = committed + lost (by cause) + deselected + tail

*Seen* counts every frame that the camera is known to have taken: those that arrived and those that are known to be
missing. A loss of unknown size is counted as such, never as zero frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from dblink_live.errors import StoreError
from dblink_live.types import Gap, GapCause


@dataclass(frozen=True)
class Ledger:
    """Frames of one segment by fate. Immutable: each method returns the next state.

    Examples
    --------
    >>> ledger = Ledger(segment=0).with_frames(95).with_gap(Gap(0, 40, 5, GapCause.CAMERA))
    >>> ledger = ledger.with_committed(90).with_tail(5)
    >>> ledger.n_seen, ledger.n_lost, ledger.balances()
    (100, 5, True)
    """

    segment: int
    n_arrived: int = 0
    """Frames that reached the pipeline."""
    n_committed: int = 0
    """Frames that lie in committed windows."""
    lost: Mapping[GapCause, int] = field(default_factory=lambda: MappingProxyType({}))
    """Frames known to be lost, by cause."""
    n_deselected: int = 0
    """Frames of another channel or position."""
    n_tail: int = 0
    """Frames after the last whole window."""
    n_unknown: int = 0
    """Losses of unknown size."""

    @property
    def n_lost(self) -> int:
        """Frames lost, all causes together."""
        return sum(self.lost.values())

    @property
    def n_seen(self) -> int:
        """Frames that the camera is known to have taken."""
        return self.n_arrived + self.n_lost + self.n_deselected

    @property
    def n_in_flight(self) -> int:
        """Frames seen that have no fate yet."""
        return unaccounted_frames(self.n_seen, (self.n_committed, self.n_lost, self.n_deselected, self.n_tail))

    def balances(self) -> bool:
        """Return whether every frame that was seen is accounted for."""
        return self.n_in_flight == 0

    def with_frames(self, count: int = 1) -> Ledger:
        """``count`` more frames arrived."""
        return replace(self, n_arrived=self.n_arrived + _checked(count))

    def with_gap(self, gap: Gap) -> Ledger:
        """Frames are known to be missing, or an unknown number of them is."""
        if gap.segment != self.segment:
            raise StoreError(f"expected a gap of segment {self.segment}, found one of segment {gap.segment}")
        if gap.count is None:
            return replace(self, n_unknown=self.n_unknown + 1)
        if gap.cause is GapCause.DESELECTED:
            return replace(self, n_deselected=self.n_deselected + _checked(gap.count))
        return self._with_lost(gap.cause, gap.count)

    def with_committed(self, count: int) -> Ledger:
        """``count`` frames that had arrived are now in committed windows."""
        return replace(self, n_committed=self.n_committed + _checked(count))

    def with_tail(self, count: int) -> Ledger:
        """``count`` frames that had arrived fill no whole window and end with the segment."""
        return replace(self, n_tail=self.n_tail + _checked(count))

    def with_crash(self) -> Ledger:
        """Count frames that had arrived but were not committed when the process died as lost."""
        count = self.n_in_flight
        arrived = replace(self, n_arrived=self.n_arrived - count)
        return arrived._with_lost(GapCause.LOST_IN_CRASH, count)

    def _with_lost(self, cause: GapCause, count: int) -> Ledger:
        lost = {**self.lost, cause: self.lost.get(cause, 0) + _checked(count)}
        return replace(self, lost=MappingProxyType({key: value for key, value in lost.items() if value}))

    def to_plain(self) -> dict[str, Any]:
        """JSON-able values, with the sums spelled out."""
        return {
            "segment": self.segment,
            "seen": self.n_seen,
            "committed": self.n_committed,
            "lost": {cause.value: count for cause, count in sorted(self.lost.items())},
            "deselected": self.n_deselected,
            "tail": self.n_tail,
            "in_flight": self.n_in_flight,
            "unknown_losses": self.n_unknown,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Ledger:
        """Read back what `to_plain` wrote.

        Raises
        ------
        StoreError
            A key is missing, or the numbers contradict each other.
        """
        try:
            lost = {GapCause(cause): int(count) for cause, count in plain["lost"].items()}
            ledger = cls(
                segment=int(plain["segment"]),
                n_arrived=int(plain["seen"]) - sum(lost.values()) - int(plain["deselected"]),
                n_committed=int(plain["committed"]),
                lost=MappingProxyType(lost),
                n_deselected=int(plain["deselected"]),
                n_tail=int(plain["tail"]),
                n_unknown=int(plain["unknown_losses"]),
            )
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise StoreError(f"expected a ledger as `to_plain` writes it, found {dict(plain)!r}") from error
        if ledger.n_in_flight != int(plain["in_flight"]):
            raise StoreError(f"a stored ledger contradicts itself: {dict(plain)!r}")
        return ledger


def unaccounted_frames(seen: int, fates: Iterable[int]) -> int:
    """Return how many of the frames ``seen`` have none of the ``fates`` (committed, lost, deselected, tail).

    0 means that the ledger balances; a negative number, that more frames have a fate than were seen.
    """
    return seen - sum(fates)


def total_lost(ledgers: Iterable[Ledger]) -> dict[str, int]:
    """Frames lost by cause over several segments."""
    totals: dict[str, int] = {}
    for ledger in ledgers:
        for cause, count in ledger.lost.items():
            totals[cause.value] = totals.get(cause.value, 0) + count
    return dict(sorted(totals.items()))


def _checked(count: int) -> int:
    if count < 0:
        raise StoreError(f"expected a number of frames of at least 0, found {count}")
    return count
