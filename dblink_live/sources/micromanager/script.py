"""``mm:script``: images that a script of the user hands over from its own pycromanager acquisition.

The other end is the hook in ``plugins/micromanager``, a single file that knows nothing of this package. It sends
over a ZeroMQ PUSH socket on the loopback interface and never waits: what it could not send is missing in the numbers
and counted here.

The wire, version 1: ``dblink-script-1`` | a JSON object | pixels, row by row (of an image only). ``kind`` is image,
deselected or end. Nothing received is executed; sizes are capped.

Runs in the camera process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, cast

import msgspec
import numpy as np
import zmq
from zmq.utils.monitor import parse_monitor_message

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import FrameSink, HostClock, ProducerPlan, StopSignal
from dblink_live.sources.segments import frame_bytes_of, reason_of_change, saturation_of
from dblink_live.sources.spec import SourceSpec
from dblink_live.types import CameraRecipe, FrameArray, Gap, GapCause, Segment, Shape

BUILDER = "dblink_live.sources.micromanager.script:build_feed"
DEFAULT_PORT = 4829
MARK = b"dblink-script-1"
MAX_BYTES = 256 << 20
"""Of an image: 8192 x 8192 pixels of 16 bits, and room."""
PATIENCE_S = 110.0
"""The script may be started so much later; a camera process has 120 s to get ready."""
HWM = 64
"""Images that wait here while the ring is being made; the hook holds as many on its side."""
_POLL_MS = 5
_MAX_FPS = 1000.0


class Facts(msgspec.Struct, frozen=True):
    """What an image's metadata say of the camera; None where they do not."""

    exposure_ms: float | None = None
    pixel_size_um: float | None = None
    """0.0 means uncalibrated."""
    bit_depth: int | None = None
    binning: int = 1
    roi: tuple[int, int, int, int] | None = None
    channel: str | None = None
    position: str | None = None


class Head(msgspec.Struct, frozen=True):
    """The JSON object of a message."""

    kind: Literal["image", "deselected", "end"]
    number: int = 0
    """Of the image among those that were chosen, counted by the hook; one past the last for ``end``."""
    count: int = 0
    """Images of other channels and positions since the last message."""
    shape: tuple[int, int] = (0, 0)
    dtype: Literal["uint8", "uint16"] = "uint16"
    t_host_ns: int = 0
    """`time.perf_counter_ns` of this machine."""
    facts: Facts = Facts()


@dataclass(frozen=True)
class Message:
    """What the hook said."""

    head: Head
    pixels: FrameArray | None = None


def recipe(spec: SourceSpec) -> CameraRecipe:
    """Return what the camera process needs to know of an ``mm:script`` specification."""
    port = spec.port or DEFAULT_PORT
    return CameraRecipe(
        name=f"mm:script (port {port})",
        builder=BUILDER,
        options={"port": port, "frames": spec.frames},
        n_frames=spec.frames,
    )


def build_feed(port: int, frames: int | None) -> ScriptProducer:
    """Listen at ``port``."""
    return ScriptProducer(port, frames)


