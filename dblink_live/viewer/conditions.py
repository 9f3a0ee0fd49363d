"""What the verdict is judged from, gathered from a run's status and from what the viewer sees itself."""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dblink_live.analysis.trust.motion import WindowAdvice
from dblink_live.analysis.trust.sample import Sample
from dblink_live.analysis.trust.verdict import Conditions, Verdict, judge
from dblink_live.bus import StatusMessage
from dblink_live.latency import in_words
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.sources.model_facts import ModelFacts
from dblink_live.viewer.sources.trust import TrustShares, mean_shares

STOPS_AT = 0.95
"""Share of the disk at which a run stops, as ``store.when_full`` says."""
JUDGED_PICTURES = 10
"""The verdict on a live run rests on so many pictures, so that one of them does not switch its light."""
_DISK_SAMPLES = 12
"""Looks at the disk that its rate is taken from."""
MIN_DISK_SPAN_S = 10.0
"""A shorter time tells no rate."""


class DiskWatch:
    """Follows how fast a disk fills.

    Parameters
    ----------
    folder
        On the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._samples: deque[tuple[float, int]] = deque(maxlen=_DISK_SAMPLES)
        self._room = 0

    def look(self, now_s: float) -> None:
        """Take a sample; a folder that is gone adds none."""
        try:
            usage = shutil.disk_usage(self.folder)
        except OSError:
            return
        self._room = max(0, round(usage.total * STOPS_AT) - (usage.total - usage.free))
        self._samples.append((now_s, usage.free))

    @property
    def full_in_s(self) -> float | None:
        """Seconds until the run stops for want of room; None while the disk does not fill, or for too short a time."""
        return time_until_full(list(self._samples), self._room)


class Judge:
    """Remembers what a verdict rests on: the last trust pictures, and how the disk fills."""

    def __init__(self) -> None:
        self._shares: deque[TrustShares] = deque(maxlen=JUDGED_PICTURES)
        self._disk: DiskWatch | None = None

    def add(self, shares: TrustShares) -> None:
        """Take the figures of one more trust picture."""
        self._shares.append(shares)

    def forget(self) -> None:
        """Forget the trust pictures: another window is shown."""
        self._shares.clear()

    def watch_disk(self, folder: Path) -> None:
        """Follow the disk that a run is written to."""
        self._disk = DiskWatch(folder)

    def look_at_disk(self, now_s: float) -> None:
        """Look at that disk."""
        if self._disk is not None:
            self._disk.look(now_s)

    def verdict(
        self, status: StatusMessage | None, model: ModelFacts | None, live: LiveSource | None
    ) -> Verdict | None:
        """Return the verdict; None without a status. ``live`` is given where live pictures are shown."""
        if status is None:
            return None
        return judge(
            conditions_of(
                status,
                shares=mean_shares(self._shares),
                model=model,
                behind_s=None if live is None else live.behind_s,
                disk_full_in_s=None if self._disk is None or live is None else self._disk.full_in_s,
                is_simulated=live is not None and live.title.startswith("sim:"),
            )
        )


def time_until_full(samples: Sequence[tuple[float, int]], room: int) -> float | None:
    """Return the seconds in which ``room`` bytes are used up.

    Parameters
    ----------
    samples
        (time in seconds, free bytes), oldest first.
    room
        Bytes that may still be used.

    Examples
    --------
    >>> time_until_full([(0.0, 1000), (20.0, 800)], room=600)
    60.0
    """
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < MIN_DISK_SPAN_S:
        return None
    used = samples[0][1] - samples[-1][1]
    if used <= 0:
        return None
    return room * (samples[-1][0] - samples[0][0]) / used


def advice_of(status: StatusMessage) -> WindowAdvice | None:
    """Return how long windows should be, from what a status says of the sample; None while nothing can be said."""
    return Sample(
        status.speed_nm_per_window, status.molecules_per_um2_window, status.precision_nm, status.window_frames
    ).advice


def conditions_of(
    status: StatusMessage | None,
    *,
    shares: TrustShares,
    model: ModelFacts | None,
    behind_s: float | None = None,
    disk_full_in_s: float | None = None,
    is_simulated: bool = False,
) -> Conditions:
    """Return what is known of a run.

    Parameters
    ----------
    status
        Its newest word, or what it was at the window shown; None before any.
    shares
        What the trust panel finds.
    model
        What the run's model says of itself.
    behind_s, disk_full_in_s
        As `Conditions` has them.
    is_simulated
        Simulated specimens move by design: their motion is no drift.
    """
    if status is None:
        return Conditions()
    drift = None if status.drift_nm is None or is_simulated else math.hypot(*status.drift_nm)
    lost = sum(count for cause, count in status.lost.items() if cause != "deselected")
    trained = status.envelope_density or (None if model is None else model.trained_density)
    return Conditions(
        is_running=status.state == "running",
        frames_seen=status.frames_seen,
        frames_lost=lost,
        has_unknown_loss=status.unknown_loss,
        is_preview=status.preview,
        is_calibrated=status.calibrated,
        is_estimated=status.estimated,
        behind_s=behind_s,
        density_per_um2_frame=status.density_per_um2_frame,
        trained_density=trained,
        speed_nm_per_window=status.speed_nm_per_window,
        trained_speed=status.envelope_speed or (None if model is None else model.trained_speed),
        precision_nm=status.precision_nm,
        trained_precision=status.envelope_precision or (None if model is None else model.trained_precision),
        window_frames=status.window_frames,
        advice=advice_of(status),
        left_out_share=shares.left_out,
        unsupported_share=shares.unsupported,
        wrong_share=shares.wrong,
        drift_nm=drift,
        disk_full_in_s=disk_full_in_s,
        degraded=in_words(status.step),
    )
