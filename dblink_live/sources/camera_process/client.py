"""The parent's side of the camera process: a `FrameSource` that starts it, reads its ring and ends it."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress

from dblink_live.errors import SourceError, SourceLostError
from dblink_live.interfaces import SourceEvent
from dblink_live.latency import LOCALIZER_HEAD_START, WRITER_TIMEOUT_S
from dblink_live.sources.camera_process import shared_memory
from dblink_live.sources.camera_process.handshake import CameraReply, CameraRequest
from dblink_live.sources.camera_process.heartbeat import Heartbeat, HeartbeatMonitor
from dblink_live.sources.camera_process.ring import RingCounters, RingEnd, RingError, RingItem
from dblink_live.sources.camera_process.ring_reader import RingReader
from dblink_live.sources.camera_process.subprocess_io import spawn
from dblink_live.types import CameraRecipe, Gap, GapCause, Segment

_POLL_S = 0.001
_STOP_S = 15.0


class CameraProcess:
    """Frames of a camera that we own, popped in a process of its own.

    The camera starts with the first `read`, so that whatever is prepared after `open` costs no frames.

    Parameters
    ----------
    recipe
        Which camera, and how it is set.
    start_timeout_s
        How long the core and its devices may take to initialize.
    """

    is_live = True

    def __init__(self, recipe: CameraRecipe, *, start_timeout_s: float = 120.0) -> None:
        self.name = recipe.name
        self.recipe = recipe
        self.max_age_s: float | None = None
        """Once the oldest frame in the ring is older, all but the newest are skipped; None keeps all."""
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._address: str | None = None
        self._ring_bytes = 0
        self._reader: RingReader | None = None
        self._segment: Segment | None = None
        self._heartbeat: Heartbeat | None = None
        self._pending: list[SourceEvent] = []
        self._error: SourceError | None = None
        self._ended = False
        self._final_counters: RingCounters | None = None
        self._monitor = HeartbeatMonitor(WRITER_TIMEOUT_S)

    def open(self) -> Segment:
        """Start the process and wait until its camera is ready.

        Raises
        ------
        DblinkError
            Whatever the other side found wrong: no such file, a missing adapter, colour frames...
        """
        if self._process is not None:
            raise SourceError(f"{self.name} was opened already")
        address = self._address = shared_memory.reserve()
        try:
            self._process = spawn("dblink_live.sources.camera_process.producer", address)
            answer = self._ask(CameraRequest(self.recipe, address))
            answer.raise_error()
            mapping = shared_memory.attach(address, answer.nbytes)
        except BaseException:
            self._end_process()
            self._release_address()
            raise
        self._ring_bytes = answer.nbytes
        self._reader = RingReader(mapping)
        self._heartbeat = Heartbeat(self._reader.beat)
        self._monitor.restart()
        first = self._reader.read(0)
        if not first or not isinstance(first[0], Segment):
            self.close()
            raise SourceError(f"expected {self.name} to announce a segment, found {first!r}")
        self._segment = first[0]
        self._pending = self._digest(first[1:])
        return self._segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        """Return what has arrived since the last call; the first call starts the camera.

        Raises
        ------
        SourceError
            The acquisition failed. Everything that came before was returned by earlier calls; nothing comes after it.
        """
        reader = self._reader
        if reader is None:
            raise SourceError(f"{self.name} is not open")
        reader.request_start()
        deadline = time.perf_counter() + timeout_s
        while True:
            # In this order: a process that has exited writes nothing after the look into its ring.
            has_exited = self._process is not None and self._process.poll() is not None
            events, self._pending = self._pending, []
            events += self._digest(self._skipped(reader))
            events += self._digest(reader.read(max_frames))
            if not events and not self._ended and self._error is None:
                events = self._check_process(reader, has_exited)
            if events:
                return events
            if self._error is not None:
                error, self._error, self._ended = self._error, None, True
                raise error
            remaining = deadline - time.perf_counter()
            if self._ended or remaining <= 0:
                return []
            time.sleep(min(_POLL_S, remaining))

    @property
    def is_finished(self) -> bool:
        return self._ended and self._error is None and not self._pending

    @property
    def n_frames_expected(self) -> int | None:
        return self.recipe.n_frames

    @property
    def counters(self) -> RingCounters | None:
        """Counters of the camera process and of this reader; None before `open`."""
        return self._reader.counters if self._reader is not None else self._final_counters

    @property
    def n_waiting(self) -> int:
        """Frames in the ring that were not read yet."""
        counters = self.counters
        return 0 if counters is None else counters.depth

    @property
    def pid(self) -> int | None:
        """Process id of the camera process, while there is one."""
        return self._process.pid if self._process is not None else None

    def share(self, module: str) -> tuple[subprocess.Popen[bytes], str, int]:
        """Start ``python -m module`` as a further reader of the ring; its process, the ring's address and its bytes.

        Raises
        ------
        SourceError
            The camera is not open.
        """
        if self._address is None:
            raise SourceError(f"{self.name} is not open")
        return spawn(module, self._address), self._address, self._ring_bytes

    def release_recorder(self) -> None:
        """Let the ring go on without its recorder, which has ended."""
        if self._reader is not None:
            self._reader.release_recorder()

    def stop(self) -> None:
        """Ask the camera to stop; frames already taken can still be read."""
        if self._reader is not None:
            self._reader.request_stop()

    def close(self) -> None:
        """Stop the camera, end its process and give the memory back."""
        self.stop()
        self._end_process()
        self._release_address()
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        if self._reader is not None:
            self._final_counters = self._reader.counters
            self._reader.close()
            self._reader = None

    def _skipped(self, reader: RingReader) -> list[RingItem]:
        """Give up frames that have waited too long for a reader that is too slow."""
        oldest_ns, now_ns = reader.oldest_ns, time.perf_counter_ns()
        if self.max_age_s is None or oldest_ns is None or now_ns - oldest_ns <= self.max_age_s * 1e9:
            return []
        return reader.give_up(now_ns - round(self.max_age_s * 1e9 / LOCALIZER_HEAD_START))

    def _ask(self, job: CameraRequest) -> CameraReply:
        """Send the job and wait for the answer."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise SourceError("the camera process was started without pipes")
        with suppress(BrokenPipeError):
            process.stdin.write(job.to_line().encode("utf-8"))
            process.stdin.flush()
        lines: list[bytes] = []
        stdout = process.stdout
        # A pipe cannot be read with a time limit on every platform; a thread that reads it can be waited for.
        waiter = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
        waiter.start()
        waiter.join(self._start_timeout_s)
        if waiter.is_alive():
            raise SourceError(
                f"expected the camera of {self.name} to be ready within {self._start_timeout_s:g} s, found it still "
                "initializing; check that the devices are switched on and no other program holds them"
            )
        if not lines or not lines[0]:
            status = process.wait()
            raise SourceError(
                f"expected the camera process of {self.name} to come up, found that it ended with status {status}; "
                "a device driver may have crashed, see the lines above"
            )
        return CameraReply.from_line(lines[0].decode("utf-8"))

    def _digest(self, items: list[RingItem]) -> list[SourceEvent]:
        """Keep the ring's own items here and return those that are for the pipeline."""
        events: list[SourceEvent] = []
        for item in items:
            if isinstance(item, RingError):
                self._error = (SourceLostError if item.may_come_back else SourceError)(item.message)
            elif isinstance(item, RingEnd):
                self._ended = True
            else:
                events.append(item)
        return events

    def _check_process(self, reader: RingReader, has_exited: bool) -> list[SourceEvent]:
        """Notice a camera process that died or hangs; the loss is then of unknown size."""
        is_silent = self._monitor.is_silent(reader.writer_beat_ns)
        if has_exited:
            status = self._process.returncode if self._process is not None else None
            found = f"found that it ended with status {status}"
        elif is_silent:
            found = f"found no heartbeat for {self._monitor.timeout_s:g} s"
            self._end_process(grace_s=0.0)
        else:
            return []
        self._error = SourceLostError(
            f"expected the camera process of {self.name} to go on, {found} after frame {reader.last_number}; "
            "a device driver may have crashed. `dblink-live resume RUN` goes on with the run, in a new segment"
        )
        segment = self._segment.index if self._segment is not None else 0
        return [Gap(segment, reader.last_number, None, GapCause.CAMERA)]

    def _release_address(self) -> None:
        if self._address is not None:
            shared_memory.release(self._address)
            self._address = None

    def _end_process(self, grace_s: float = _STOP_S) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            # The end of its standard input tells the process to go.
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