class ScriptProducer:
    """A `FrameProducer` of what a script's hook sends.

    Parameters
    ----------
    port
        On the loopback interface; 0 takes a free one, see `port`.
    n_frames
        At most so many images; None takes all.

    Raises
    ------
    SourceError
        The port is taken.
    """

    def __init__(self, port: int, n_frames: int | None = None) -> None:
        self._n_frames = n_frames
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        self._socket.setsockopt(zmq.RCVHWM, HWM)
        try:
            self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise SourceError(
                f"expected a free port {port} for the script, found: {error}; another run waits there, or choose one "
                f"with mm:script?port=... and the same in the script"
            ) from error
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._first: Message | None = None
        self._segment: Segment | None = None
        self._base = 0
        """The hook's number of the segment's first image."""
        self._last = -1
        """Within the segment."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def prepare(self, clock: HostClock, patience_s: float = PATIENCE_S) -> ProducerPlan:
        """Wait for the first image.

        Raises
        ------
        SourceError
            None came, or it is not grey and of 8 to 16 bits.
        """
        deadline_s = time.perf_counter() + patience_s
        while self._first is None:
            if time.perf_counter() > deadline_s:
                raise SourceError(
                    f"expected images of a script at port {self.port}, none came within {patience_s:g} s; start the "
                    "acquisition whose image_process_fn is the hook of plugins/micromanager"
                )
            message = self._receive()
            if message is not None and message.head.kind == "image":
                self._first = message
        head = self._first.head
        self._segment = replace(
            _segment_of(head), wall_clock_anchor_ns=clock.wall_anchor_ns, host_anchor_ns=clock.host_anchor_ns
        )
        self._base = head.number
        exposure_ms = head.facts.exposure_ms or 0.0
        fps = min(_MAX_FPS, 1000.0 / exposure_ms) if exposure_ms > 0 else _MAX_FPS
        return ProducerPlan(self._segment, frame_bytes_of(self._segment) * head.facts.binning**2, fps)

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        """Hand on images until the script says that it has ended, or we are told to stop.

        Raises
        ------
        SourceError
            The script went away without a word, or sent what is no image.
        """
        message, self._first = self._first, None
        while order() is StopSignal.GO_ON:
            if message is not None:
                if self._hand_on(sink, message):
                    return
            elif self._has_gone():
                raise SourceError("the script went away without saying that its acquisition had ended")
            message = self._receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.disable_monitor()
        self._context.destroy(linger=0)

    def _hand_on(self, sink: FrameSink, message: Message) -> bool:
        """Write a message's image and what was lost before it; whether it was the last."""
        head = message.head
        segment = self._segment
        if segment is None:
            raise SourceError("expected a feed that was prepared")
        if head.count:
            sink.write_gap(Gap(segment.index, self._last, head.count, GapCause.DESELECTED))
        if head.kind == "end":
            self._report_missing(sink, segment, head.number - self._base)
            return True
        if message.pixels is None:
            return False
        now = replace(
            _segment_of(head),
            index=segment.index,
            wall_clock_anchor_ns=segment.wall_clock_anchor_ns,
            host_anchor_ns=segment.host_anchor_ns,
        )
        reason = reason_of_change(segment, now)
        if reason is not None:
            self._report_missing(sink, segment, head.number - self._base)
            segment = replace(now, index=segment.index + 1, reason=reason)
            self._segment, self._base, self._last = segment, head.number, -1
            sink.write_segment(segment)
        number = head.number - self._base
        self._report_missing(sink, segment, number)
        n_saturated = int(np.count_nonzero(message.pixels >= saturation_of(segment)))
        sink.write_frame(segment.index, number, head.t_host_ns, message.pixels, n_saturated)
        self._last = number
        return self._n_frames is not None and head.number + 1 >= self._n_frames

    def _report_missing(self, sink: FrameSink, segment: Segment, number: int) -> None:
        """Images before ``number`` that the hook could not send: they were not taken in time."""
        missing = number - self._last - 1
        if missing > 0:
            sink.write_gap(Gap(segment.index, self._last, missing, GapCause.RING))
            self._last = number - 1

    def _receive(self) -> Message | None:
        """The next message; None where none came within a few milliseconds."""
        if not self._socket.poll(_POLL_MS):
            return None
        return read_message(self._socket.recv_multipart())

    def _has_gone(self) -> bool:
        """Whether the script's connection was closed; what it had sent has been read by then."""
        if not self._monitor.poll(0):
            return False
        event = parse_monitor_message(self._monitor.recv_multipart())
        return event["event"] == zmq.EVENT_DISCONNECTED and not self._socket.poll(_POLL_MS)


def read_message(parts: list[bytes]) -> Message:
    """Check what came over the wire.

    Raises
    ------
    SourceError
        It is not from a hook of this version, or no grey image of 8 to 16 bits.
    """
    if len(parts) not in (2, 3) or parts[0] != MARK:
        raise SourceError(
            f"expected messages of the hook in plugins/micromanager ({MARK.decode()}), found others; use the hook that "
            "came with this version"
        )
    try:
        head = msgspec.json.decode(parts[1], type=Head)
    except msgspec.ValidationError as error:
        raise SourceError(f"expected grey images of 8 to 16 bits from the script, found others: {error}") from error
    except msgspec.DecodeError as error:
        raise SourceError(f"expected a message of the hook, found what is none: {error}") from error
    if head.kind != "image":
        return Message(head)
    height, width = head.shape
    n_bytes = height * width * np.dtype(head.dtype).itemsize
    if min(height, width) < 1 or len(parts) != 3 or len(parts[2]) != n_bytes:
        found = len(parts[2]) if len(parts) == 3 else 0
        raise SourceError(f"expected {n_bytes} bytes of an image of {width} x {height} pixels, found {found}")
    pixels = np.frombuffer(parts[2], head.dtype).reshape(height, width)
    return Message(head, cast(FrameArray, pixels))


def _segment_of(head: Head) -> Segment:
    facts = head.facts
    stored_bits = 8 * np.dtype(head.dtype).itemsize
    return Segment(
        index=0,
        shape=Shape(*head.shape),
        dtype=head.dtype,
        exposure_ms=facts.exposure_ms,
        frame_interval_ms=facts.exposure_ms,
        pixel_size_nm=1000.0 * facts.pixel_size_um if facts.pixel_size_um else None,
        roi=facts.roi,
        binning=max(1, facts.binning),
        channel=facts.channel,
        position=facts.position,
        bit_depth=min(facts.bit_depth, stored_bits) if facts.bit_depth and facts.bit_depth >= 8 else None,
    )
