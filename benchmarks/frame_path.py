"""Which files does one frame pass, from the camera to a committed window and a published picture?

    python -m benchmarks.frame_path

A real Micro-Manager core with DemoCamera runs through the whole live loop, the camera's side in a thread of this
process. Once the run has settled, every call is noted: a file counts where one of its functions is called for frames,
windows or pictures, not for the beginning of a run. Compiled functions (Numba) cannot be seen; their files are added
where they are called from.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import dblink_live
from dblink_live.bus import Publisher, Subscriber
from dblink_live.config import run_config_from_plain
from dblink_live.interfaces import SourceEvent
from dblink_live.models import load_model
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.provenance import describe_run
from dblink_live.sources import open_source, parse_source
from dblink_live.sources.camera_process import RingEnd, RingReader, RingWriter
from dblink_live.sources.camera_process.producer import build_feed
from dblink_live.sources.camera_process.ring_layout import ring_shape
from dblink_live.sources.frame_producer import HostClock, StopSignal
from dblink_live.store import RunWriter
from dblink_live.types import Segment

PACKAGE = Path(dblink_live.__file__).parent
SOURCE = "mm:core?config=MMConfig_demo.cfg&exposure_ms=20&roi=0,0,64,64&frames=300"
SETTLED_FRAMES = 150
COMPILED = {
    "localization/gaussian/fit_batched.py": "localization/gaussian/fit_compiled.py",
    "localization/gaussian/detect_batched.py": "localization/gaussian/detect_compiled.py",
}


class Tracer:
    """Notes files of the package whose functions are called, in the order of their first call."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.is_on and event == "call":
            path = Path(frame.f_code.co_filename)
            if PACKAGE in path.parents:
                name = path.relative_to(PACKAGE).as_posix()
                self.files[name] = self.files.get(name, 0) + 1


class InProcessCamera:
    """The camera process's code and the ring, without the process: a profiler sees one process."""

    name = "frame path"
    is_live = True
    n_frames_expected = None

    def __init__(self, tracer: Tracer) -> None:
        recipes: list[Any] = []
        open_source(parse_source(SOURCE), launch=lambda recipe: recipes.append(recipe) or self)  # type: ignore[arg-type,return-value]
        self._feed = build_feed(recipes[0])
        plan = self._feed.prepare(HostClock.now())
        shape = ring_shape(plan.frame_bytes, plan.fps)
        memory = mmap.mmap(-1, shape.nbytes)
        self._writer, self._reader = RingWriter(memory, shape), RingReader(memory)
        self._segment, self._tracer = plan.segment, tracer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._n_frames, self._has_ended = 0, False

    def open(self) -> Segment:
        self._writer.write_segment(self._segment)
        self._reader.read(0)
        return self._segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        if not self._thread.is_alive() and not self._n_frames:
            self._thread.start()
            time.sleep(0.1)
        items = self._reader.read(max_frames)
        self._n_frames += len(items)
        self._tracer.is_on = self._n_frames > SETTLED_FRAMES
        self._has_ended = self._has_ended or any(isinstance(item, RingEnd) for item in items)
        return [item for item in items if not isinstance(item, RingEnd)]  # type: ignore[misc]

    @property
    def is_finished(self) -> bool:
        return self._has_ended

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self._feed.close()

    def _run(self) -> None:
        self._feed.run(self._writer, lambda: StopSignal.GO_ON)
        self._writer.write_end()


def main() -> None:
    """Print the files."""
    tracer = Tracer()
    model = load_model("filaments", device="cpu")
    camera = {"pixel_size_nm": 160.0, "offset_adu": 0.0, "electrons_per_adu": 1.0}
    localizer = {"name": "gaussian", "psf_sigma_px": 1.0}
    config = run_config_from_plain({"camera": camera, "localizer": localizer})
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    source = InProcessCamera(tracer)
    with tempfile.TemporaryDirectory() as folder, Publisher() as publisher:
        info = describe_run(config, model, source.name)
        with RunWriter.create(Path(folder) / "a.run", info, window_frames=config.windows.frames) as writer:
            pictures = PreviewPublisher(publisher, info.uuid)
            with Subscriber(publisher.address) as subscriber:
                loop = LiveLoop(
                    source, model, config, writer, pictures=pictures, on_progress=lambda _: subscriber.poll()
                )
                loop.run(source.open())
                tracer.is_on = False
    sys.setprofile(None)
    source.close()
    names = sorted({*tracer.files, *(made for name, made in COMPILED.items() if name in tracer.files)})
    for name in names:
        print(f"{tracer.files.get(name, 0):8d}  dblink_live/{name}")
    print(f"{len(names)} files")


if __name__ == "__main__":
    main()
