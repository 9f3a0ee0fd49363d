"""A user's script with the hook: acquires from a real DemoCamera, and tells what its own image function saw.

python hooked_script.py PORT OUT.json [--folder DIR] [--channels]
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import mm_test_adapters
import numpy as np
from pycromanager import Acquisition, multi_d_acquisition_events, start_headless

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "micromanager"))
from dblink_live_micromanager import LiveHook

N_FRAMES = 60


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--channels", action="store_true")
    options = parser.parse_args()
    adapters = str(mm_test_adapters.device_adapter_path())
    start_headless(adapters, str(Path(adapters) / "MMConfig_demo.cfg"), python_backend=True, buffer_size_mb=64)
    seen: list[int] = []

    def mine(image: np.ndarray[Any, Any], metadata: dict[str, Any]) -> Any:
        if not options.channels or metadata["Axes"]["channel"] == "DAPI":
            seen.append(zlib.crc32(np.ascontiguousarray(image)))
        return image, metadata

    channels = {"channel_group": "Channel", "channels": ["DAPI", "FITC"]} if options.channels else {}
    events = multi_d_acquisition_events(num_time_points=N_FRAMES // 2 if options.channels else N_FRAMES, **channels)
    folder = None if options.folder is None else str(options.folder)
    with LiveHook(options.port, then=mine) as live:
        with Acquisition(folder, "own", image_process_fn=live, show_display=False) as acquisition:
            acquisition.acquire(events)
        n_stored = len(list(acquisition.get_dataset().get_image_coordinates_list()))
    options.out.write_text(json.dumps({"seen": seen, "sent": live.n_sent, "stored": n_stored, "failure": live.failure}))


if __name__ == "__main__":
    main()
