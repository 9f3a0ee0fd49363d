"""A picture of napari following a run that is being written.

    xvfb-run -a python plugins/napari/screenshot.py OUT.png

The specimen is a simulated network of filaments that moves; its truth, blurred, stands in for pictures of the network,
and the difference of the two for its error map.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from dblink_live_napari.panel import FollowPanel
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from dblink_live.simulate import PRESETS, simulate_video
from dblink_live.store import RunWriter
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)

SIDE, N_WINDOWS, PITCH_NM, PIXEL_NM = 192, 60, 40.0, 160.0


def main() -> None:
    preset = dataclasses.replace(PRESETS["default"], n_windows=N_WINDOWS, shape=Shape(SIDE, SIDE))
    video = simulate_video(preset, seed=3)
    grid = Grid(pitch_nm=PITCH_NM, shape=Shape(SIDE, SIDE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cell1.run"
        info = RunInfo(uuid="shown", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="-")
        writer = RunWriter.create(folder, info, window_frames=10)
        segment = Segment(index=0, shape=Shape(48, 48), dtype="uint16", pixel_size_nm=PIXEL_NM)
        writer.begin_segment(segment, grid, PIXEL_NM)
        viewer = napari.Viewer(show=True)
        panel = FollowPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Follow a dblink-live run", area="right")
        panel.place.setText(str(folder))
        panel.toggle()
        for window in range(N_WINDOWS):
            counts = np.asarray(video.counts[window], np.uint16)
            truth = np.asarray(video.truth[window], np.float32)
            picture = np.clip(gaussian_filter(truth, 1.0) * 2.5, 0, 1).astype(np.float32)
            error = np.clip(picture - truth, 0, 1)
            span = (window * 10, window * 10 + 10)
            writer.write_map(LocalizationMap(0, window, *span, counts, grid), table_of(counts, span[0]))
            writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", 8, error=error))
            work(0.05)
        work(3.0)
        for layer in viewer.layers:
            layer.visible = "plain sum" not in layer.name
        viewer.reset_view()
        work(1.0)
        viewer.screenshot(sys.argv[1], canvas_only=False)
        print(panel.state.text(), [layer.name for layer in viewer.layers], viewer.dims.current_step)
        panel.stop()
        writer.close()
        viewer.close()


def table_of(counts: np.ndarray, frame: int) -> np.ndarray:
    """A localization in the middle of each counted pixel."""
    rows, cols = np.nonzero(counts)
    table = empty_localizations(len(rows))
    table["frame"] = frame
    table["y"], table["x"] = ((place + 0.5) * PITCH_NM / PIXEL_NM - 0.5 for place in (rows, cols))
    return table


def work(seconds: float) -> None:
    """Let Qt draw."""
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
