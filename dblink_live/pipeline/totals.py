"""Totals of a live run, over all its segments."""

from __future__ import annotations

from dataclasses import dataclass, field

from dblink_live.analysis.trust.sample import Sample
from dblink_live.pipeline.overload.live_region import Box
from dblink_live.pipeline.stages.reconstruct import Stretch
from dblink_live.status import LatencySummary, StageStatus


@dataclass(frozen=True)
class LineTotals:
    """What the live loop has done, over all segments."""

    frames_seen: int = 0
    frames_committed: int = 0
    frames_tail: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    has_unknown_loss: bool = False
    fps_held: float | None = None
    latency: LatencySummary = field(default_factory=LatencySummary)
    windows_counts: int = 0
    windows_live: int = 0
    is_calibrated: bool = True
    is_estimated: bool = False
    """Whether the gain of a camera was estimated from the frames."""
    stopped_early: bool = False
    is_preview: bool = False
    """Whether another program acquired the frames, and this one looked at them in passing."""
    budget_s: float | None = None
    """How old a picture may be that is shown; None where none can be too late."""
    live_region: Box | None = None
    """Part of the field that was shown last, in camera pixels."""
    density_per_um2_frame: float | None = None
    """Localizations lately."""
    sample: Sample = field(default_factory=Sample)
    """What the localizations of the last windows say of motion, precision and window length."""
    degraded: tuple[Stretch, ...] = ()
    """Windows for which something was given up."""
    stages: tuple[StageStatus, ...] = ()
    """Each stage of the loop, in the order in which a frame passes them."""
