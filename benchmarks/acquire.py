"""What the camera process and its ring cost: a bare pop loop against the same core behind process, ring and reader.

    python -m benchmarks.acquire [--frames N] [--size PIXELS] [--repeats N] [--json FILE]

Both sides run the demo camera of Micro-Manager as fast as it goes (FastImage, no exposure), alternating, each in a
fresh process of its own, because a process holds one core. The ratio compares like with like on the machine at hand;
the absolute rates are the demo camera's. The last figure times the ring alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.demo_camera_config import write_demo_camera_config
from dblink_live.sources import open_source
from dblink_live.sources.camera_process import CameraProcess, RingReader, RingShape, RingWriter, shared_memory
from dblink_live.types import Frame, Gap, Segment, Shape

BARE_LOOP = """\
import sys, time
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.micromanager.core import build_core
core = CameraCore(build_core(sys.argv[1]))
core.set_buffer_mb(512)
n_frames, n, first = int(sys.argv[2]), 0, 0.0
core.start_sequence(n_frames)
while core.is_running() or core.n_waiting():
    if core.n_waiting():
        core.pop()
        n += 1
        first = first or time.perf_counter()
    else:
        time.sleep(0.0005)
assert n == n_frames, (n, n_frames)
print((n - 1) / (time.perf_counter() - first))
core.unload()
"""


@dataclass(frozen=True)
class Result:
    """Medians over the repeats."""

    machine: str
    n_cores: int
    frame: str
    n_frames: int
    bare_fps: float
    process_fps: float
    ratio: float
    n_lost_before_ring: int
    n_skipped_by_reader: int
    ring_mb_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bare: list[float] = []
    process: list[float] = []
    n_lost = n_skipped = 0
    with tempfile.TemporaryDirectory() as folder:
        # No exposure: as fast as it goes.
        config = write_demo_camera_config(Path(folder), options.size, exposure_ms=0.0)
        for _ in range(options.repeats):
            bare.append(bare_loop(config, options.frames))
            fps, lost, skipped = through_process(config, options.frames)
            process.append(fps)
            n_lost += lost
            n_skipped += skipped
    result = Result(
        machine=f"{platform.machine()} {platform.system()} {platform.release()}, Python {platform.python_version()}",
        n_cores=os.cpu_count() or 0,
        frame=f"{options.size} x {options.size} x 16 bit",
        n_frames=options.frames,
        bare_fps=statistics.median(bare),
        process_fps=statistics.median(process),
        ratio=statistics.median(process) / statistics.median(bare),
        n_lost_before_ring=n_lost,
        n_skipped_by_reader=n_skipped,
        ring_mb_s=ring_alone(options.size),
    )
    for name, value in asdict(result).items():
        print(f"{name:22s} {value:.2f}" if isinstance(value, float) else f"{name:22s} {value}", file=sys.stderr)
    text = json.dumps(asdict(result))
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    return 0


def bare_loop(config: Path, n_frames: int) -> float:
    """Frames a second of a loop that pops and forgets."""
    command = [sys.executable, "-c", BARE_LOOP, str(config), str(n_frames)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def through_process(config: Path, n_frames: int) -> tuple[float, int, int]:
    """Frames per second as the reader in this process gets them, frames lost before the ring, frames it skipped."""
    source = open_source(f"mm:core?config={config}&frames={n_frames}", launch=CameraProcess)
    source.open()
    times: list[int] = []
    n_skipped = 0
    try:
        while not source.is_finished:
            for event in source.read(64, 0.1):
                if isinstance(event, Frame):
                    times.append(time.perf_counter_ns())
                elif isinstance(event, Gap):
                    n_skipped += event.count or 0
        counters = source.counters if isinstance(source, CameraProcess) else None
    finally:
        source.close()
    lost = counters.n_camera_lost if counters is not None else 0
    seconds = (times[-1] - times[0]) / 1e9
    return (len(times) + n_skipped - 1) / seconds, lost, n_skipped


def ring_alone(size: int, n_frames: int = 2000) -> float:
    """Megabytes per second written into a ring and copied out of it again, in one thread."""
    image = np.zeros((size, size), np.uint16)
    shape = RingShape(n_slots=64, slot_bytes=image.nbytes)
    address = shared_memory.reserve()
    mapping = shared_memory.create(address, shape.nbytes)
    shared_memory.release(address)
    writer, reader = RingWriter(mapping, shape), RingReader(mapping)
    writer.write_segment(Segment(0, Shape(size, size), "uint16"))
    started = time.perf_counter()
    for number in range(n_frames):
        writer.write_frame(0, number, 0, image)
        reader.read(1)
    return n_frames * image.nbytes / 1e6 / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
