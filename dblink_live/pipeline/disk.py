"""Whether a run fits on its disk: asked before it starts, and watched while it goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Literal, NamedTuple

from dblink_live.config import RunConfig
from dblink_live.errors import StoreError
from dblink_live.interfaces import FrameSource
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.store import (
    existing_ancestor,
    forecast_bytes,
    forecast_nodes,
    forecast_raw_bytes,
    forecast_raw_nodes,
    free_bytes,
    free_nodes,
)
from dblink_live.types import Grid, Segment

FULL = 0.95
"""Share of the disk at which the policy acts."""
LOOK_EVERY_S = 0.5
"""At 200 MB/s, the fastest camera that is recorded, 100 MB come between two looks."""


class DiskUse(NamedTuple):
    """Bytes of a disk, as `shutil.disk_usage` says them."""

    total: int
    used: int
    free: int


class DiskAction(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    DROP_RAW = "drop_raw"
    STOP = "stop"


def measure_disk(path: Path) -> DiskUse:
    """Of the disk that holds ``path``."""
    return DiskUse(*shutil.disk_usage(existing_ancestor(path)))


class DiskGuard:
    """Watches how full the disk of a run is, and says what its policy asks for.

    The policy acts when less than 1 - `FULL` of the disk is free. Where the disk was nearly that full when the run
    began, it acts when half of what was free then is used: a run that fits by its forecast is not stopped at once
    because of what others have put there. ``drop_raw`` first ends the recording of camera frames; where half of the
    rest is used as well, the run is stopped as by ``stop``.

    Parameters
    ----------
    folder
        The run.
    policy
        ``store.when_full``.
    measure
        What tells how full the disk is.
    clock
        Seconds, steady.
    """

    def __init__(
        self,
        folder: Path,
        policy: Literal["stop", "drop_raw"],
        measure: Callable[[Path], DiskUse] = measure_disk,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._measure = measure
        self._clock = clock
        self._has_raw = policy == "drop_raw"
        self._action = DiskAction.NOTHING
        self._next_look = clock()
        use = measure(folder)
        self._reserve = min((1 - FULL) * use.total, use.free / 2)
        self.use = use
        """As it was at the last look."""

    def look(self) -> DiskAction:
        """Return what is to be done; asks the disk now and then only. What was once asked for stays asked for."""
        now = self._clock()
        if self._action is DiskAction.STOP or now < self._next_look:
            return self._action
        self._next_look = now + LOOK_EVERY_S
        try:
            self.use = self._measure(self._folder)
        except OSError:
            return self._action  # A disk that is gone is found out by the next write, which says so.
        if self._has_raw and self.use.free < self._reserve:
            self._action = DiskAction.DROP_RAW
        if self.use.free < (self._reserve / 2 if self._has_raw else self._reserve):
            self._action = DiskAction.STOP
        return self._action

    def describe(self) -> str:
        """How full the disk is, in words."""
        use = self.use
        return f"the disk is {100 * (1 - use.free / max(use.total, 1)):.0f} % full ({use.free / 1e6:.0f} MB free)"


def check_forecast(folder: Path, source: FrameSource, segment: Segment, grid: Grid, config: RunConfig) -> None:
    """Refuse a run that is known not to fit on the disk, by its bytes or by its number of files.

    Raises
    ------
    StoreError
        It does not fit.
    """
    n_frames = source.n_frames_expected
    if n_frames is None:
        return
    n_windows = n_frames // config.windows.frames
    needed = forecast_bytes(grid, n_windows, live_dtype=config.store.live_dtype)
    nodes = forecast_nodes(grid, n_windows)
    if config.store.record and isinstance(source, CameraProcess):
        needed += forecast_raw_bytes(segment.shape, segment.dtype, n_frames)
        nodes += forecast_raw_nodes(segment, n_frames)
    parent = existing_ancestor(folder)
    free = free_bytes(folder)
    if needed > free:
        raise StoreError(
            f"expected about {needed / 1e6:.0f} MB for {n_windows} windows, "
            f"found {free / 1e6:.0f} MB free at {parent}; "
            "free some space, or choose another disk with --out"
        )
    left = free_nodes(folder)
    if left is not None and nodes > left:
        raise StoreError(
            f"expected room for about {nodes} files and folders of {n_windows} windows, found room for {left} at "
            f"{parent}; delete some, or choose another disk with --out"
        )
