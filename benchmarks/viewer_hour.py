"""Memory of the viewer over an hour's worth of live pictures, faster than they come.

    python -m benchmarks.viewer_hour [--pictures 72000] [--side 256] [--minutes 30]

A publisher and a viewer's window in one process: camera, plain sum and reconstruction are sent and shown as a run sends
them, with status, trust picture and a moved slider, as fast as this machine shows them. An hour at 20 pictures per
second is 72,000 of them. Resident memory is printed after each twentieth of the pictures, and at the end its growth
from the first quarter on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from dblink_live.bus import ImageMessage, Publisher, StartMessage, StatusMessage, Subscriber, Topic
from dblink_live.viewer.settings import ViewerSettings
from dblink_live.viewer.sources.live_source import LiveSource
from dblink_live.viewer.theme import DARK, apply_theme
from dblink_live.viewer.window import ViewerWindow

N_DIFFERENT = 7
HISTORY_EVERY = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=72_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after this time, whatever was shown")
    options = parser.parse_args()
    app = QApplication(["hour"])
    apply_theme(app, DARK)
    rng = np.random.default_rng(1)
    side = options.side
    cameras = [rng.poisson(100, (side // 4, side // 4)).astype(np.uint16) for _ in range(N_DIFFERENT)]
    pictures = [(rng.random((side, side)) ** 20).astype(np.float32) for _ in range(N_DIFFERENT)]
    counts = [(picture > 0.6).astype(np.uint16) for picture in pictures]
    rss: list[tuple[int, float]] = []
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Publisher() as publisher:
        publisher.start(StartMessage(run_uuid="hour", window_frames=10, fps_asked=200.0, pixel_size_nm=160.0))
        settings = ViewerSettings(QSettings(str(Path(folder) / "viewer.ini"), QSettings.Format.IniFormat))
        window = ViewerWindow(LiveSource(Subscriber(publisher.address)), None, settings)
        window.resize(1280, 720)
        window.show()
        n_shown = 0

        def count_shown() -> None:
            nonlocal n_shown
            n_shown += 1

        window.presenter.shown.connect(count_shown)
        n = 0
        step = max(1, options.pictures // 20)
        while n < options.pictures and time.perf_counter() - began_s < 60 * options.minutes:
            now_ns = time.perf_counter_ns()
            sent: tuple[tuple[Topic, np.ndarray, float], ...] = (
                ("camera", cameras[n % N_DIFFERENT], 160.0),
                ("sum", counts[n % N_DIFFERENT], 40.0),
                ("live", pictures[n % N_DIFFERENT], 40.0),
            )
            for topic, image, pitch_nm in sent:
                publisher.send_image(ImageMessage(topic, "hour", 0, n, image, now_ns, pitch_nm))
            publisher.send_status(StatusMessage(frame=10 * n, frames_seen=10 * n, fps_asked=200.0, model="filaments"))
            window.presenter.tick()
            app.processEvents()
            n += 1
            if n % HISTORY_EVERY == 0:
                window.refresh()
            if n % step == 0:
                rss.append((n, psutil.Process().memory_info().rss / 2**20))
                print(f"{n} pictures sent, {n_shown} shown, {rss[-1][1]:.1f} MiB", flush=True)
        window.close()
    late = [(number, mib) for number, mib in rss if number >= n / 4]
    if len(late) > 2:
        slope = float(np.polyfit([number for number, _ in late], [mib for _, mib in late], 1)[0])
        print(
            f"{n} pictures sent and {n_shown} shown in {(time.perf_counter() - began_s) / 60:.1f} min; resident memory "
            f"{late[0][1]:.1f} MiB after a quarter, {late[-1][1]:.1f} MiB at the end, {1e4 * slope:+.2f} MiB per "
            "10,000 pictures"
        )


if __name__ == "__main__":
    main()
