"""Share of a core that the viewer's four panels take at 2048 x 2048 and 20 pictures per second.

    python -m benchmarks.viewer_repaint [--side 2048] [--rate 20] [--seconds 10]

Camera uint16, plain sum uint16, reconstruction float32 and its trust picture with a tint, all new at every repaint, in
a window of 1440 x 860 points. The share is the process's own CPU time over the wall clock: another load on the machine
lowers the rate that is reached, not the time per repaint.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from PySide6.QtWidgets import QApplication

from dblink_live.viewer.panels.area import PictureArea
from dblink_live.viewer.panels.picture import Picture, Slot
from dblink_live.viewer.sources.trust import trust_picture
from dblink_live.viewer.theme import DARK, apply_theme

N_DIFFERENT = 3
"""Pictures that are shown in turn."""


def pictures(side: int, seed: int) -> dict[Slot, Picture]:
    """Return four pictures [side, side] of thin lines and their molecules."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    image[rng.integers(0, side, 40)] = 0.9
    counts = (rng.random((side, side)) < 0.02 + 0.3 * image).astype(np.uint16)
    camera = rng.poisson(100, (side, side)).astype(np.uint16)
    return {
        "camera": Picture(camera, 40.0),
        "sum": Picture(counts, 40.0),
        "reconstruction": Picture(image, 40.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    app = QApplication(["repaint"])
    apply_theme(app, DARK)
    area = PictureArea()
    area.resize(1440, 700)
    area.show()
    sets = [pictures(options.side, seed) for seed in range(N_DIFFERENT)]
    for turn in range(3):
        area.show_pictures(sets[turn])
        app.processEvents()
    stages = {"trust": 0.0, "show and paint": 0.0}
    n, began_s, began_cpu_s = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began_s < options.seconds:
        shown = dict(sets[n % N_DIFFERENT])
        before = time.process_time()
        shown["trust"], _ = trust_picture(replace(shown["reconstruction"]), shown["sum"], None, 0.5)
        middle = time.process_time()
        area.show_pictures(shown)
        app.processEvents()
        stages["trust"] += middle - before
        stages["show and paint"] += time.process_time() - middle
        n += 1
        time.sleep(max(0.0, began_s + n / options.rate - time.perf_counter()))
    cpu_s = time.process_time() - began_cpu_s
    for name, seconds in stages.items():
        print(f"{name}: {1000 * seconds / n:.1f} ms per repaint")
    print(
        f"{options.side} x {options.side}: {n / options.seconds:.1f} repaints per second reached; "
        f"{1000 * cpu_s / n:.1f} ms of a core per repaint, {100 * options.rate * cpu_s / n:.0f} % of a core at "
        f"{options.rate:g} per second"
    )
    area.close_down()
    area.close()


if __name__ == "__main__":
    main()
