"""``mm:live``: a preview of what a running Micro-Manager acquires, over pycromanager's Java bridge.

The frames belong to Micro-Manager's window: nothing is popped, set or started, the core's buffer is only looked into.
So frames are missed where they come faster than the bridge carries them (some hundred megabytes per second), where the
buffer clears itself, or where an acquisition takes them out first. Every miss is counted by image number, with the
cause *preview*. For an acquisition of which no frame may be missed, follow its files with ``ndtiff:``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dblink_live.errors import DblinkError, SourceError, SourceLostError
from dblink_live.sources.frame_producer import FrameSink, HostClock, ProducerPlan, StopSignal
from dblink_live.sources.micromanager import bridge
from dblink_live.sources.micromanager.bridge import Silence
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame
from dblink_live.sources.micromanager.live_buffer import BufferWatcher
from dblink_live.sources.micromanager.live_settings import SettingsWatcher, expect_grey
from dblink_live.sources.segments import frame_bytes_of, saturation_of
from dblink_live.sources.spec import SourceSpec
from dblink_live.types import CameraRecipe, FrameArray, Gap, GapCause, Segment

BUILDER = "dblink_live.sources.micromanager.live_preview:build_preview"
IDLE_S = 0.002
"""Between looks at a buffer in which nothing is new."""
_WAIT_S = 0.005


def recipe(spec: SourceSpec) -> CameraRecipe:
    """Return what the camera process needs to know of an ``mm:live`` specification."""
    port = spec.port or bridge.DEFAULT_PORT
    return CameraRecipe(
        name=f"mm:live (preview, port {port})",
        builder=BUILDER,
        options={"port": port},
        n_frames=spec.frames,
        reopens=True,
        wait_s=spec.wait_s,
    )


def build_preview(port: int) -> LivePreview:
    """Connect to the Micro-Manager at ``port``.

    Raises
    ------
    SourceError
        There is none, or it has no camera with grey frames.
    """
    return LivePreview(bridge.connect(port), port)


@dataclass(frozen=True)
class _Began:
    """From here on frames belong to another segment."""

    segment: Segment


@dataclass(frozen=True)
class _Came:
    number: int
    t_host_ns: int
    data: FrameArray


_Item = _Began | _Came | Gap | DblinkError


class LivePreview:
    """A `FrameProducer` that looks into the buffer of a running Micro-Manager.

    One thread asks over the bridge; `run` hands on what it finds, and notices when it is answered no more.

    Parameters
    ----------
    core
        Micro-Manager's, through pycromanager.
    port
        Of its server.
    """

    def __init__(self, core: object, port: int) -> None:
        self._core = core
        self._port = port
        self._silence = Silence(port)
        self._clock = HostClock.now()
        self._items: queue.Queue[_Item] = queue.Queue()
        self._is_told_to_stop = threading.Event()
        self._is_lost = False
        self._camera: CameraCore | None = None
        self._settings: SettingsWatcher | None = None
        self._max_bytes = 0

    def prepare(self, clock: HostClock) -> ProducerPlan:
        """Read what the camera is set to.

        Raises
        ------
        SourceError
            It has no camera, or one of colour or more than 16 bits, or Micro-Manager does not answer.
        """
        self._clock = clock

        def look() -> Segment:
            self._camera = CameraCore(self._core)
            self._settings = SettingsWatcher(self._camera, clock)
            return self._settings.begin("start")

        try:
            segment = bridge.in_time(look, bridge.CONNECT_S)
        except DblinkError:
            raise
        except Exception as error:
            self._is_lost = isinstance(error, TimeoutError)
            raise SourceError(
                f"expected Micro-Manager at port {self._port} to tell its camera's settings, found: "
                f"{bridge.first_line(error)}; does its own window show pictures?"
            ) from error
        # A region that is cleared or a binning that is taken back makes frames larger; beyond this the ring is
        # made anew.
        self._max_bytes = frame_bytes_of(segment) * max(segment.binning, 1) ** 2
        return ProducerPlan(segment, self._max_bytes, fps=1000.0 / max(segment.exposure_ms or 0.0, 1.0))

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        """Hand over what is seen until told to stop.

        Raises
        ------
        SourceLostError
            Micro-Manager was closed or hangs, or its frames have become larger than the ring was made for.
        SourceError
            Its camera delivers colour or more than 16 bits now.
        """
        thread = threading.Thread(target=self._look_until_told, name="live-preview", daemon=True)
        thread.start()
        segment = self._settings.segment if self._settings is not None else None
        last = -1
        saturation = saturation_of(segment) if segment is not None else 0
        while order() is StopSignal.GO_ON:
            try:
                self._silence.check()
                item = self._items.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            except SourceLostError:
                self._is_lost = True
                if segment is not None:
                    sink.write_gap(Gap(segment.index, last, None, GapCause.PREVIEW))
                raise
            match item:
                case _Began(segment):
                    sink.write_segment(segment)
                    last, saturation = -1, saturation_of(segment)
                case Gap():
                    sink.write_gap(item)
                    last = item.after + (item.count or 0)
                case _Came(number, t_host_ns, data) if segment is not None:
                    n_saturated = int(np.count_nonzero(data >= saturation))
                    sink.write_frame(segment.index, number, t_host_ns, data, n_saturated)
                    last = number
                case DblinkError():
                    if segment is not None and isinstance(item, SourceLostError):
                        sink.write_gap(Gap(segment.index, last, None, GapCause.PREVIEW))
                    raise item
        self._is_told_to_stop.set()
        thread.join(1.0)

    def close(self) -> None:
        self._is_told_to_stop.set()
        if self._is_lost:
            bridge.let_go(self._port)
        else:
            bridge.give_back()

    # In the thread that asks

    def _look_until_told(self) -> None:
        try:
            self._look()
        except DblinkError as error:
            self._items.put(error)
        except Exception as error:
            text = bridge.first_line(error)
            self._items.put(SourceError(f"the preview of Micro-Manager at port {self._port} failed: {text}"))

    def _look(self) -> None:
        """Look into the buffer again and again; hand on what is new, and begin a segment where something changed."""
        camera, settings = self._camera, self._settings
        if camera is None or settings is None or settings.segment is None:
            raise SourceError("expected a preview that was prepared")
        numbering = _Numbering(settings.segment, settings.segment)
        buffer = BufferWatcher(camera, self._silence.answered)
        while not self._is_told_to_stop.is_set():
            with self._silence:
                sighting = buffer.look()
            if sighting.has_restarted:
                numbering = self._note_restart(numbering, settings, sighting.was_seen_to_end)
            for number, frame in sighting.frames:
                if self._is_settled(settings, frame):
                    numbering = self._follow(numbering, settings)
                    self._hand_on(numbering, number, self._clock.received_ns(frame), frame.data)
            if settings.is_due():
                self._ask(settings.look)
            if not sighting.frames:
                time.sleep(IDLE_S)

    def _note_restart(self, numbering: _Numbering, settings: SettingsWatcher, was_seen_to_end: bool) -> _Numbering:
        """Another sequence has begun: its frames are a segment of their own, and count from 0 again."""
        if not was_seen_to_end and numbering.n_frames:
            # How many frames the sequence before still had is not known.
            self._items.put(Gap(numbering.segment.index, numbering.last, None, GapCause.PREVIEW))
        self._ask(lambda: settings.begin("restart"))
        return replace(numbering, has_restarted=True)

    def _is_settled(self, settings: SettingsWatcher, frame: TaggedFrame) -> bool:
        """Whether a frame was taken with the settings that hold; they are read again where it was not.

        A frame that differs even then was taken while something was being changed: it is counted as missed.
        """
        expect_grey(frame)
        if settings.differs(frame):
            self._ask(lambda: settings.begin("roi"))
        return not settings.differs(frame)

    def _follow(self, numbering: _Numbering, settings: SettingsWatcher) -> _Numbering:
        """The numbering of the frame that comes now: that of the next segment where the settings are others."""
        if settings.segment is None or settings.segment is numbering.settings:
            return numbering
        return self._begin(settings.segment, numbering, 0 if numbering.has_restarted else numbering.next_of_camera)

    def _ask(self, question: Callable[[], object]) -> None:
        with self._silence:
            question()

    def _begin(self, settings: Segment, before: _Numbering, base: int | None) -> _Numbering:
        if frame_bytes_of(settings) > self._max_bytes:
            height, width = settings.shape
            raise SourceLostError(f"the camera's frames have become larger: {width} x {height} pixels")
        segment = replace(settings, index=before.segment.index + 1)
        self._items.put(_Began(segment))
        return _Numbering(segment, settings, base)

    def _hand_on(self, numbering: _Numbering, number: int, t_host_ns: int, data: FrameArray) -> None:
        if numbering.base is None:
            numbering.base = number
        own = number - numbering.base
        if own > numbering.last + 1:
            n_missed = own - numbering.last - 1
            self._items.put(Gap(numbering.segment.index, numbering.last, n_missed, GapCause.PREVIEW))
        self._items.put(_Came(own, t_host_ns, data))
        numbering.last = own
        numbering.n_frames += 1


@dataclass
class _Numbering:
    """Numbers of a segment count from its first frame: the camera's own go on over segments, and begin anywhere."""

    segment: Segment
    settings: Segment
    """What the frames were taken with, as `SettingsWatcher` says it."""
    base: int | None = None
    """The camera's number of frame 0; None takes the first that is seen: a sequence that was joined midway."""
    last: int = -1
    n_frames: int = 0
    has_restarted: bool = False
    """Whether the camera's numbers count from 0 again since the last frame of the segment."""

    @property
    def next_of_camera(self) -> int | None:
        """The camera's number of the frame to come."""
        return None if self.base is None else self.base + self.last + 1
