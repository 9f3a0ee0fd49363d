"""The line beside a real Micro-Manager core: DemoCamera, 512 x 512, 16 bit, 100 frames per second, network on.

    python -m benchmarks.demo_camera [--seconds 30] [--size 512] [--json FILE]

The camera runs in its own process at its own pace. What is asked of it: no frame is lost before the ring, and whatever
this process skips for being too slow is counted, so that the ledger balances. The demo camera's stripes are no
molecules; what is shown here is the flow of frames, not a picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.demo_camera_config import write_demo_camera_config
from benchmarks.report import Report, markdown_table
from dblink_live.config import run_config_from_plain
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.store import verify_run

FPS = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pixel-size-nm", type=float, default=65.0)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    n_frames = round(options.seconds * FPS)
    with tempfile.TemporaryDirectory() as name:
        config_file = write_demo_camera_config(Path(name), options.size)
        source = f"mm:core?config={config_file}&exposure_ms={1000 / FPS}&frames={n_frames}"
        config = run_config_from_plain({"camera": {"pixel_size_nm": options.pixel_size_nm}})
        with open_live_run(source, Path(name) / "demo.run", config) as session:
            totals = session.run().totals
        report = verify_run(Path(name) / "demo.run")
    before_the_ring = totals.lost.get("camera", 0) + totals.lost.get("ring", 0)
    rows = [
        ["frames asked", n_frames],
        ["frames seen", totals.frames_seen],
        ["lost before the ring", before_the_ring],
        ["skipped by this process", totals.lost.get("reconstruct", 0)],
        ["committed", totals.frames_committed],
        ["after the last whole window", totals.frames_tail],
        ["windows reconstructed", totals.windows_live],
        ["frames/s that reached the line", totals.fps_held or 0.0],
        ["verify", "ok" if report.ok else "; ".join(report.problems)],
    ]
    print(markdown_table(["", f"{options.size} x {options.size}, {FPS} frames/s"], rows))
    figures = Report("demo_camera", {"seconds": options.seconds, "size": options.size, "fps": FPS})
    figures.add("rows", dict(rows))  # type: ignore[arg-type]
    figures.finish(options.json)
    return int(not report.ok or before_the_ring > 0 or totals.frames_seen != n_frames)


if __name__ == "__main__":
    sys.exit(main())
