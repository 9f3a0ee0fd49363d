"""The recorder: ``python -m dblink_live.pipeline.recording.record_process``.

It reads the frame ring beside the process that reconstructs, and writes every frame into the run folder. It alone may
hold ring slots back, so that a slow disk costs no frame before the whole ring is full. It imports neither torch nor Qt,
ignores Ctrl-C (its parent decides), and outlives its parent only by the frames that wait in the ring: when its standard
input closes it writes those and ends.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from dblink_live.errors import DblinkError
from dblink_live.sources.camera_process import RingReader, shared_memory
from dblink_live.sources.camera_process.heartbeat import Heartbeat
from dblink_live.sources.camera_process.ring import RingEnd, RingError, RingItem
from dblink_live.sources.camera_process.subprocess_io import read_line, take_stdout, when_stdin_closes
from dblink_live.store import RawWriter
from dblink_live.types import Frame, Gap, GapCause, Segment

READY = "ready"
MAX_FRAMES_A_READ = 16
"""A frame holds its slot until it is copied: short batches give slots back early."""
_POLL_S = 0.002


class RecordJob(msgspec.Struct, frozen=True):
    """Write the frames of that ring into this run."""

    region: str
    nbytes: int
    folder: str
    session: int


class RecordReport(msgspec.Struct, frozen=True):
    """What the recorder answers when it ends."""

    n_frames: int
    error: str = ""


def main() -> int:
    """Serve one job; the exit status is 0 when everything in the ring was recorded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = take_stdout()
    is_told_to_end = threading.Event()
    job = msgspec.json.decode(read_line(), type=RecordJob)
    when_stdin_closes(is_told_to_end.set)
    writer: RawWriter | None = None
    ring = RingReader(shared_memory.attach(job.region, job.nbytes), reader=1, lag_cause=GapCause.RECORD)
    error = ""
    try:
        writer = RawWriter(Path(job.folder), job.session)
        ring.hold()
        # The recorder shows life while a slow disk keeps it waiting.
        Heartbeat(ring.beat)
        print(READY, file=answers, flush=True)
        _record(ring, writer, is_told_to_end)
    except DblinkError as failure:
        error = str(failure)
    except Exception as failure:
        error = f"the recorder failed: {type(failure).__name__}: {failure}"
    finally:
        ring.let_go()
    n_frames = 0
    if writer is not None:
        n_frames = writer.n_committed
        writer.close()
    # A parent that is gone already needs no report.
    with suppress(OSError):
        print(msgspec.json.encode(RecordReport(n_frames, error)).decode(), file=answers, flush=True)
    return 1 if error else 0


def _record(ring: RingReader, writer: RawWriter, is_told_to_end: threading.Event) -> None:
    """Record until the camera has ended, or until there is nothing left after the parent has."""
    while True:
        # In this order: what was written before the parent went is read after this look.
        is_last_look = is_told_to_end.is_set()
        items = ring.read(MAX_FRAMES_A_READ)
        for item in items:
            ending = _take(item, writer)
            if ending is not None:
                writer.finish(ending)
                return
        if items:
            continue
        if is_last_look:
            writer.finish("ended with the run")
            return
        time.sleep(_POLL_S)


def _take(item: RingItem, writer: RawWriter) -> str | None:
    """Write one item; how the recording ends where it is the last."""
    match item:
        case Frame():
            writer.append(item.number, item.t_host_ns, item.data)
        case Gap():
            writer.record_gap(item)
        case Segment() if item.index > 0:
            # Its frames are numbered anew and may be of another size.
            return f"a new segment began ({item.reason}); only the first one is recorded"
        case RingError():
            return f"the camera failed: {item.message}"
        case RingEnd():
            return "ended with the camera"
    return None


if __name__ == "__main__":
    sys.exit(main())
