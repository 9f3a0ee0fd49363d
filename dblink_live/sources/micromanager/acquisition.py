"""``mm:acquisition``: an acquisition that we start through pycromanager's ``Acquisition``, and whose images we see.

It runs on a core of our own (``config=``, the Python backend) or in a running Micro-Manager (``port=``, the Java
backend). Its ``image_process_fn`` copies an image into the shared ring and returns: one that takes 20 ms kills an
acquisition within seconds. Everything here runs in the camera process.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.files import remove
from dblink_live.sources.frame_producer import FrameSink, HostClock, ProducerPlan, StopSignal
from dblink_live.sources.micromanager import bridge, captured_output
from dblink_live.sources.micromanager.acquisition_events import axes_key, batches, read_events, time_lapse
from dblink_live.sources.micromanager.acquisition_plan import AcquisitionPlan
from dblink_live.sources.micromanager.core import build_core
from dblink_live.sources.micromanager.core_adapter import CameraCore, TaggedFrame
from dblink_live.sources.segments import buffer_mb, frame_bytes_of, reason_of_change, saturation_of, segment_of
from dblink_live.sources.spec import Roi, SourceSpec
from dblink_live.types import CameraRecipe, FrameArray, Gap, GapCause, Segment

BUILDER = "dblink_live.sources.micromanager.acquisition:build_acquisition"
NAME = "dblink"
"""Of the dataset that is saved; the storage adds a number."""
END_S = 15.0
"""What an acquisition that was aborted may take to end."""
DESELECTED_EVERY_S = 0.5
"""Images of other channels and positions are reported together."""
_WAIT_S = 0.005


def recipe(spec: SourceSpec, n_kept: int = 0) -> CameraRecipe:
    """Return what the camera process needs to know of an ``mm:acquisition`` specification.

    ``n_kept`` frames of its plan are in the run already.
    """
    where = spec.config or f"port {spec.port or bridge.DEFAULT_PORT}"
    return CameraRecipe(
        name=f"mm:acquisition ({where})",
        builder=BUILDER,
        options={
            "config": spec.config,
            "port": spec.port,
            "events": spec.events,
            "frames": spec.frames,
            "n_skip": n_kept if spec.events else 0,
            "channel": spec.channel,
            "position": spec.position,
            "save": spec.save,
            "exposure_ms": spec.exposure_ms,
            "roi": ",".join(map(str, spec.roi)) if spec.roi else None,
            "binning": spec.binning,
        },
        n_frames=spec.frames,
    )


def build_acquisition(
    config: str | None,
    port: int | None,
    events: str | None,
    frames: int | None,
    n_skip: int,
    channel: str | None,
    position: str | None,
    save: str | None,
    exposure_ms: float | None,
    roi: str | None,
    binning: int | None,
) -> AcquisitionProducer:
    """Read the plan, and find or start the core.

    Raises
    ------
    SourceError
        A plan that cannot be read or asks for what there is not, a folder that cannot be written, no core, or one that
        is busy.
    """
    planned = time_lapse(frames or 1) if events is None else read_events(Path(events).expanduser())
    plan = AcquisitionPlan.of(planned, channel=channel, position=position, n_skip=n_skip, n_frames=frames)
    folder = None if save is None else writable_folder(Path(save).expanduser())
    if config is None:
        if exposure_ms or roi or binning:
            raise SourceError(
                "expected exposure_ms, roi and binning with config= alone: in a running Micro-Manager set them in its "
                "window, or the exposure in the plan"
            )
        port = port or bridge.DEFAULT_PORT
        core = CameraCore(bridge.connect(port))
        if core.is_running():
            raise SourceError(
                f"expected an idle camera in Micro-Manager at port {port}, found {core.label!r} busy with a sequence; "
                "end Live or the acquisition that runs"
            )
    else:
        core = CameraCore(build_core(config))
        set_camera(core, exposure_ms, cast(Roi, tuple(map(int, roi.split(",")))) if roi else None, binning)
    plan.check(core, is_remote=config is None)
    if config is None:
        plan = plan.as_answered()
    return AcquisitionProducer(core, plan, port=None if config else port, folder=folder)


def set_camera(core: CameraCore, exposure_ms: float | None, roi: Roi | None, binning: int | None) -> None:
    """Apply what was asked for."""
    if binning is not None:
        core.set_binning(binning)
    if roi is not None:
        core.set_roi(*roi)
    if exposure_ms is not None:
        core.set_exposure_ms(exposure_ms)


def writable_folder(path: Path) -> Path:
    """Make a folder, and see that files can be made in it.

    Raises
    ------
    SourceError
        They cannot.
    """
    probe = path / f".{NAME}-probe"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        remove(probe)
    except OSError as error:
        raise SourceError(
            f"expected a folder that can be written at {path}, found: {error.strerror}; choose another with save="
        ) from error
    return path


class AcquisitionProducer:
    """A `FrameProducer` that runs one acquisition and hands on the chosen images of it.

    Parameters
    ----------
    core
        Where it runs; idle.
    plan
        What it takes.
    port
        Of the Micro-Manager that the core belongs to; None for a core of our own.
    folder
        Where its images are stored as well; None stores none.
    """

    def __init__(self, core: CameraCore, plan: AcquisitionPlan, *, port: int | None, folder: Path | None) -> None:
        self._core = core
        self._plan = plan
        self._port = port
        self._folder = folder
        self._clock = HostClock.now()
        self._sink: FrameSink | None = None
        self._segment: Segment | None = None
        self._last = -1
        """Number of the last frame within its segment."""
        self._base = 0
        """Frame of the plan with which the segment began."""
        self._n_taken = 0
        self._n_dropped = 0
        """Images that the camera itself dropped, by its own numbers."""
        self._image_number = -1
        self._n_deselected = 0
        self._deselected_at = 0.0
        self._acquisition: Any = None
        self._failure: BaseException | None = None
        self._is_lost = False
        """Whether Micro-Manager was closed."""
        self._is_done = threading.Event()
        self._lock = threading.Lock()
        """Held while writing into the sink."""

    def prepare(self, clock: HostClock) -> ProducerPlan:
        """Dimension the core's buffer where it is ours, and say what will come.

        Raises
        ------
        SourceError
            The camera delivers colour or more than 16 bits.
        """
        self._clock = clock
        segment = segment_of(self._core, clock, interval_ms=self._plan.exposure_ms)
        exposure_ms = self._plan.exposure_ms or segment.exposure_ms
        self._segment = replace(
            segment, exposure_ms=exposure_ms, channel=self._plan.channel, position=self._plan.position
        )
        fps = 1000.0 / max(min(self._exposures_ms(segment)), 0.5)
        if self._port is None:
            self._core.set_buffer_mb(buffer_mb(frame_bytes_of(segment), fps))
        # A plan may take the binning back.
        return ProducerPlan(self._segment, frame_bytes_of(segment) * max(segment.binning, 1) ** 2, fps)

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        """Run the acquisition to its end, or until told to stop.

        Raises
        ------
        SourceError
            It failed; the message says after how many images, and why.
        """
        self._sink = sink
        with captured_output.kept() as words, self._threads_watched():
            threading.Thread(target=self._acquire, name="acquisition", daemon=True).start()
            is_stopped = self._wait(order)
        with self._lock:
            self._sink = None
        self._tell_deselected(sink)
        if is_stopped:
            return
        n_planned = len(self._plan.numbers)
        n_missing = n_planned - self._base - self._last - 1
        # The engine does not report what fails at the last event: it only prints it.
        reason = words.reason() if self._failure is not None or n_missing > 0 else None
        if self._failure is not None or reason is not None:
            reason = reason or bridge.first_line(self._failure or SourceError())
            self._tell_unknown(sink)
            raise SourceError(
                f"the acquisition ended after {self._n_taken} of {n_planned} frames: {_in_plain_words(reason)}"
            )
        if n_missing > 0 and self._segment is not None:
            sink.write_gap(Gap(self._segment.index, self._last, n_missing, GapCause.CAMERA))

    def close(self) -> None:
        if self._port is None:
            with suppress(Exception):
                self._core.unload()
        elif not self._is_lost:
            bridge.give_back()

    # The acquisition, in a thread of its own

    def _acquire(self) -> None:
        try:
            from pycromanager import Acquisition

            options: dict[str, Any] = {} if self._port is None else {"port": self._port, "timeout": bridge.CONNECT_MS}
            self._acquisition = acquisition = Acquisition(
                directory=None if self._folder is None else str(self._folder),
                name=NAME,
                image_process_fn=self._process,
                show_display=False,
                **options,
            )
            for batch in batches(self._plan.events):
                acquisition.acquire(batch)
            acquisition.mark_finished()
            acquisition.await_completion()
        except Exception as error:
            self._failure = error
        finally:
            self._is_done.set()

    @contextmanager
    def _threads_watched(self) -> Iterator[None]:
        """While this lasts, an exception that ends one of pycromanager's threads ends the acquisition, by its name.

        They receive images and notifications; without them the acquisition would wait for ever.
        """

        def take_note(found: threading.ExceptHookArgs) -> None:
            if self._failure is None:
                self._failure = found.exc_value
            self._is_done.set()

        before, threading.excepthook = threading.excepthook, take_note
        try:
            yield
        finally:
            threading.excepthook = before

    def _wait(self, order: Callable[[], StopSignal]) -> bool:
        """Until the acquisition has ended; whether that was because we were told to stop."""
        is_stopped, deadline, looked_at = False, math.inf, time.perf_counter()
        while not self._is_done.wait(_WAIT_S):
            now = time.perf_counter()
            if not is_stopped and order() is not StopSignal.GO_ON:
                is_stopped, deadline = True, now + END_S
                if self._acquisition is not None:
                    # In a thread: the bridge may not answer.
                    threading.Thread(target=self._acquisition.abort, daemon=True).start()
            elif is_stopped:
                order()
            if self._port is not None and now - looked_at > bridge.LOOK_EVERY_S:
                looked_at = now
                if not bridge.is_listening(self._port):
                    self._failure = SourceError(f"Micro-Manager at port {self._port} was closed")
                    self._is_lost = True
                    bridge.let_go(self._port)
                    break
            if now > deadline:
                break
        return is_stopped

    # Images, in the thread of pycromanager's image processor

    def _process(self, image: np.ndarray[Any, Any], tags: dict[str, Any]) -> Any:
        with self._lock:
            if self._sink is not None:
                self._hand_on(self._sink, image, tags)
        return None if self._folder is None else (image, tags)

    def _hand_on(self, sink: FrameSink, image: np.ndarray[Any, Any], tags: dict[str, Any]) -> None:
        self._count_dropped(tags)
        number = self._plan.numbers.get(axes_key(tags["Axes"]))
        if number is None:
            self._n_deselected += 1
            if time.perf_counter() - self._deselected_at > DESELECTED_EVERY_S:
                self._tell_deselected(sink)
            return
        data = cast(FrameArray, image.view(f"u{image.itemsize}") if image.dtype.kind == "i" else image)
        number += self._n_dropped
        segment = self._segment_of(data, tags)
        if self._segment is None or segment is not self._segment:
            self._tell_deselected(sink)
            self._segment, self._base, self._last = segment, self._base + self._last + 1, -1
            sink.write_segment(segment)
        own = number - self._base
        if own > self._last + 1:
            sink.write_gap(Gap(segment.index, self._last, own - self._last - 1, GapCause.CAMERA))
        n_saturated = int(np.count_nonzero(data >= saturation_of(segment)))
        received_ns = self._clock.received_ns(TaggedFrame(data, {key: str(value) for key, value in tags.items()}))
        sink.write_frame(segment.index, own, received_ns, data, n_saturated)
        self._last = own
        self._n_taken += 1

    def _segment_of(self, data: FrameArray, tags: dict[str, Any]) -> Segment:
        """The segment that an image belongs to: the present one, or the next where something differs."""
        before = self._segment
        if before is None:
            raise SourceError("expected an acquisition that was prepared")
        now = replace(before, exposure_ms=float(tags.get("Exposure") or before.exposure_ms or 0.0) or None)
        if data.shape != tuple(before.shape) or data.dtype != before.dtype:
            # Rare enough to ask the core. It says what holds now, which is right unless it was changed since.
            asked = segment_of(self._core, self._clock)
            if data.shape != tuple(asked.shape) or data.dtype != asked.dtype:
                raise SourceError(
                    f"expected images of {asked.shape.width} x {asked.shape.height} pixels {asked.dtype}, as the "
                    f"camera says, found {data.shape[-1]} x {data.shape[0]} {data.dtype}"
                )
            now = replace(
                now, shape=asked.shape, dtype=asked.dtype, roi=asked.roi, binning=asked.binning,
                pixel_size_nm=asked.pixel_size_nm, bit_depth=asked.bit_depth,
            )  # fmt: skip
        reason = reason_of_change(before, now)
        if reason is None:
            return before
        return replace(now, index=before.index + 1, reason=reason, frame_interval_ms=now.exposure_ms)

    def _count_dropped(self, tags: dict[str, Any]) -> None:
        """Within a sequence the camera numbers its images; what it dropped leaves a hole."""
        text = tags.get("ImageNumber")
        if text is None:
            return
        number = int(float(text))
        if number > self._image_number + 1 and self._image_number >= 0:
            self._n_dropped += number - self._image_number - 1
        self._image_number = number

    def _tell_deselected(self, sink: FrameSink) -> None:
        self._deselected_at = time.perf_counter()
        count, self._n_deselected = self._n_deselected, 0
        if count and self._segment is not None:
            sink.write_gap(Gap(self._segment.index, self._last, count, GapCause.DESELECTED))

    def _tell_unknown(self, sink: FrameSink) -> None:
        if self._segment is not None:
            sink.write_gap(Gap(self._segment.index, self._last, None, GapCause.CAMERA))

    def _exposures_ms(self, segment: Segment) -> list[float]:
        planned = [event["exposure"] for event in self._plan.events if event.get("exposure")]
        return planned or [segment.exposure_ms or 1.0]


def _in_plain_words(reason: str) -> str:
    if "buffer overflow" in reason.lower():
        return (
            "the camera buffer of Micro-Manager overflowed: frames came faster than they were taken; close other "
            "programs, lower the frame rate or choose a smaller region"
        )
    if "did not arrive" in reason:
        return f"the camera ended its sequence before its last image ({reason})"
    return reason
