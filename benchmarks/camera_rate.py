"""The highest rate of a real Micro-Manager core that is held without loss, with the network running and without.

    python -m benchmarks.camera_rate [--seconds 60] [--size 512] [--pixel-size-nm 65] [--window-frames 10] [--trials 5]
        [--trial-seconds 20] [--json FILE]

DemoCamera, 16 bit. Beside the rate of a bare pop loop, as fast as it goes, stand the highest rates that were held for
``--seconds`` with not one frame lost:

- *into this process*: camera process, ring, and a reader here that takes every frame and does nothing with it;
- *recorded, network on*: a run as ``dblink-live run --record`` makes it. Nothing is lost before the ring and every
  frame is on the disk; what the network is too slow for is skipped, counted, and mended from the recording afterwards;
- *reconstructed*: the same run, and nothing is skipped either.

Each rate is found by bisection with short trials, and then has to hold for the whole time; where it does not, a tenth
is taken off and it is tried again. After the camera has stopped, a run works off what still waits in the ring, up to
six seconds of frames, which can take many minutes where windows are short: at hundreds of frames per second, windows of
100 frames are what one would take.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.acquire import bare_loop, through_process
from benchmarks.demo_camera_config import write_demo_camera_config
from benchmarks.report import Report, markdown_table
from dblink_live.config import run_config_from_plain
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.store import verify_run

SLOWEST_FPS = 2.0

Trial = Callable[[float, float], bool]
"""Frames per second and seconds -> whether no frame was lost."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pixel-size-nm", type=float, default=65.0)
    parser.add_argument("--window-frames", type=int, default=10)
    parser.add_argument("--trials", type=int, default=5, help="steps of the bisection")
    parser.add_argument("--trial-seconds", type=float, default=20.0, help="the ring alone holds up to six seconds")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = bare_loop(write_demo_camera_config(folder, options.size, exposure_ms=0.0), 2000)
        print(f"bare pop loop: {bare:.1f} frames/s", file=sys.stderr)
        camera = DemoRuns(folder, options.size, options.pixel_size_nm, options.window_frames)
        ways: list[tuple[str, Trial]] = [
            ("into this process", camera.is_read_whole),
            ("recorded, network on", camera.is_recorded_whole),
            ("reconstructed", camera.is_reconstructed_whole),
        ]
        rates = {"bare pop loop, as fast as it goes": bare}
        for way, trial in ways:
            rates[way] = highest_rate(trial, bare, options.seconds, options.trials, options.trial_seconds)
            print(f"{way}: {rates[way]:.1f} frames/s", file=sys.stderr)
    rows = [[way, f"{fps:.1f}", f"{fps / bare:.3f}"] for way, fps in rates.items()]
    frame = f"{options.size} x {options.size}, 16 bit, {options.seconds:g} s without loss"
    print(markdown_table([frame, "frames/s", "of the bare loop"], rows))
    report = Report("camera_rate", {key: value for key, value in vars(options).items() if key != "json"})
    report.add("fps", rates)
    report.finish(options.json)
    return int(min(rates.values()) <= 0)


class DemoRuns:
    """Recordings of the demo camera with ``size`` x ``size`` pixels, at any rate, with the network on."""

    def __init__(self, folder: Path, size: int, pixel_size_nm: float, window_frames: int) -> None:
        self._folder = folder
        self._size = size
        self._window_frames = window_frames
        self._pixel_size_nm = pixel_size_nm
        self._n_runs = 0

    def is_read_whole(self, fps: float, seconds: float) -> bool:
        config = write_demo_camera_config(self._folder, self._size, exposure_ms=1000 / fps)
        _, n_lost, n_skipped = through_process(config, round(fps * seconds))
        return n_lost == n_skipped == 0

    def is_recorded_whole(self, fps: float, seconds: float) -> bool:
        n_lost, _ = self._run(fps, seconds)
        return n_lost == 0

    def is_reconstructed_whole(self, fps: float, seconds: float) -> bool:
        n_lost, n_skipped = self._run(fps, seconds)
        return n_lost == n_skipped == 0

    def _run(self, fps: float, seconds: float) -> tuple[int, int]:
        """Frames lost before the disk, and frames that the line skipped."""
        self._n_runs += 1
        run = self._folder / f"{self._n_runs}.run"
        n_frames = max(round(fps * seconds), 20)
        config_file = write_demo_camera_config(self._folder, self._size)
        settings = {
            "camera": {"pixel_size_nm": self._pixel_size_nm},
            "windows": {"frames": self._window_frames},
            "store": {"record": True},
        }
        source = f"mm:core?config={config_file}&exposure_ms={1000 / fps}&frames={n_frames}"
        with open_live_run(source, run, run_config_from_plain(settings)) as session:
            totals = session.run().totals
        if problems := verify_run(run).problems:
            sys.exit(f"{run}: {'; '.join(problems)}")
        shutil.rmtree(run)
        lost = {cause: count for cause, count in totals.lost.items() if cause != "reconstruct"}
        n_missing = n_frames - totals.frames_seen
        return sum(lost.values()) + n_missing, totals.lost.get("reconstruct", 0)


def highest_rate(trial: Trial, max_fps: float, seconds: float, n_trials: int, trial_s: float) -> float:
    """The highest rate of ``trial`` up to ``max_fps``; 0 if not even `SLOWEST_FPS` is held."""
    low, high = SLOWEST_FPS, max_fps
    for _ in range(n_trials):
        # The geometric mean: what is sought is a ratio, be it hundreds of frames per second or a few.
        middle = (low * high) ** 0.5
        low, high = (middle, high) if trial(middle, trial_s) else (low, middle)
    fps = low
    while fps >= SLOWEST_FPS / 2:
        if trial(fps, seconds):
            return fps
        fps *= 0.9
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
