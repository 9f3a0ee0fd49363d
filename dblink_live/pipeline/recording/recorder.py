"""The run's side of the recorder: starts it, watches it, and waits for its last frames."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import IO

import msgspec

from dblink_live.errors import RecorderError, StoreError
from dblink_live.interfaces import FrameSource
from dblink_live.pipeline.recording.record_process import READY, RecordJob, RecordReport
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.store import RunWriter, create_raw, trim_raw
from dblink_live.types import Segment

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 120.0
"""For the frames that wait in a full ring, on a slow disk."""


class Recorder:
    """A recorder process. Its failure never ends a run: it is noted in the run's log, and the camera goes on.

    Parameters
    ----------
    source
        The camera, opened and not yet started.
    writer
        Of the run.
    session
        Of `create_raw`.

    Raises
    ------
    RecorderError
        It does not come up.
    """

    def __init__(self, source: CameraProcess, writer: RunWriter, session: int) -> None:
        self._source = source
        self._writer = writer
        self._has_ended = False
        self._process, address, nbytes = source.share("dblink_live.pipeline.recording.record_process")
        job = RecordJob(address, nbytes, str(writer.path.absolute()), session)
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).write(msgspec.json.encode(job) + b"\n")
            _pipe(self._process.stdin).flush()
        lines: list[bytes] = []
        waiter = threading.Thread(target=lambda: lines.append(_pipe(self._process.stdout).readline()), daemon=True)
        waiter.start()
        waiter.join(START_TIMEOUT_S)
        answer = lines[0].decode().strip() if lines else f"nothing within {START_TIMEOUT_S:g} s"
        if answer != READY:
            self._process.kill()
            self._process.wait()
            waiter.join()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # what was not yet read by it
                    _pipe(pipe).close()
            raise RecorderError(f"expected the recorder of {writer.path} to come up, found {answer or 'that it ended'}")

    @property
    def pid(self) -> int:
        """Process id of the recorder."""
        return self._process.pid

    def watch(self) -> None:
        """Notice that it has ended before its time; the run goes on without it."""
        if not self._has_ended and self._process.poll() is not None:
            self._close()

    def drop(self) -> None:
        """Let it end by itself, after what waits in the ring, while the camera goes on; `watch` notices its end."""
        with suppress(OSError):
            _pipe(self._process.stdin).close()

    def finish(self) -> None:
        """Let it write what waits in the ring, and trim what it has written. A second call does nothing."""
        if self._has_ended:
            return
        # Where the run failed the camera may still go on, and there would be no last frame.
        self._source.stop()
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self._has_ended = True
        # Whatever it held when it died, the camera needs it back.
        self._source.release_recorder()
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        report = _report(_pipe(self._process.stdout).read(), self._process.returncode)
        _pipe(self._process.stdout).close()
        # A full disk lets nothing be trimmed; an array with room behind its committed frames is as valid.
        with suppress(StoreError):
            trim_raw(self._writer.path)
        if report.error:
            self._writer.event(f"raw recording stopped: {report.error}; the frames after it are in no raw shard")


def start_recorder(
    source: FrameSource, segment: Segment, pixel_size_nm: float, writer: RunWriter, stack: ExitStack, first_segment: int
) -> Recorder | None:
    """Record the frames of a camera that we own into the run of ``writer``, until ``stack`` is closed at the latest.

    Returns None for every other source, after a line in the run's log: a recording is its own record.

    Raises
    ------
    StoreError
        The array cannot be made.
    RecorderError
        The recorder does not come up.
    """
    if not isinstance(source, CameraProcess):
        owner = "are another program's to store" if source.is_live else "are stored already"
        writer.event(f"raw frames are not recorded: those of {source.name} {owner}")
        return None
    session = create_raw(writer.path, replace(segment, index=first_segment), pixel_size_nm)
    recorder = Recorder(source, writer, session)
    stack.callback(recorder.finish)
    return recorder


def _report(last_line: bytes, status: int) -> RecordReport:
    try:
        return msgspec.json.decode(last_line, type=RecordReport)
    except msgspec.MsgspecError:
        return RecordReport(0, f"the recorder ended with status {status}")


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise StoreError("the recorder was started without pipes")
    return end
