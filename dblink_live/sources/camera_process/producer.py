"""The camera process: ``python -m dblink_live.sources.camera_process.producer``.

It builds a feed (a Micro-Manager core that it owns, an acquisition, a preview), which brings frames into the ring, and
does nothing else. It imports neither torch nor zarr nor Qt, ignores Ctrl-C (its parent decides), and never outlives its
parent by more than `READER_TIMEOUT_S`: it ends when its standard input closes, and, where another process keeps that
pipe open, when the reader's heartbeat stops.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from io import TextIOWrapper

from dblink_live.errors import DblinkError, PluginError, SourceLostError
from dblink_live.latency import READER_TIMEOUT_S
from dblink_live.sources.camera_process import shared_memory
from dblink_live.sources.camera_process.handshake import CameraReply, CameraRequest
from dblink_live.sources.camera_process.heartbeat import HeartbeatMonitor
from dblink_live.sources.camera_process.ring import RingWriter
from dblink_live.sources.camera_process.ring_layout import ring_shape
from dblink_live.sources.camera_process.subprocess_io import read_line, take_stdout, when_stdin_closes
from dblink_live.sources.frame_producer import FrameProducer, HostClock, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.micromanager.owned_camera import OwnedCamera
from dblink_live.types import CameraRecipe


class ReaderMonitor:
    """Decides whether frames are still wanted: by the parent's pipe, by signals, and by the readers' heartbeat."""

    def __init__(self) -> None:
        self._orphaned = threading.Event()
        self._terminated = threading.Event()
        self._reader = HeartbeatMonitor(READER_TIMEOUT_S)
        self.has_abandoned = False
        """Whether the camera was, or is to be, stopped because no process reads its frames."""

    def on_terminate(self, *_: object) -> None:
        """Signal handler: stop in order."""
        self._terminated.set()

    def follow_stdin(self) -> None:
        """Wait in the background for the parent's end of the pipe to close."""
        when_stdin_closes(self._orphaned.set)

    def order(self, ring: RingWriter) -> StopSignal:
        """Return what to do next, and renew our own heartbeat."""
        ring.beat()
        if self._orphaned.is_set():
            self.has_abandoned = True
            return StopSignal.ABANDON
        if ring.stop_requested or self._terminated.is_set():
            return StopSignal.STOP
        self.has_abandoned = self._reader.is_silent(ring.reader_beat_ns())
        return StopSignal.ABANDON if self.has_abandoned else StopSignal.GO_ON


def main() -> int:
    """Serve one job; the exit status is 0 when the camera ran to its end or was stopped, 1 after an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch = ReaderMonitor()
    signal.signal(signal.SIGTERM, watch.on_terminate)
    answers = take_stdout()
    job = CameraRequest.from_line(read_line())
    watch.follow_stdin()
    try:
        clock = HostClock.now()
        feed = build_feed(job.recipe)
        plan = feed.prepare(clock)
        shape = ring_shape(plan.frame_bytes, plan.fps)
        ring = RingWriter(shared_memory.create(job.region, shape.nbytes), shape)
    except Exception as error:
        # Drivers raise anything; the parent shows it in one line.
        _answer(answers, CameraReply.of_error(error))
        return 1
    ring.write_segment(plan.segment)
    ring.beat()
    _answer(answers, CameraReply(nbytes=shape.nbytes))
    try:
        failed = _serve(feed, ring, watch)
    finally:
        feed.close()
    return 1 if failed else 0


def build_feed(recipe: CameraRecipe) -> FrameProducer:
    """Call the recipe's builder; a core that it returns is owned from then on.

    Raises
    ------
    PluginError
        There is no such function.
    """
    module_name, _, function_name = recipe.builder.partition(":")
    try:
        builder = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"expected a camera builder module:function, found {recipe.builder!r} ({error}); "
            "is the extra 'micromanager' installed?"
        ) from error
    built: object = builder(**recipe.options)
    return built if isinstance(built, FrameProducer) else OwnedCamera(CameraCore(built), recipe)


def _serve(feed: FrameProducer, ring: RingWriter, watch: ReaderMonitor) -> bool:
    """Run the producer once a reader asks for frames; return True when it failed."""
    failed = False
    told = StopSignal.GO_ON
    while told is StopSignal.GO_ON and not ring.start_requested:
        time.sleep(0.001)
        told = watch.order(ring)
    try:
        if told is StopSignal.GO_ON:
            feed.run(ring, lambda: watch.order(ring))
    except SourceLostError as error:
        failed = True
        ring.write_lost(str(error))
    except DblinkError as error:
        failed = True
        ring.write_error(str(error))
    except Exception as error:
        failed = True
        ring.write_error(f"the camera failed during the acquisition: {type(error).__name__}: {error}")
    if watch.has_abandoned and not failed:
        # For a reader that was only suspended and comes back.
        failed = True
        ring.write_error(
            f"the camera was stopped because no reader heartbeat came for {READER_TIMEOUT_S:g} s; "
            "`dblink-live resume RUN` goes on with the run, in a new segment"
        )
    ring.write_end()
    return failed


def _answer(channel: TextIOWrapper, answer: CameraReply) -> None:
    # A parent that is gone already needs no answer.
    with suppress(OSError):
        channel.write(answer.to_line())
        channel.close()


if __name__ == "__main__":
    status = main()
    # Not by way of the interpreter's end: it would wait for threads that libraries have left, and for answers over a
    # bridge to a program that is gone. Everything that matters lies in the ring, and the devices are shut down.
    sys.stderr.flush()
    os._exit(status)
