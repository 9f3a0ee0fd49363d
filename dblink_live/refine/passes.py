"""The pass over one stretch of maps: its pictures one after another, the full pass or one of bounded lookahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dblink_live.models import BidirectionalNetwork, CheckpointPlan, StreamingEngine, bounded_pass, full_pass
from dblink_live.store import SegmentCounts
from dblink_live.types import FloatImage


class PassPicture(NamedTuple):
    """Of one window of one segment."""

    t: int
    """Index among the segment's windows."""
    image: FloatImage
    """[H, W], the probability of structure."""
    lookahead: int
    """Later windows that it has seen."""


@dataclass(frozen=True)
class PassSettings:
    """Settings of a pass."""

    lookahead: int | None
    """Later windows that a picture sees at least; None for all of them."""
    hop: int
    """With a bounded lookahead: windows that are reconstructed together."""

    def lookahead_of(self, t: int, n_windows: int) -> int:
        """Windows after ``t`` that its picture has seen, of ``n_windows`` in all.

        Examples
        --------
        >>> [PassSettings(2, hop=3).lookahead_of(t, 8) for t in range(8)]
        [4, 3, 2, 4, 3, 2, 1, 0]
        """
        if self.lookahead is None:
            return n_windows - 1 - t
        group_end = (t // self.hop + 1) * self.hop
        return min(group_end + self.lookahead, n_windows) - 1 - t


def pictures(
    network: BidirectionalNetwork, settings: PassSettings, counts: SegmentCounts, plan: CheckpointPlan, first: int
) -> Iterator[PassPicture]:
    """Pictures of ``counts`` from window ``first`` on, in order; they do not depend on ``first``."""
    n_windows = counts.shape[0]
    if first >= n_windows:
        return
    if settings.lookahead is None:
        for t, image in full_pass(network, counts, counts.present, first=first, plan=plan):
            yield PassPicture(t, image, settings.lookahead_of(t, n_windows))
        return
    engine = StreamingEngine(network, settings.lookahead, settings.hop)
    for picture in bounded_pass(engine, counts, counts.present, first=first):
        yield PassPicture(picture.window, picture.probability.cpu().numpy(), picture.lookahead)
