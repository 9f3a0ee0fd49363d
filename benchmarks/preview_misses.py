"""How many frames does ``mm:live`` miss of those that Micro-Manager's buffer still holds?

    python -m benchmarks.preview_misses [--frames 1100] [--exposure-ms 10] [--side 128]

The tests' imitation of Micro-Manager's server shows frames of a real DemoCamera; the preview looks at them over the
bridge. Gaps of one frame are misses between two frames that came; longer ones are stretches for which the preview was
behind and left frames out on purpose. Beside Micro-Manager itself such figures need its own port.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "sources" / "micromanager"))

from dblink_live.sources import open_source
from dblink_live.sources.camera_process import launch_camera
from dblink_live.types import Frame, Gap


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1100)
    parser.add_argument("--exposure-ms", type=float, default=10.0)
    parser.add_argument("--side", type=int, default=128, help="of the camera's region in pixels")
    options = parser.parse_args()
    from bridge_client import RunningMicroManager

    micromanager = RunningMicroManager()
    try:
        micromanager.do("setROI", 0, 0, options.side, options.side)
        micromanager.start_live(options.exposure_ms)
        source = open_source(f"mm:live?port={micromanager.port}&frames={options.frames}", launch=launch_camera)
        source.open()
        n_frames, gaps = 0, list[int]()
        while not source.is_finished:
            for event in source.read(64, 0.2):
                n_frames += isinstance(event, Frame)
                gaps += [event.count or 0] if isinstance(event, Gap) else []
        source.close()
    finally:
        micromanager.kill()
    n_single = gaps.count(1)
    n_longer = sum(gaps) - n_single
    print(f"{n_frames} frames, {n_single} gaps of one frame, {n_longer} frames in {len(gaps) - n_single} longer gaps")


if __name__ == "__main__":
    main()
