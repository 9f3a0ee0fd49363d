"""Frame producers run in the camera process: they pass frames to a sink and ask between them whether to go on.

A feed that owns its core pops frames from it; others look at a running Micro-Manager, or drive an acquisition. All of
them speak to the shared ring through `FrameSink`, and none of them waits for a reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, runtime_checkable

from dblink_live.sources.micromanager.core_adapter import TaggedFrame
from dblink_live.types import FrameArray, Gap, Segment

_OLDEST_NS = 10_000_000_000
"""No frame waits longer in the core's buffer: a tag that says so was written by a clock that has been set."""


class StopSignal(Enum):
    """Order to a producer between frames."""

    GO_ON = "go on"
    STOP = "stop"
    """Stop the camera and hand over what it has taken."""
    ABANDON = "abandon"
    """Stop the camera; the rest will not be read."""


class FrameSink(Protocol):
    """Receives frames. It must not block."""

    def write_segment(self, segment: Segment) -> None: ...

    def write_frame(
        self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0
    ) -> None: ...

    def write_gap(self, gap: Gap) -> None: ...


@dataclass
class HostClock:
    """Turns the core's wall-clock tags into ``perf_counter_ns``, the clock of `Frame.t_host_ns`.

    ``perf_counter`` is one clock for all processes of a machine on Linux, Windows and macOS, so another process can
    subtract these times from its own.
    """

    wall_anchor_ns: int
    host_anchor_ns: int

    @classmethod
    def now(cls) -> HostClock:
        return cls(time.time_ns(), time.perf_counter_ns())

    def received_ns(self, frame: TaggedFrame) -> int:
        """Host time at which the core received the frame; now, if its tag is missing or a clock was set in between."""
        now = time.perf_counter_ns()
        text = frame.tags.get("TimeReceivedByCore")
        if text is None:
            return now
        try:
            wall_s = datetime.fromisoformat(text).timestamp()
        except ValueError:
            return now
        received = self.host_anchor_ns + int(wall_s * 1e9) - self.wall_anchor_ns
        return received if 0 <= now - received < _OLDEST_NS else now


@dataclass(frozen=True)
class ProducerPlan:
    """What a producer that is ready to start will deliver."""

    segment: Segment
    """The first one, of index 0."""
    frame_bytes: int
    """Of the largest frame that may come, of any segment."""
    fps: float
    """Frames a second to be reckoned with: the ring is dimensioned for them."""


@runtime_checkable
class FrameProducer(Protocol):
    """Brings frames, in the camera process. A camera builder returns one, or a core that is to be owned."""

    def prepare(self, clock: HostClock) -> ProducerPlan:
        """Make everything ready, and say what will come.

        Raises
        ------
        DblinkError
            It cannot start.
        """
        ...

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        """Bring frames to ``sink`` until there are none left, or ``order``, asked every few milliseconds, says so.

        The first segment was announced already.

        Raises
        ------
        SourceLostError
            The other side went away, and may come back.
        DblinkError
            There will be no more frames, with the reason. What came before was handed over.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
